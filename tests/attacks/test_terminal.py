"""The terminal under attack: no byte that a model or a repository chose acts on it, by whatever command it is shown."""

import ast
import asyncio
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

import pantheon
from pantheon.core.visible import visible
from pantheon.shell.cli.app import COMMANDS, run
from pantheon.shell.cli.output import (
    emit,
    emit_json,
    emit_line,
    emit_marked,
    emit_rows,
    progress,
    say,
    to_json,
)
from pantheon.shell.config import Project, load_project
from pantheon.shell.logs import configure_logs
from pantheon.testing.sample_project import play_night, put_below
from pantheon.testing.user_repository import git

CORPUS = (
    "\x1b[2J\x1b[H",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]2;title\x1b\\",
    "\x1b]8;;http://x.invalid\x07link\x1b]8;;\x07",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1b]1337;File=:AAAA\x07",
    "\x1bP$qm\x1b\\",
    "\x1b[6n",
    "\x1b[c",
    "\x1b]10;?\x07",
    "\x1bc",
    "\x1b[?1049h",
    "\x1b[8m hidden",
    "\x1b[1A\x1b[2K",
    "\x9b2J",
    "\x9d0;title\x9c",
    "\x90q\x9c",
    "\x84\x85\x8d",
    "ok\rFAKE",
    "secret\b\b\b",
    "bell\x07",
    "\x0e\x0f",
    "\x00nul",
    "\x7fdel",
    "\x0b\x0c",
    "\u202egnp.exe",
    "\u2066x\u2069\u2067y",
    "\u200bzero\u200d\u2060",
    "\ufeff",
    "\u2028\u2029",
    "\u061c\u200e\u200f",
    "\U000e0041\U000e0020",
    "\u00ad\u034f\u180e",
    "\ud800",
    "\x1b(0lqk\x1b(B",
    "\x1b[?25l",
)
"""Cursor and screen, titles, links, clipboard, answers a terminal would type, C1, carriage return, backspace."""
ALLOWED = re.compile(r"[\n\t\x20-\x7e\u00a0-\U0010ffff]*")
OWN_COLOURS = re.compile(r"\x1b\[(?:\d{1,2})(?:;\d{1,2})*m")


def assert_harmless(data: bytes) -> None:
    """Fail on anything but printable text, line feeds and tabs."""
    text = data.decode("utf-8")
    assert ALLOWED.fullmatch(text), [char for char in text if not ALLOWED.fullmatch(char)]
    assert visible(text) == text


def hostile() -> Iterator[str]:
    """Yield the corpus for ever."""
    while True:
        yield from CORPUS


def test_the_corpus_is_an_attack() -> None:
    """The control: each text, written as it is, has a byte that acts or hides."""
    for text in CORPUS:
        with pytest.raises((AssertionError, UnicodeEncodeError)):
            assert_harmless(text.encode())


