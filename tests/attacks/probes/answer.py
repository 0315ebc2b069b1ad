"""Answers over TCP (and MPTCP, fast open), UDP and an abstract Unix socket with what it was told, and prints each."""

import select
import socket
import sys

TCP, UDP = 8080, 53
opened = []
for family, kind, protocol, address in (
    (socket.AF_INET, socket.SOCK_STREAM, 262, ("0.0.0.0", TCP)),
    (socket.AF_INET, socket.SOCK_STREAM, 0, ("0.0.0.0", TCP + 1)),
    (socket.AF_INET6, socket.SOCK_STREAM, 0, ("::", TCP)),
    (socket.AF_INET, socket.SOCK_DGRAM, 0, ("0.0.0.0", UDP)),
    (socket.AF_INET6, socket.SOCK_DGRAM, 0, ("::", UDP)),
):
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(address)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        sock.listen()
    opened.append(sock)
sys.stdout.write("ready\n")
sys.stdout.flush()
while True:
    for sock in select.select(opened, [], [])[0]:
        if sock.type == socket.SOCK_STREAM:
            near, _ = sock.accept()
            near.settimeout(3)
            data = near.recv(100)
            near.sendall(data)
            near.close()
        else:
            data, address = sock.recvfrom(100)
            sock.sendto(data, address)
        sys.stderr.write(f"{sock.family.name} {sock.type.name} {data!r}\n")
