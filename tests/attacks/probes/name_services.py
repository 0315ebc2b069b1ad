"""Plays a name service on 127.0.0.53 and on every Unix socket it is told; writes each question to a file.

Arguments: the file, then paths of sockets.
"""

import select
import socket
import sys
from pathlib import Path

log, paths = sys.argv[1], sys.argv[2:]
opened = []
for address in ("127.0.0.53", "127.0.0.1"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    opened.append(sock)
for path in paths:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    Path(path).chmod(0o777)
    sock.listen()
    opened.append(sock)
sys.stdout.write("ready\n")
sys.stdout.flush()
with open(log, "ab", buffering=0) as file:
    while True:
        for sock in select.select(opened, [], [])[0]:
            if sock.family == socket.AF_UNIX:
                near, _ = sock.accept()
                near.settimeout(1)
                file.write(sock.getsockname().encode() + b" " + near.recv(200) + b"\n")
                near.close()
            else:
                file.write(b"udp " + sock.recv(200).replace(b"\n", b" ") + b"\n")
