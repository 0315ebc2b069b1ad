"""Tries every way to another network namespace; standard library only. Prints way → ``ok`` or the name of the error.

Arguments: IPv4 address, IPv6 address, the process id of somebody in the other namespace.
"""

import ctypes
import errno
import json
import os
import socket
import struct
import subprocess
import sys

FOUR, SIX, PID = sys.argv[1], sys.argv[2], int(sys.argv[3])
TCP, UDP = 8080, 53
WAYS = {}


def way(function):
    WAYS[function.__name__] = function
    return function


def ask(sock):
    sock.settimeout(3)
    sock.sendall(b"secret")
    assert sock.recv(6) == b"secret", "no answer"


def ask_datagram(sock, address):
    with sock:
        sock.settimeout(3)
        sock.sendto(b"secret", address)
        assert sock.recv(6) == b"secret", "no answer"


def connected(family, address, protocol=0):
    with socket.socket(family, socket.SOCK_STREAM, protocol) as sock:
        sock.settimeout(3)
        sock.connect(address)
        ask(sock)


@way
def tcp4():
    connected(socket.AF_INET, (FOUR, TCP))


@way
def tcp6():
    connected(socket.AF_INET6, (SIX, TCP))


@way
def tcp4_mapped():
    connected(socket.AF_INET6, ("::ffff:" + FOUR, TCP))


@way
def mptcp():
    connected(socket.AF_INET, (FOUR, TCP), 262)


@way
def fast_open():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 3, 0))
        sock.sendto(b"secret", 0x20000000, (FOUR, TCP + 1))
        assert sock.recv(6) == b"secret", "no answer"


@way
def udp_name_service():
    ask_datagram(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), (FOUR, UDP))


@way
def udp6():
    ask_datagram(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), (SIX, UDP))


@way
def sendmsg():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.sendmsg([b"sec", b"ret"], [], 0, (FOUR, UDP))
        assert sock.recv(6) == b"secret", "no answer"


@way
def bound_to_the_interface():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"pt0\0")
        sock.settimeout(3)
        sock.sendto(b"secret", (FOUR, UDP))
        assert sock.recv(6) == b"secret", "no answer"


@way
def udp_broadcast():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(b"secret", (FOUR.rpartition(".")[0] + ".255", UDP))


@way
def udp_multicast():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"secret", ("224.0.0.251", 5353))


@way
def icmp():
    body = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    total = sum(struct.unpack("!4H", body))
    body = struct.pack("!BBHHH", 8, 0, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF, 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(3)
        sock.sendto(body, (FOUR, 0))
        sock.recv(100)


@way
def ping_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(3)
        sock.sendto(struct.pack("!BBHHH", 8, 0, 0, 1, 1), (FOUR, 0))
        sock.recv(100)


@way
def raw():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 253) as sock:
        sock.sendto(b"secret", (FOUR, 0))


@way
def packet():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)):
        pass


@way
def vsock():
    with socket.socket(40, socket.SOCK_STREAM):
        pass


@way
def xdp():
    with socket.socket(44, socket.SOCK_RAW):
        pass


@way
def io_uring():
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(120)
    found = libc.syscall(425, 8, parameters)
    if found < 0:
        raise OSError(ctypes.get_errno(), "")
    os.close(found)


@way
def abstract_unix():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect("\0pantheon-attack")
        ask(sock)


@way
def join_the_other():
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/proc/{PID}/ns/net", os.O_RDONLY)
    if libc.setns(descriptor, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "")
    connected(socket.AF_INET, ("127.0.0.1", TCP))


@way
def interface_to_the_other():
    words = ["ip", "link", "add", "pt-in", "type", "veth", "peer", "name", "pt-out", "netns", str(PID)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise OSError(errno.EPERM, done.stderr)


def tried(function):
    try:
        function()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error)) if error.errno else str(error)
    except AssertionError as error:
        return str(error)
    return "ok"


# What moves this process comes last: fork for each, so that none has an effect on the next.
def in_child(function):
    reader, writer = os.pipe()
    if not os.fork():
        os.write(writer, tried(function).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    with os.fdopen(reader) as told:
        return told.read()


sys.stdout.write(json.dumps({name: in_child(function) for name, function in WAYS.items()}))
