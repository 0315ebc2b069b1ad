"""Takes more than it should. Arguments: what to take, and how much. Reports how much it got, and why it stopped."""

import contextlib
import errno
import json
import mmap
import os
import signal
import sys
import threading
import time

what, amount = sys.argv[1], int(sys.argv[2])
got, why = 0, "had enough"
try:
    if what == "processes":
        children = []
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: [os.kill(child, signal.SIGKILL) for child in children])
            while got < amount:
                child = os.fork()
                if child == 0:
                    time.sleep(30)
                    os._exit(0)
                children.append(child)
                got += 1
    elif what == "threads":
        stop = threading.Event()
        try:
            while got < amount:
                threading.Thread(target=stop.wait).start()
                got += 1
        finally:
            stop.set()
    elif what == "memory":
        kept = []
        while got < amount:
            kept.append(mmap.mmap(-1, 16 << 20))
            got += 16 << 20
    elif what == "descriptors":
        while got < amount:
            os.dup(0)
            got += 1
    else:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with open(what, "wb", 0) as file:
            while got < amount:
                got += file.write(bytes(1 << 20))
        os.unlink(what)
except (OSError, MemoryError, RuntimeError) as error:
    number = getattr(error, "errno", None)
    why = errno.errorcode[number] if number else type(error).__name__
json.dump({"got": got, "why": why}, sys.stdout)
