"""Secrets in added lines are found, and ordinary text is none."""

import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.core.secret_lines import NAME_WINDOW, WINDOW, ChangedText, find_secret

TOKEN = "ghp_" + "a1B2" * 9
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRETS = {
    "GitHub Token": f"token = {TOKEN}",
    "AWS Access Key": "key: " + "AKIA" + "IOSFODNN7EXAMPLQ",
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Basic Auth Credentials": "https://user:" + "pw12345@host/x",
    "Secret Keyword": "password = " + "'hunter2xyz'",
    "JSON Web Token": f"bearer {JWT}",
}


def find(after: str, before: str = "", path: str = "a.md") -> str:
    """Look for a secret in one changed file."""
    return find_secret([ChangedText(path=path, before=before, after=after)], max_added=200_000)


@pytest.mark.parametrize("kind", SECRETS)
def test_an_added_secret_is_found(kind: str) -> None:
    """By file, line and kind, and without being repeated."""
    found = find(f"first\n{SECRETS[kind]}\n", "first\n")
    assert found == f"a.md: line 2 seems to hold a secret ({kind})"
    assert TOKEN not in found


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_that_was_there_is_not_new(kind: str) -> None:
    """Kept, taken away, moved, indented, or moved to another file of the change: the change added none."""
    text = f"{SECRETS[kind]}\n"
    assert find(text, text) == find("", text) == find(f"new\n  {text}", f"{text}old\n") == ""
    moved = [
        ChangedText(path="a.md", before=text, after=""),
        ChangedText(path="b.md", before="", after=text),
    ]
    assert find_secret(moved, max_added=1_000) == ""
    assert find_secret(moved[1:], max_added=1_000)


def test_another_secret_of_a_known_kind_is_new() -> None:
    """That a file has had one token lets no second one in."""
    assert find(f"a = {TOKEN}\nb = {TOKEN[::-1]}\nc = ghp_{'Z9' * 18}\n", f"a = {TOKEN}\n").startswith(
        "a.md: line 3"
    )


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "wrap",
    [
        "{}  # pragma: allowlist secret",
        "<!-- pragma: allowlist nextline secret --> {}",
        "x = call({})",
        "value = lookup(1); {}",
        "id: {} 123e4567-e89b-12d3-a456-426614174000",
    ],
)
def test_nothing_beside_it_lets_a_secret_through(kind: str, wrap: str) -> None:
    """No comment for the detector, no call around it and no id beside it."""
    for path in ("a.py", "a.md", "swagger/a.lock", "test.css"):
        assert find(wrap.format(SECRETS[kind]), path=path), (kind, path)


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("offset", [WINDOW - 10, WINDOW // 2 + 7, NAME_WINDOW - 9, 3 * WINDOW - 20])
def test_a_secret_in_a_long_line_is_found(kind: str, offset: int) -> None:
    """Wherever the line is cut to be looked at, the secret is whole in one of the parts."""
    assert find("x " * (offset // 2) + SECRETS[kind] + " x" * 5_000)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.md", "Never write a password: into a note."),
        ("a.md", "sha256: " + "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"),
        ("a.md", "title: Rotating the Token of the Object Store\ndescription: The secret is to begin"),
        ("a.py", "password = os.environ['PASSWORD']"),
        ("a.yaml", "password: ${PASSWORD}\nsecret: <your secret>\npwd: '*****'\napi_key: load_key(1)"),
        ("a.md", "clone https://user:${TOKEN}@host/x and see 10.0.0.1 and 8.8.8.8"),
    ],
)  # fmt: skip
def test_ordinary_text_is_no_secret(path: str, text: str) -> None:
    """Digests, prose, references and placeholders pass."""
    assert find(text, path=path) == ""


def test_too_much_is_not_looked_through() -> None:
    """It does not pass either."""
    assert "too many to look for secrets" in find_secret(
        [ChangedText(path="a.md", before="", after="word " * 30)], max_added=100
    )


@pytest.mark.parametrize("part", ["password", "cos_secret", "secret ", "'a'==", "://a:b", "eyJa."])
def test_no_line_takes_it_long(part: str) -> None:
    """One long line that is made for it costs a little, not the square of its length."""
    short, long = (_seconds(part * (length // len(part))) for length in (10_000, 20_000))
    assert long < 3 * short + 0.5


def _seconds(line: str) -> float:
    """Measure the processor's time, which does not pass while others are at work."""
    started = time.process_time()
    find(line, path="a.yaml")
    return time.process_time() - started


def test_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some detectors can ask the service a secret is for; here no socket is ever opened."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(AssertionError):
        socket.create_connection(("127.0.0.1", 9))
    for kind, text in SECRETS.items():
        assert kind in find(text)


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=300), st.text(max_size=100))
def test_no_content_makes_it_fail(after: str, path: str) -> None:
    """Whatever the text, there is an answer."""
    assert isinstance(find(after, path=path), str)
