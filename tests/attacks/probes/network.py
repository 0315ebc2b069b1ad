"""Tries every way out that a socket knows. Arguments: TCP4 port, TCP6 port, UDP port, abstract name, path of a socket.

Reports per way either "went" or the error's name. Speaks to loopback only.
"""

import ctypes
import errno
import json
import os
import socket
import sys

tcp4, tcp6, udp, abstract, path = (
    int(sys.argv[1]),
    int(sys.argv[2]),
    int(sys.argv[3]),
    sys.argv[4],
    sys.argv[5],
)
MPTCP = 262
MSG_FASTOPEN = 0x20000000
found = {}


def attempt(name, way):
    try:
        way()
    except OSError as error:
        found[name] = errno.errorcode.get(error.errno or 0, type(error).__name__)
    else:
        found[name] = "went"


def connect(family, address, protocol=0):
    with socket.socket(family, socket.SOCK_STREAM, protocol) as one:
        one.settimeout(0.5)
        one.connect(address)
        one.sendall(b"payload")


def make(family, kind, protocol=0):
    socket.socket(family, kind, protocol).close()


def fast_open():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.sendto(b"payload", MSG_FASTOPEN, ("127.0.0.1", tcp4))


def datagram(answer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.5)
        if answer == "sendto":
            one.sendto(b"payload", ("127.0.0.1", udp))
        elif answer == "sendmsg":
            one.sendmsg([b"payload"], [], 0, ("127.0.0.1", udp))
        else:
            one.connect(("127.0.0.1", udp))
            one.send(b"payload")
        assert one.recv(100) == b"answer"


def ask_name():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.5)
        question = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x06secret\x00\x00\x01\x00\x01"
        one.sendto(question, ("127.0.0.1", udp))
        one.recv(100)


def uring():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 4, ctypes.create_string_buffer(120)) < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")


def pass_descriptor():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(0.5)
        one.connect("\0" + abstract)
        socket.send_fds(one, [b"payload"], [0])


attempt("tcp4", lambda: connect(socket.AF_INET, ("127.0.0.1", tcp4)))
attempt("tcp6", lambda: connect(socket.AF_INET6, ("::1", tcp6)))
attempt("tcp4 in tcp6", lambda: connect(socket.AF_INET6, ("::ffff:127.0.0.1", tcp4)))
attempt("mptcp", lambda: connect(socket.AF_INET, ("127.0.0.1", tcp4), MPTCP))
attempt("fast open", fast_open)
attempt("udp sendto", lambda: datagram("sendto"))
attempt("udp sendmsg", lambda: datagram("sendmsg"))
attempt("udp connected", lambda: datagram("connected"))
attempt("name service", ask_name)
attempt("icmp raw", lambda: make(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt("raw", lambda: make(socket.AF_INET, socket.SOCK_RAW, 255))
attempt("raw6", lambda: make(socket.AF_INET6, socket.SOCK_RAW, 58))
attempt("packet", lambda: make(socket.AF_PACKET, socket.SOCK_RAW))
attempt("packet datagram", lambda: make(socket.AF_PACKET, socket.SOCK_DGRAM))
attempt("netlink", lambda: make(socket.AF_NETLINK, socket.SOCK_RAW))
attempt("netlink datagram", lambda: make(socket.AF_NETLINK, socket.SOCK_DGRAM))
attempt("vsock", lambda: make(40, socket.SOCK_STREAM))
attempt("xdp", lambda: make(44, socket.SOCK_RAW))
attempt("sequenced unix", lambda: make(socket.AF_UNIX, socket.SOCK_SEQPACKET))
attempt("io_uring", uring)
attempt("abstract unix", lambda: connect(socket.AF_UNIX, "\0" + abstract))
attempt("descriptor over unix", pass_descriptor)
attempt("unix by path", lambda: connect(socket.AF_UNIX, path))
for name in ("/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket", "/run/dbus/system_bus_socket"):
    attempt(name, lambda name=name: connect(socket.AF_UNIX, name))
if os.getcwd() == "/work":  # outside, a resolver would be asked
    attempt("look up a name", lambda: socket.getaddrinfo("secret.example.invalid", 80))


def loopback():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        one.sendall(b"x")
        with server.accept()[0] as other:
            assert other.recv(1) == b"x"


attempt("own loopback", loopback)
attempt("own localhost", lambda: socket.getaddrinfo("localhost", 80))
attempt("own unix", lambda: [one.close() for one in socket.socketpair()])
libc = ctypes.CDLL(None, use_errno=True)
garbage = libc.syscall(41, ctypes.c_long((1 << 32) | socket.AF_NETLINK), ctypes.c_long(3), ctypes.c_long(0))
found["garbage above the family"] = "went" if garbage >= 0 else errno.errorcode[ctypes.get_errno()]
with open("/proc/net/dev") as file:
    found["interfaces"] = sorted(line.split(":")[0].strip() for line in file if ":" in line)
with open("/proc/net/route") as file:
    found["routes"] = len(file.read().splitlines()) - 1
json.dump(found, sys.stdout)
