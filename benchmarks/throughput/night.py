"""How full a night keeps a real vLLM: one frozen night at several concurrencies, beside what the raw server can do.

One vLLM (CPU, SmolLM2-135M, float32) serves both over loopback. The night is Pantheon's own command: enqueued,
contained, with store, leases, artifacts and signatures. Its prompts, as the server saw them, and the number of tokens
that each was answered with are then given to vLLM's own ``bench serve`` at the same concurrency: the ceiling.

What makes the two comparable:
- the server's prefix cache is emptied before each of them, and a small night and its ceiling warm the server up;
- prompts and answers have the same lengths, in the same order, or the measurement stops;
- from ``REPEATED_FROM`` at once on each is measured several times in turn, and medians are shown;
- a measurement during which other programs took more than ``QUIET`` of a core is made again, ``TRIES`` times in all,
  and the quietest counts;
- the ceiling is not told to keep to a schema, as the night's calls are, unless ``--constrained`` is said.

    make vllm-setup
    python benchmarks/throughput/night.py [--tasks 32] [--at-once 1,2,4,8,16] [--repeat 3] [--no-ceiling]
        [--constrained] [--paced] [--json FILE]

With ``--paced`` each night is allowed so many at once and finds out itself how many it keeps in flight, as it does
where the configuration says nothing; the raw server is then measured at what the night was allowed.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from frozen_night import NIGHT_S, Night, limits, run_night
from others import mark

from pantheon.testing.vllm_server import NAME, Prepared, Vllm, run_vllm

REPEATED_FROM = 8
QUIET, TRIES = 0.1, 3
WARM_UP_TASKS = 4
Made = TypeVar("Made")


@dataclass(frozen=True)
class Ceiling:
    """What vLLM's own client came to on a night's prompts."""

    per_s: float
    call_s: float
    """Mean seconds from sending a request to its last token."""
    others: float = 0.0
    """Cores that other programs took."""


@dataclass
class Row:
    """All measurements at one concurrency."""

    at_once: int
    nights: list[Night] = field(default_factory=list)
    ceilings: list[Ceiling] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return statistics.median(one.per_s for one in self.nights)

    @property
    def whole_per_s(self) -> float:
        return statistics.median(one.whole_per_s for one in self.nights)

    @property
    def ceiling_per_s(self) -> float:
        return statistics.median(one.per_s for one in self.ceilings)

    @property
    def others(self) -> float:
        """Cores that other programs took, in the least quiet of the measurements."""
        return max([one.others for one in self.nights] + [one.others for one in self.ceilings])

    @property
    def cpu_share(self) -> float:
        """CPU seconds of the night for each second of it: 1 is one core."""
        return statistics.median(one.cpu_s / one.night_s for one in self.nights)


@dataclass
class Bench:
    """One server and what is measured with it."""

    prepared: Prepared
    server: Vllm
    port: int
    folder: Path
    ceilings: bool
    constrained: bool
    paced: bool = False
    _count: int = 0

    def measure(self, row: Row, tasks: int) -> None:
        """Add one night to a row, and its ceiling."""

        def work() -> tuple[Night, list[dict[str, Any]]]:
            self._count += 1
            folder = self.folder / f"night-{self._count}"
            found = run_night(folder, self.port, row.at_once, tasks, paced=self.paced)
            if self.paced:
                sys.stderr.write(f"in flight: {', '.join(map(str, limits(folder)))}\n")
            return found

        (night, calls), others = self._in_quiet(work)
        row.nights.append(replace(night, others=others))
        if not self.ceilings:
            return
        prompts = self.folder / f"prompts-{self._count}.jsonl"
        write_prompts(prompts, calls, self.prepared.model)
        schema = calls[0]["request"]["response_schema"] if self.constrained else None
        ceiling, others = self._in_quiet(lambda: self._measure_ceiling(prompts, night, row.at_once, schema))
        row.ceilings.append(replace(ceiling, others=others))

    def _in_quiet(self, make: Callable[[], Made]) -> tuple[Made, float]:
        """Measure with an empty cache until the machine was quiet; returns what was measured and what others took."""
        found: list[tuple[Made, float]] = []
        while len(found) < TRIES and not (found and found[-1][1] <= QUIET):
            self._empty_cache()
            before = mark(self.server.group)
            made = make()
            found.append((made, mark(self.server.group).others_since(before)))
        return min(found, key=lambda one: one[1])

    def _empty_cache(self) -> None:
        with self.server.http() as http:
            answer = http.post("/reset_prefix_cache")
        if answer.status_code != 200 or not answer.json()["success"]:
            raise SystemExit(f"the prefix cache was not emptied: {answer.status_code} {answer.text}")

    def _measure_ceiling(
        self, prompts: Path, night: Night, at_once: int, schema: dict[str, Any] | None
    ) -> Ceiling:
        """Run vLLM's own benchmark client on these prompts.

        Raises:
            SystemExit: it sent or got other numbers of tokens than the night.
        """
        result = prompts.with_suffix(".result.json")
        extra: dict[str, Any] = {}
        if schema is not None:
            named = {"name": "answer", "strict": True, "schema": schema}
            extra = {"response_format": {"type": "json_schema", "json_schema": named}}
        subprocess.run(
            [
                str(self.prepared.python), str(Path(__file__).with_name("bench_serve.py")), "--backend", "openai",
                "--base-url", f"http://127.0.0.1:{self.port}", "--endpoint", "/v1/completions",
                "--model", NAME, "--tokenizer", str(self.prepared.model),
                "--dataset-name", "custom", "--dataset-path", str(prompts), "--skip-chat-template",
                "--custom-output-len", "-1", "--num-prompts", str(night.calls), "--max-concurrency", str(at_once),
                "--ignore-eos", "--disable-shuffle", "--temperature", "0", "--disable-tqdm",
                # A request of its own before the measurement would leave its prompt in the cache.
                "--ready-check-timeout-sec", "0", "--percentile-metrics", "ttft,tpot,e2el",
                "--extra-body", json.dumps(extra), "--save-result", "--result-filename", str(result),
            ],
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "HF_HUB_OFFLINE": "1"},
            check=True, capture_output=True, timeout=NIGHT_S,
        )  # fmt: skip
        found = json.loads(result.read_text())
        same = found["completed"] == night.calls and found["total_output_tokens"] == night.output_tokens
        if not same or found["total_input_tokens"] != night.prompt_tokens:
            raise SystemExit(
                f"not the same work: {found['completed']} calls, {found['total_input_tokens']} and "
                f"{found['total_output_tokens']} tokens in and out; the night had {night.calls}, "
                f"{night.prompt_tokens} and {night.output_tokens}"
            )
        return Ceiling(float(found["output_throughput"]), float(found["mean_e2el_ms"]) / 1_000)


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def write_prompts(file: Path, calls: list[dict[str, Any]], model: Path) -> None:
    """Write the night's prompts, as the model's own template renders them, in the form of vLLM's custom data set."""
    template = jinja2.Environment(autoescape=False).from_string((model / "chat_template.jinja").read_text())
    with file.open("w") as out:
        for call in calls:
            prompt = template.render(messages=call["request"]["messages"], add_generation_prompt=True)
            asked = {"prompt": prompt, "output_tokens": call["reply"]["usage"]["completion_tokens"]}
            out.write(json.dumps(asked) + "\n")


