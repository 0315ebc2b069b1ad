"""Calls a second through the whole client path, against an endpoint that costs next to nothing.

The endpoint is a process of its own, raw ``asyncio`` streams over a Unix socket or loopback, and answers every chat
request with the same few server-sent events. The client is the one that a night uses, unchanged: retries, deadline,
peer check, streaming, parsing, the frozen reply.

    python benchmarks/throughput/client.py [--calls 4000] [--repeat 3] [--streams 16,64,256] [--over uds,tcp] [--json]
"""

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.synchronize
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from pantheon.adapters.http_model import HttpModelClient
from pantheon.core.chat import ChatRequest, Message, Sampling

PIECES = ("The ", "note ", "says ", "what ")
DEADLINE_S = 60.0
REQUEST = ChatRequest(
    messages=(
        Message(role="system", content="You answer with one JSON object. " * 20),
        Message(role="user", content="Give the note a title. " * 20),
    ),
    sampling=Sampling(max_tokens=64),
)


def stream_bytes() -> bytes:
    """Return the whole answer: four pieces of content, the finish, the usage, the end."""
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "trivial"}
    events: list[dict[str, Any]] = [
        {**base, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
        for piece in PIECES
    ]
    events.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 100, "completion_tokens": 4, "total_tokens": 104}
    events.append({**base, "choices": [], "usage": usage})
    lines = [b"data: " + json.dumps(one).encode() + b"\n\n" for one in events] + [b"data: [DONE]\n\n"]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(f"{len(one):x}\r\n".encode() + one + b"\r\n" for one in lines) + b"0\r\n\r\n"


def serve(path: str, port: Any, ready: multiprocessing.synchronize.Event) -> None:
    """Run the endpoint until the process is ended."""
    answer = stream_bytes()
    head_end = answer.index(b"\r\n\r\n") + 4
    split = [answer[:head_end], *_chunks(answer[head_end:])]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lowered = head.lower()
                place = lowered.index(b"content-length:") + 15
                await reader.readexactly(int(lowered[place : lowered.index(b"\r\n", place)]))
                # One write per piece, as an engine does, so that chunks are counted too.
                for piece in split:
                    writer.write(piece)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        unix = await asyncio.start_unix_server(handle, path, backlog=1024)
        tcp = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
        port.value = tcp.sockets[0].getsockname()[1]
        ready.set()
        async with unix, tcp:
            await asyncio.Event().wait()

    asyncio.run(main())


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, _ = body.partition(b"\r\n")
        end = len(size) + 2 + int(size, 16) + 2
        yield body[:end]
        body = body[end:]


async def measure(client: HttpModelClient, *, streams: int, calls: int) -> dict[str, float]:
    """Make ``calls`` calls, ``streams`` at once; returns calls a second and CPU of this process per call."""

    async def work(left: Iterator[int], waits: list[float]) -> None:
        for _ in left:
            began = time.perf_counter()
            reply = await client.chat(REQUEST, deadline_s=DEADLINE_S)
            waits.append(time.perf_counter() - began)
            assert reply.text == "".join(PIECES)
            assert reply.usage.completion_tokens == len(PIECES)

    async def make(count: int) -> list[float]:
        left, waits = iter(range(count)), list[float]()
        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(work(left, waits), name=f"stream {number}")
        return waits

    await make(2 * streams)
    began, cpu = time.perf_counter(), time.process_time()
    waits = await make(calls)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    waits.sort()
    return {
        "calls_per_s": round(calls / wall_s, 1),
        "cpu_ms_per_call": round(1000 * cpu_s / calls, 3),
        "p50_ms": round(1000 * waits[len(waits) // 2], 2),
        "p99_ms": round(1000 * waits[int(len(waits) * 0.99)], 2),
    }


async def run(args: argparse.Namespace, path: str, port: int) -> list[dict[str, Any]]:
    rows = []
    for over in args.over.split(","):
        for streams in map(int, args.streams.split(",")):
            base_url = "http://localhost" if over == "uds" else f"http://127.0.0.1:{port}"
            client = HttpModelClient(
                "trivial", base_url=base_url, uds=path if over == "uds" else None, max_connections=streams
            )
            async with client:
                found = [await measure(client, streams=streams, calls=args.calls) for _ in range(args.repeat)]
            rates = sorted(one["calls_per_s"] for one in found)
            middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
            rows.append(
                {"over": over, "streams": streams, **middle, "lowest": rates[0], "highest": rates[-1]}
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Calls a second through the whole client path.")
    parser.add_argument("--calls", type=int, default=4_000, help="calls of each measurement")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each kind; medians are shown")
    parser.add_argument("--streams", default="16,64,256", help="calls at once, separated by commas")
    parser.add_argument("--over", default="uds,tcp", help="uds, tcp or both")
    parser.add_argument("--json", action="store_true", help="write JSON")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ready, port = context.Event(), context.Value("i", 0)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = str(Path(folder) / "s.sock")
        server = context.Process(target=serve, args=(path, port, ready), daemon=True)
        server.start()
        try:
            if not ready.wait(30):
                sys.exit("the endpoint did not start")
            rows = asyncio.run(run(args, path, port.value))
        finally:
            server.terminate()
            server.join()
    about = {
        "calls": args.calls,
        "python": platform.python_version(),
        "httpx": httpx.__version__,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    if args.json:
        sys.stdout.write(json.dumps({"about": about, "rows": rows}) + "\n")
        return
    lines = [
        ", ".join(f"{name} {value}" for name, value in about.items()),
        f"{'over':5}{'streams':>8}{'calls/s':>10}{'lowest':>9}{'highest':>9}{'CPU ms':>9}{'p50 ms':>9}{'p99 ms':>9}",
    ]
    lines += [
        f"{row['over']:5}{row['streams']:8}{row['calls_per_s']:10.0f}{row['lowest']:9.0f}{row['highest']:9.0f}"
        f"{row['cpu_ms_per_call']:9.3f}{row['p50_ms']:9.1f}{row['p99_ms']:9.1f}"
        for row in rows
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