def test_every_way_out_is_a_door(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Data, tables, JSON, remarks, progress, marks."""
    for text in CORPUS:
        emit(text)
        emit_json({text: [text]})
        emit_line({text: text})
        emit_marked("ok", "good", text, text)
        emit_rows((text,), [(text,)])
        say(text)
        with progress(text) as told:
            told(1, 10, text)
    captured = capfdbinary.readouterr()
    assert captured.out and captured.err
    assert_harmless(captured.out)
    assert_harmless(captured.err)


DOORS = {"shell/cli/output.py"}
CHILDREN = {
    "adapters/llama_child.py": "its output is a log file's",
    "adapters/relay.py": "its parent reads one line of it",
    "adapters/signer_process.py": "its parent reads one word of it",
}
HARMLESS = {"flush", "isatty", "fileno", "reconfigure", "encoding"}


STREAMS = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}
NAMES = {"stdout", "stderr", "echo", "secho", "prompt", "confirm"}


def bypasses(source: str, *, shell: bool) -> list[str]:
    """Return what writes to a person past the door."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if name in ("print", "input", "breakpoint", "sys.displayhook") or name.startswith(
            (
                "traceback.print_",
                "pprint.",
                "click.echo",
                "click.secho",
                "click.prompt",
                "click.confirm",
                "click.progressbar",
                "click.pause",
                "click.edit",
                "click.clear",
                "warnings.warn",
                "logging.",
            )
        ):
            found.append(name)
        if name == "os.write" and ast.unparse(node.args[0]) in ("1", "2"):
            found.append(name)
        if (
            isinstance(node, ast.Attribute)
            and ast.unparse(node.value) in STREAMS
            and node.attr not in HARMLESS
        ):
            found.append(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and node.module in ("sys", "click") and shell:
            found += [
                one.name
                for one in node.names
                if one.name in ("stdout", "stderr", "echo", "secho", "prompt", "confirm")
            ]
        modules = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [
            one
            for one in modules
            if one.split(".")[0] in ("rich", "logging", "curses", "readline", "textual")
        ]
    return found


def test_no_module_speaks_past_the_door() -> None:
    """Neither a command nor anything else of Pantheon's; the modules whose output nobody sees are named."""
    root = Path(pantheon.__path__[0])
    for path in root.rglob("*.py"):
        place = path.relative_to(root).as_posix()
        if place in DOORS or place in CHILDREN or place.startswith(("testing/", "_content/")):
            continue
        assert bypasses(path.read_text(encoding="utf-8"), shell=place.startswith("shell/")) == [], place
    for place in (*DOORS, *CHILDREN):
        assert bypasses((root / place).read_text(encoding="utf-8"), shell=True), (
            f"{place} needs no exception any more"
        )


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "import sys\nsys.stdout.write(x)",
        "import sys\nprint(x, file=sys.stderr)",
        "import click\nclick.echo(x)",
        "from click import echo",
        "from sys import stderr",
        "import rich",
        "from rich.console import Console",
        "import logging",
        "import os\nos.write(1, x)",
        "import traceback\ntraceback.print_exc()",
        "import sys\nsys.stderr.buffer.write(x)",
        "import sys\nw = sys.stdout.write",
        "import click\nclick.confirm(x)",
    ],
)
def test_a_bypass_would_be_found(source: str) -> None:
    """The control of the test above: each way past the door is seen."""
    assert bypasses(source, shell=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which every name and every text attacks, after a night of which every text attacks."""
    top = tmp_path_factory.mktemp("template")
    root = top / "repo"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CONFIG_HOME", str(top / "config"))
        git(root, "init", "-q")
        assert run(["-C", str(root), "init"]) == 0
    (root / "notes").mkdir()
    for number, text in enumerate(CORPUS):
        name = text.replace("/", "-").replace("\0", "-")[:40]
        raw = os.fsencode(f"{root}/notes/{number}-") + name.encode("utf-8", "surrogatepass") + b".md"
        Path(os.fsdecode(raw)).write_text("x")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "start")
    project = load_project(root)
    texts = hostile()

    asyncio.run(play_night(project.database, project.artifacts, 16, say=lambda _: next(texts), close=False))
    put = put_below(project.artifacts)
    for text in CORPUS:
        name = os.fsdecode(text.replace("/", "-").replace("\0", "-").encode("utf-8", "surrogatepass"))
        put(f"20260101-220000/{name}", f"{name}.json", text.encode("utf-8", "replace"))
    return top


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the template for one test."""
    shutil.copytree(template, tmp_path / "copy", symlinks=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "copy" / "config"))
    monkeypatch.setenv("PANTHEON_MODELS_DIR", str(tmp_path / "models"))
    return load_project(tmp_path / "copy" / "repo")


