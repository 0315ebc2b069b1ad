"""Formats under random damage: no crash, no hang, and nothing taken that a strict reader by another road refuses.

``make fuzz`` tries many examples of each.
"""

import asyncio
import base64
import ipaddress
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pantheon.adapters.chat_stream import StreamedReply
from pantheon.core.answer import read_answer
from pantheon.core.checkpoint import Checkpoint, open_note, parse_checkpoint, write_note
from pantheon.core.dsse import PAYLOAD_TYPE, open_envelope, pae, parse_envelope, seal
from pantheon.core.errors import LocalityError, ModelError, SignatureError, VerificationError
from pantheon.core.locality import check_endpoint_url
from pantheon.core.loop import CalledTool, Finalized
from pantheon.testing.signing import FakeSigner

EXAMPLES = max(200, settings().max_examples)
fuzz = settings(max_examples=EXAMPLES, deadline=10_000, suppress_health_check=[HealthCheck.too_slow])

SIGNER = FakeSigner()
PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1","subject":[]}'
ENVELOPE = seal(PAYLOAD, [(SIGNER.key_id, asyncio.run(SIGNER.sign(pae(PAYLOAD_TYPE, PAYLOAD))))]).to_bytes()
CHECKPOINT = Checkpoint(origin="example.invalid/log", size=7, root="ab" * 32).text()
NOTE = write_note(CHECKPOINT, "night", SIGNER.public_key, asyncio.run(SIGNER.sign(CHECKPOINT.encode())))
TOKENS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
    b"\xe2\x80\x94 ",
    b"null",
    b"true",
    b"NaN",
    b"1e400",
    b'"payload":"e30="',
    b'"keyid":"x"',
    b'"extra":1',
    b"=",
    b"-",
    b"_",
    b"+",
    b"/",
    b"\xef\xbb\xbf",
    b"\\u0070ayload",
    b"0",
    b"00",
    b"\n\n",
    b"data:",
    b"data: [DONE]",
    b'{"choices":[{"delta":{"content":"x"}}]}',
    b'"usage":{"prompt_tokens":-1}',
    b'"tool"',
    b'"finalize"',
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return bytes that were cut, doubled, moved, flipped or mixed with pieces that mean something."""
    data = whole
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 24)))
        match draw(st.integers(0, 4)):
            case 0:
                data = data[:start] + data[end:]
            case 1:
                data = data[:end] + data[start:]
            case 2:
                data = data[:start] + draw(st.sampled_from(TOKENS)) + data[end:]
            case 3:
                data = data[:start] + draw(st.binary(max_size=4)) + data[start:]
            case _:
                data = data[:start] + data[start:end].swapcase() + data[end:]
    return data


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a key that stands twice is an error."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def refused(text: str) -> float:
    raise ValueError(text)


def strict_json(data: bytes) -> Any:
    """Read JSON with the standard library, strictly."""
    return json.loads(data.decode("utf-8", "strict"), object_pairs_hook=unique, parse_constant=refused)


def strict_base64(text: Any) -> bytes:
    """Read standard base64; one text has one spelling."""
    found = base64.b64decode(str(text), validate=True)
    if not isinstance(text, str) or base64.b64encode(found).decode() != text:
        raise ValueError("not canonical")
    return found


def strict_payload(data: bytes, key: bytes) -> bytes:
    """Open an envelope by another road: the standard library and the primitive of the signature."""
    value = strict_json(data)
    if set(value) != {"payload", "payloadType", "signatures"} or value["payloadType"] != PAYLOAD_TYPE:
        raise ValueError("fields")
    if any(set(one) != {"keyid", "sig"} for one in value["signatures"]):
        raise ValueError("signature fields")
    payload = strict_base64(value["payload"])
    kind = PAYLOAD_TYPE.encode()
    signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    for one in value["signatures"]:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(strict_base64(one["sig"]), signed)
        except InvalidSignature:
            continue
        return payload
    raise ValueError("no signature holds")


def test_what_is_whole_opens() -> None:
    """The control: undamaged, both readers take the envelope, and the note opens."""
    assert open_envelope(parse_envelope(ENVELOPE), [SIGNER.public_key]) == PAYLOAD
    assert strict_payload(ENVELOPE, SIGNER.public_key) == PAYLOAD
    assert parse_checkpoint(open_note(NOTE, [SIGNER.public_key])).size == 7


@fuzz
@given(damaged(ENVELOPE) | st.binary(max_size=100))
def test_a_damaged_envelope_opens_for_what_was_signed_or_not_at_all(data: bytes) -> None:
    """Whatever opens is the payload that was signed, and a strict reader opens it too."""
    try:
        payload = open_envelope(parse_envelope(data), [SIGNER.public_key])
    except (SignatureError, VerificationError):
        return
    assert payload == PAYLOAD == strict_payload(data, SIGNER.public_key)


@fuzz
@given(damaged(NOTE) | st.binary(max_size=100))
def test_a_damaged_checkpoint_opens_for_what_was_signed_or_not_at_all(data: bytes) -> None:
    """The text is the one that was signed, to the byte."""
    try:
        text = open_note(data, [SIGNER.public_key])
    except (SignatureError, VerificationError):
        return
    assert text == CHECKPOINT
    assert data.startswith(CHECKPOINT.encode() + b"\n")


@fuzz
@given(damaged(CHECKPOINT.encode()).map(lambda data: data.decode("utf-8", "replace")) | st.text(max_size=80))
def test_a_checkpoint_has_one_spelling(text: str) -> None:
    """What is read is written again as it was."""
    try:
        found = parse_checkpoint(text)
    except VerificationError:
        return
    assert found.text() == text


HOSTS = (
    "127.0.0.1",
    "[::1]",
    "localhost",
    "127.1",
    "0",
    "127.0.0.53",
    "[::ffff:127.0.0.1]",
    "0x7f.0.0.1",
    "10.0.0.1",
    "x.invalid",
)
PIECES = (
    "http://",
    "https://",
    "HTTP://",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "?",
    "#",
    ".",
    "%00",
    "%2e",
    "\t",
    "\n",
    " ",
    "\0",
    "80",
    "99999",
    "v1",
    "..",
    "user",
    "\u3002",
    "\uff0f",
    "\u200b",
    "١",
    *HOSTS,
)


@fuzz
@given(
    st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
    | st.tuples(st.sampled_from(HOSTS), st.lists(st.sampled_from(PIECES), max_size=4)).map(
        lambda pair: f"http://{pair[0]}{''.join(pair[1])}"
    )
)
def test_an_address_that_passes_is_this_machine_to_every_reader(url: str) -> None:
    """The standard library and the client that connects read the same host, and it is loopback."""
    try:
        endpoint = check_endpoint_url(url)
    except LocalityError:
        return
    split, client = urlsplit(url), httpx.URL(url)
    for host in (split.hostname, client.host, endpoint.host):
        assert host == "localhost" or ipaddress.ip_address(str(host)).is_loopback
    assert split.scheme == client.scheme == "http"
    assert split.username is split.password is None and not client.userinfo
    assert (split.port or 80) == (client.port or 80) == endpoint.port
    assert not split.query and not split.fragment and endpoint.is_loopback


ANSWERS = tuple(
    json.dumps(value).encode()
    for value in ({"finalize": {"title": "x"}}, {"tool": "look", "args": {"path": "a", "n": [1, 2.5, None]}})
)


@fuzz
@given(st.sampled_from(ANSWERS).flatmap(damaged) | st.binary(max_size=60))
def test_a_damaged_answer_is_one_thing_or_none(data: bytes) -> None:
    """What is taken is exactly one object that a strict reader reads the same."""
    text = data.decode("utf-8", "replace")
    found = read_answer(text, output={"type": "object"}, tools=("look",), tokens=1, cut=False)
    if isinstance(found, Finalized):
        assert strict_json(text.encode()) == {"finalize": dict(found.output)}
    elif isinstance(found, CalledTool):
        assert strict_json(text.encode()) == {"tool": found.tool, "args": dict(found.args)}
    else:
        assert found.problem and len(found.problem) < 1_000


LINES = (
    b'data: {"choices":[{"delta":{"content":"A"},'
    b'"logprobs":{"content":[{"token":"A","logprob":-0.1,"top_logprobs":[]}]}}]}',
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}',
    b"data: [DONE]",
)


@fuzz
@given(st.lists(st.sampled_from(LINES).flatmap(damaged), max_size=6))
def test_a_damaged_stream_ends_in_an_answer_or_a_models_error(lines: list[bytes]) -> None:
    """Nothing else leaves the reader of a server's words."""
    reply = StreamedReply("e", started=0.0)
    try:
        for line in lines:
            if reply.feed(line, now=1.0):
                break
        answer = reply.finish(now=2.0)
    except ModelError:
        return
    assert isinstance(answer.text, str) and answer.usage.completion_tokens >= 0


def test_the_oracles_refuse() -> None:
    """The control of the strict readers: what they are there to catch, they catch."""
    doubled = ENVELOPE.replace(b'{"payload":', b'{"payload":"e30=","payload":', 1)
    checks: list[Callable[[], object]] = [
        lambda: strict_json(b'{"a":1,"a":2}'),
        lambda: strict_json(b'{"a":NaN}'),
        lambda: strict_base64("e30"),
        lambda: strict_payload(doubled, SIGNER.public_key),
    ]
    for check in checks:
        try:
            check()
        except ValueError:
            continue
        raise AssertionError("taken")