def table(rows: list[Row]) -> str:
    """Return the figures as a Markdown table, beside the row with the fewest at once."""
    alone = min(rows, key=lambda row: row.at_once)
    lines = [
        "| at once | nights | calls | output tokens | night, tok/s | raw server, tok/s | of the raw server "
        "| of one at once | with start and end, tok/s | CPU of the night | CPU of others |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        one = row.nights[0]
        rates = [night.per_s for night in row.nights]
        spread = f" ({min(rates):.1f} to {max(rates):.1f})" if len(rates) > 1 else ""
        raw = share = ""
        if row.ceilings:
            raw, share = f"{row.ceiling_per_s:.1f}", f"{row.per_s / row.ceiling_per_s:.0%}"
        lines.append(
            f"| {row.at_once} | {len(rates)} | {one.calls} | {one.output_tokens} | {row.per_s:.1f}{spread} | {raw} "
            f"| {share} | {row.per_s / alone.per_s:.2f} | {row.whole_per_s:.1f} | {row.cpu_share:.1%} "
            f"| {row.others:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and keep the figures where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--at-once", default="1,2,4,8,16")
    parser.add_argument(
        "--repeat", type=int, default=3, help=f"nights at {REPEATED_FROM} at once and more; fewer: one"
    )
    parser.add_argument("--no-ceiling", action="store_true")
    parser.add_argument("--constrained", action="store_true", help="have the raw server keep to the schema")
    parser.add_argument("--paced", action="store_true", help="let the night find out how many pay")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    prepared, port = Prepared(), free_port()
    rows = [Row(int(one)) for one in wanted.at_once.split(",")]
    with (
        tempfile.TemporaryDirectory(prefix="throughput-") as name,
        run_vllm(prepared, port=port, adapters=False, extra={"VLLM_SERVER_DEV_MODE": "1"}) as server,
    ):
        bench = Bench(
            prepared, server, port, Path(name), not wanted.no_ceiling, wanted.constrained, wanted.paced
        )
        bench.measure(Row(WARM_UP_TASKS), WARM_UP_TASKS)
        for row in rows:
            for _ in range(wanted.repeat if row.at_once >= REPEATED_FROM else 1):
                bench.measure(row, wanted.tasks)
                sys.stderr.write(f"{row.at_once} at once: {row.nights[-1]} {row.ceilings[-1:]}\n")
            if wanted.json:
                wanted.json.write_text(json.dumps([asdict(one) for one in rows], indent=1))
    versions = (
        f"CPython {platform.python_version()}, {os.cpu_count()} cores, {wanted.tasks} tasks, {NAME} float32"
    )
    sys.stdout.write(f"{table(rows)}\n\n{versions}\n")


if __name__ == "__main__":
    main()