def lines_of_attack() -> bytes:
    """Return task lines whose every field attacks, most of them wrong."""
    lines = []
    for text in CORPUS:
        safe = json.dumps(text)
        lines += [
            f'{{"kind": "docops", "goal": {safe}, "targets": [{safe}], "package": {safe}}}',
            f'{{"kind": {safe}, "goal": "g"}}',
            f'{{"id": {safe}, "kind": "docops", "goal": "g", {safe}: 1}}',
            f'{{"kind": "docops", "goal": "g", "needs": [{safe}], "flow": {safe}}}',
            "{" + text.encode("utf-8", "replace").decode(),
        ]
    return "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n\xff\xfe\n\x1b[2J\n"


EVIL = "\x1b]0;x\x07\u202e\x9b2J"
ASKED: dict[str, list[list[str]]] = {
    "init": [["init"], ["init", EVIL]],
    "scope": [
        ["scope", "docops", "notes/**"],
        ["scope", EVIL, EVIL],
        ["scope", "docops", f"x{EVIL}"],
        ["scope", "docops", "notes/**", "--goal", EVIL, "--package", EVIL],
    ],
    "enqueue": [
        ["enqueue", "attack.jsonl"],
        ["enqueue", "--json", "attack.jsonl"],
        ["enqueue", "--dry-run", "attack.jsonl"],
        ["enqueue", f"no{EVIL}"],
        ["enqueue", "good.jsonl", "--label", EVIL],
        ["enqueue", "good.jsonl"],
    ],
    "doctor": [["doctor"], ["doctor", "--json"]],
    "night": [["night", "--no-such", EVIL]],
    "daemon": [["daemon", EVIL]],
    "pause": [["pause", "--reason", EVIL]],
    "resume": [["resume", "--reason", EVIL]],
    "drain": [["drain", "--reason", EVIL, "--json"]],
    "cancel": [["cancel", "note-0000", "--reason", EVIL], ["cancel", EVIL]],
    "hold": [["hold", "note-0001", "--reason", EVIL], ["hold", EVIL, "--reason", EVIL]],
    "release": [["release", "note-0001", "--reason", EVIL], ["release", EVIL, "--json"]],
    "requeue": [["requeue", "note-0002", "--reason", EVIL], ["requeue", EVIL]],
    "status": [["status"], ["status", "--json"]],
    "show": [
        *(["show", f"note-{number:04}"] for number in range(16)),
        ["show", "--json", "note-0002"],
        ["show", EVIL],
    ],
    "gate": [
        ["gate"],
        ["gate", "--json"],
        *(["gate", "explain", f"note-{number:04}"] for number in range(8)),
        ["gate", "explain", "--json", "note-0002"],
        ["gate", EVIL],
        ["gate", "explain", EVIL],
    ],
    "publish": [
        ["publish"],
        ["publish", "--json"],
        ["publish", EVIL],
        ["publish", "--to", EVIL],
        ["publish", "--to", "bundle", "--remote", EVIL, "--target", EVIL, "--out", f"x{EVIL}"],
    ],
    "outcomes": [
        ["outcomes"],
        ["outcomes", "--json"],
        ["outcomes", "--since", EVIL],
        ["outcomes", "--branch", EVIL],
    ],
    "undo": [
        ["undo", "note-0000", "--reason", EVIL],
        ["undo", "note-0000", "--reason", EVIL, "--dry-run", "--json"],
        ["undo", EVIL, "--reason", EVIL],
        ["undo", EVIL],
    ],
    "review": [
        ["review"],
        ["review", "--json"],
        *(["review", "show", f"note-{number:04}"] for number in range(8)),
        ["review", "show", "--json", "note-0002"],
        ["review", EVIL],
        ["review", "show", EVIL],
    ],
    "report": [["report"], ["report", "--json"], ["report", EVIL]],
    "signer": [["signer", EVIL]],
    "server": [
        ["server"],
        ["server", "status", "--json"],
        ["server", "render"],
        ["server", "start"],
        ["server", "stop"],
        ["server", "pool"],
        ["server", "drain", EVIL, "--reason", EVIL],
        ["server", "undrain", EVIL],
        ["server", EVIL],
    ],
    "models": [
        ["models"],
        ["models", "list", "--json"],
        ["models", "pull", EVIL],
        ["models", "verify", EVIL],
        ["models", EVIL],
    ],
    "capacity": [["capacity"], ["capacity", "--json"], ["capacity", EVIL]],
    "verify": [
        ["verify", EVIL],
        ["verify", "artifacts"],
        ["verify", "--json", "artifacts"],
        ["verify", "artifacts/20260101-220000"],
        ["verify", "artifacts/20260101-220000", "--key", EVIL, "--witness", EVIL, "--repository", EVIL],
        ["verify", "--json", "artifacts/20260101-220000"],
    ],
}


