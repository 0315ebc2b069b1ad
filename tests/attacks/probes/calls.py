"""Makes system calls that code in the sandbox has no business making. Arguments: process id and address of a victim.

Reports per call "went" or the error's name. Each is made in a child; where the call kills it, the signal is reported.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import pty
import signal
import struct
import sys

victim, address = int(sys.argv[1]), int(sys.argv[2], 16)
libc = ctypes.CDLL(None, use_errno=True)
NAMESPACES = {
    "mounts": 0x20000, "cgroups": 0x2000000, "host name": 0x4000000, "messages": 0x8000000, "users": 0x10000000,
    "processes": 0x20000000, "network": 0x40000000,
}  # fmt: skip
found = {}


def call(number, *args):
    result = libc.syscall(
        ctypes.c_long(number), *(ctypes.c_long(one) if isinstance(one, int) else one for one in args)
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), "call")
    return result


def attempt(name, way):
    """In a child, so that what it does to itself does not matter."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        try:
            way()
            said = "went"
        except OSError as error:
            said = errno.errorcode.get(error.errno or 0, "OSError")
        os.write(write_end, said.encode())
        os._exit(0)
    os.close(write_end)
    said = os.read(read_end, 100).decode()
    os.close(read_end)
    _, status = os.waitpid(child, 0)
    found[name] = said or f"killed by {signal.Signals(os.WTERMSIG(status)).name}"


def read_memory():
    local = ctypes.create_string_buffer(16)
    ours = struct.pack("QQ", ctypes.addressof(local), 16)
    theirs = struct.pack("QQ", address, 16)
    call(310, victim, ours, 1, theirs, 1, 0)


def write_memory():
    local = ctypes.create_string_buffer(b"overwritten!", 12)
    ours = struct.pack("QQ", ctypes.addressof(local), 12)
    theirs = struct.pack("QQ", address, 12)
    call(311, victim, ours, 1, theirs, 1, 0)


def read_mem_file():
    with open(f"/proc/{victim}/mem", "rb", 0) as file:
        file.seek(address)
        file.read(16)


def attach():
    call(101, 16, victim, 0, 0)
    os.waitpid(victim, 0x40000000)
    call(101, 17, victim, 0, 0)


def trace_child():
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        call(101, 16, child, 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def get_descriptor():
    call(438, os.pidfd_open(victim), 0, 0)


def type_words():
    os.setsid()
    _, slave = pty.openpty()
    fcntl.ioctl(slave, 0x540E, 0)
    call(16, slave, 0x5412, ctypes.create_string_buffer(b"x"))


def type_words_with_garbage():
    os.setsid()
    _, slave = pty.openpty()
    fcntl.ioctl(slave, 0x540E, 0)
    call(16, slave, 0x5412 | (1 << 32), ctypes.create_string_buffer(b"x"))


def clone_with(flags):
    pid = call(56, flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def clone3():
    arguments = struct.pack("8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    pid = call(435, ctypes.create_string_buffer(arguments, 64), 64)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def machine_code(code):
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    ctypes.CFUNCTYPE(ctypes.c_long)(start)()


attempt("read another's memory", read_memory)
attempt("write another's memory", write_memory)
attempt("open another's memory", read_mem_file)
attempt("trace another", attach)
attempt("signal another", lambda: os.kill(victim, 0))
attempt("trace a child", trace_child)
attempt("take a descriptor", get_descriptor)
for name, flag in NAMESPACES.items():
    attempt(f"unshare {name}", lambda flag=flag: call(272, flag))
    attempt(f"clone into {name}", lambda flag=flag: clone_with(flag))
attempt("clone3", clone3)
attempt("enter a namespace", lambda: call(308, os.open("/proc/self/ns/net", os.O_RDONLY), 0))
attempt("mount", lambda: call(165, b"none\0", b"/tmp\0", b"tmpfs\0", 0, 0))
attempt("new mount", lambda: call(430, b"tmpfs\0", 0))
attempt("open tree", lambda: call(428, -100, b"/tmp\0", 1))
attempt("change root", lambda: os.chroot("/tmp"))
attempt("key ring", lambda: call(250, 0, -3, 1, 0, 0))
attempt("add a key", lambda: call(248, b"user\0", b"name\0", b"x", 1, -3))
attempt("load a program", lambda: call(321, 5, ctypes.create_string_buffer(128), 128))
attempt("page faults", lambda: call(323, 0))
attempt(
    "performance counters",
    lambda: call(298, ctypes.create_string_buffer(struct.pack("IIQ", 1, 128, 0), 128), 0, -1, -1, 0),
)
attempt("io_uring", lambda: call(425, 4, ctypes.create_string_buffer(120)))
attempt("personality", lambda: call(135, 0x0040000))
attempt(
    "file handle",
    lambda: call(
        303,
        -100,
        b"/tmp\0",
        ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 200),
        ctypes.create_string_buffer(8),
        0,
    ),
)
attempt("words into a terminal", type_words)
attempt("words into a terminal, garbage above", type_words_with_garbage)
attempt("host name", lambda: call(170, b"attacked", 8))
attempt("a call of tomorrow", lambda: call(1000))
attempt("x32", lambda: call(0x40000000 + 39))
attempt("i386", lambda: machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"))
json.dump(found, sys.stdout)
