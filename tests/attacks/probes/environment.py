"""Collects every text in which a secret of the caller could be, and every descriptor that it was left."""

import contextlib
import json
import os
import sys

texts = {"os.environ": repr(dict(os.environ))}
for number in [name for name in os.listdir("/proc") if name.isdigit()] + ["self", "thread-self"]:
    for name in ("environ", "cmdline", "comm", "maps", "mountinfo", "cgroup", "stat"):
        with contextlib.suppress(OSError), open(f"/proc/{number}/{name}", "rb") as file:
            texts[f"{number}/{name}"] = file.read(1 << 20).decode("latin-1")
descriptors = {}
for number in sorted(int(name) for name in os.listdir("/proc/self/fd")):
    with contextlib.suppress(OSError):
        descriptors[number] = os.readlink(f"/proc/self/fd/{number}")
read = {}
for number in sorted({*descriptors, *range(3, 300)}):
    with contextlib.suppress(OSError, ValueError):
        os.lseek(number, 0, os.SEEK_SET)
        read[number] = os.read(number, 200).decode("latin-1")
sent = []
for number in range(3, 300):
    with contextlib.suppress(OSError):
        os.write(number, b"leaked")
        sent.append(number)
json.dump({"texts": texts, "descriptors": descriptors, "read": read, "sent": sent}, sys.stdout)