NO_COMMAND = [
    [f"x{EVIL}"],
    ["--set", EVIL, "status"],
    ["--set", f"night.x={EVIL}", "status"],
    ["-C", f"/x{EVIL}", "status"],
]


@pytest.mark.parametrize("command", sorted({*COMMANDS, "no such command"}))
def test_no_command_passes_a_byte_on(
    project: Project,
    command: str,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its data, its remarks, its errors and its JSON, over a night and a repository that attack."""
    (project.root / "attack.jsonl").write_bytes(lines_of_attack())
    (project.root / "good.jsonl").write_text(
        '{"kind": "docops", "goal": "\\u001b[2J g", "targets": ["a.md"]}\n'
    )
    capfdbinary.readouterr()
    asked = ASKED.get(
        command,
        [
            [f"x{EVIL}"],
            ["--set", EVIL, "status"],
            ["--set", f"night.x={EVIL}", "status"],
            ["-C", f"/x{EVIL}", "status"],
        ],
    )
    for words in asked:
        run(["-C", str(project.root), *words])
        captured = capfdbinary.readouterr()
        assert captured.out or captured.err, words
        assert_harmless(captured.out)
        assert_harmless(captured.err)


def test_every_command_is_attacked() -> None:
    """A new command needs its words here."""
    assert COMMANDS.keys() <= ASKED.keys()


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["show", "note-0002"],
        ["doctor"],
        ["scope", "docops", "notes/**"],
        ["report"],
        ["review", "show", "note-0000"],
        ["gate", "explain", "note-0002"],
    ],
)
def test_on_a_terminal_only_our_own_colours_act(project: Project, words: list[str]) -> None:
    """The same on a real terminal, where colour is allowed."""
    ours, theirs = pty.openpty()
    code = f"import sys; from pantheon.shell.cli.app import run; sys.exit(run({['-C', str(project.root), *words]!r}))"
    colourful = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, env=colourful
    ) as child:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        child.wait(60)
    os.close(ours)
    assert b"\x1b[" in shown or words[0] != "doctor"
    assert_harmless(OWN_COLOURS.sub("", shown.decode()).replace("\r\n", "\n").encode())


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_logged_goes_through_the_same_door(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """Events, names of values, values and tracebacks; structlog by itself passes some of them on (the control)."""

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    plain, err = io.StringIO(), Stream()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(plain), cache_logger_on_first_use=False)
    structlog.get_logger().warning("git_failed", why="\x1b[2J")
    assert "\x1b[2J" in plain.getvalue(), "the control"
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logs()
    try:
        log = structlog.get_logger().bind(night="\x1b]0;x\x07")
        for text in CORPUS:
            log.warning(text, why=text, path=Path("/x") / text.replace("\0", ""), code=3)
            try:
                raise ValueError(text)
            except ValueError:
                log.exception("failed", **{f"key{text}": [text]})
    finally:
        structlog.reset_defaults()
    assert err.getvalue().count("\n") >= 2 * len(CORPUS)
    assert_harmless(err.getvalue().encode())
    if not terminal:
        assert all(json.loads(line)["level"] for line in err.getvalue().splitlines())


def test_json_for_machines_is_plain_ascii() -> None:
    """Also where JSON itself would let a control through."""
    for text in CORPUS:
        assert to_json({text: text}).isascii() and to_json(text).isprintable()
        assert json.loads(to_json(text)) == text
