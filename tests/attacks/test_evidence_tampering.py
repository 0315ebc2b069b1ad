"""Attacks on what a night has left: every region of every kind of file, each noticed by our verifier and by others.

The control is the untouched night, which all three verifiers find good.
"""

import base64
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from pantheon.adapters import night_verifier
from pantheon.core.checkpoint import Checkpoint, write_note
from pantheon.core.delegation import NIGHT_ROLE, read_delegation
from pantheon.core.dsse import PAYLOAD_TYPE, key_id, pae, parse_envelope, peek_payload, seal
from pantheon.core.merkle import MerkleTree
from pantheon.core.statement import parse_statement
from pantheon.core.verify import Flaw
from pantheon.testing.evidence_night import make_night, run_openssl_recipe, run_python_recipe, verify
from pantheon.testing.signing import FakeSigner

Tamper = Callable[[list[bytes]], None]


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two nights over one repository have left."""
    return make_night(tmp_path_factory.mktemp("tampering"), ("n1", "n2"))


@pytest.fixture
def night(two_nights: Path, tmp_path: Path) -> Path:
    """The first night, in a copy that may be tampered with; the second stands beside it."""
    shutil.copytree(two_nights / "artifacts", tmp_path / "artifacts")
    shutil.copytree(two_nights / "keys", tmp_path / "keys")
    return tmp_path / "artifacts" / "n1"


def lines_of(night: Path) -> list[bytes]:
    return (night / "ledger.jsonl").read_bytes().splitlines()


def rewrite(night: Path, lines: Sequence[bytes]) -> None:
    (night / "ledger.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def flaws(night: Path) -> set[Flaw]:
    return {one.flaw for one in verify(night).defects}


def index_of(lines: Sequence[bytes], kind: str) -> int:
    found = (parse_statement(peek_payload(parse_envelope(line))).predicate_type for line in lines)
    return next(place for place, one in enumerate(found) if one.endswith(kind))


@pytest.mark.primitive("openssl")
def test_control_an_untouched_night_is_good_for_all_three(night: Path) -> None:
    """Our verifier, openssl with coreutils, and securesystemslib agree that nothing is wrong."""
    verdict = verify(night)
    assert verdict.defects == ()
    assert verdict.closed
    assert run_openssl_recipe(night)[0] == "good"
    assert run_python_recipe(night) == "good"


REGIONS = {
    "payload, first": lambda line: line.index(b'"payload":"') + 12,
    "payload, last": lambda line: line.index(b'","payloadType"') - 3,
    "payload type": lambda line: line.index(b"vnd.in-toto") + 2,
    "key id": lambda line: line.index(b'"keyid":"') + 12,
    "signature, first": lambda line: line.index(b'"sig":"') + 9,
    "signature, last": lambda line: len(line) - 8,
    "name of a field": lambda line: line.index(b'"signatures"') + 3,
    "bracket": lambda line: line.index(b"[{"),
    "end": lambda line: len(line) - 1,
}


KINDS = ("delegation/v1", "attempt/v1", "review/v1", "verification_summary/v1", "night/v1")


@pytest.mark.parametrize("region", REGIONS)
def test_a_byte_of_any_region_of_any_record(night: Path, region: str) -> None:
    """One bit of a record is enough, wherever it is, for each of the three verifiers."""
    whole = lines_of(night)
    for kind in KINDS:
        lines = list(whole)
        place = index_of(lines, kind)
        changed = bytearray(lines[place])
        changed[REGIONS[region](lines[place])] ^= 1
        lines[place] = bytes(changed)
        rewrite(night, lines)
        assert flaws(night) & {Flaw.ALTERED, Flaw.MALFORMED, Flaw.WRONG_KEY}, kind
    assert run_python_recipe(night) != "good"
    if region in ("payload, first", "key id", "signature, first"):
        assert run_openssl_recipe(night)[0] == "BAD"


def _payload_type(line: bytes) -> bytes:
    return line.replace(PAYLOAD_TYPE.encode(), b"application/vnd.in-toto.json")


def _unknown_field(line: bytes) -> bytes:
    return line[:-1] + b',"note":"fine"}'


def _unknown_signature_field(line: bytes) -> bytes:
    return line.replace(b'"sig":', b'"cert":"x","sig":')


def _url_safe(line: bytes) -> bytes:
    value = json.loads(line)
    signature = base64.b64decode(value["signatures"][0]["sig"])
    # One that differs in the other alphabet, so that what is tried is the alphabet.
    assert base64.b64encode(signature) != base64.urlsafe_b64encode(signature)
    value["signatures"][0]["sig"] = base64.urlsafe_b64encode(signature).decode()
    return json.dumps(value, separators=(",", ":")).encode()


def _spaced(line: bytes) -> bytes:
    return json.dumps(json.loads(line)).encode()


def _no_signature(line: bytes) -> bytes:
    return json.dumps({**json.loads(line), "signatures": []}).encode()


def _key_twice(line: bytes) -> bytes:
    return line[:-1] + b',"payloadType":"' + PAYLOAD_TYPE.encode() + b'"}'


@pytest.mark.parametrize(
    "change",
    [_payload_type, _unknown_field, _unknown_signature_field, _url_safe, _spaced, _no_signature, _key_twice],
)
def test_another_spelling_of_a_record(night: Path, change: Callable[[bytes], bytes]) -> None:
    """What other readers would take for the same envelope is another line, and so another tree."""
    lines = lines_of(night)
    place = next(n for n, line in enumerate(lines) if n and set(b"+/") & set(line.rpartition(b'"sig":')[2]))
    lines[place] = change(lines[place])
    rewrite(night, lines)
    assert flaws(night)
    if change in (_unknown_field, _spaced):
        assert run_openssl_recipe(night)[0] == "BAD"


def _drop_middle(lines: list[bytes]) -> None:
    del lines[5]


def _swap(lines: list[bytes]) -> None:
    lines[4], lines[5] = lines[5], lines[4]


def _double(lines: list[bytes]) -> None:
    lines.insert(6, lines[5])


def _cut_tail(lines: list[bytes]) -> None:
    del lines[-3:]


def _append_again(lines: list[bytes]) -> None:
    lines.append(lines[3])


def _append_garbage(lines: list[bytes]) -> None:
    lines.append(b"{}")


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (_drop_middle, {Flaw.MISSING, Flaw.TRUNCATED}),
        (_swap, {Flaw.OUT_OF_ORDER, Flaw.ALTERED}),
        (_double, {Flaw.DUPLICATE, Flaw.ALTERED}),
        (_cut_tail, {Flaw.TRUNCATED}),
        (_append_again, {Flaw.DUPLICATE, Flaw.EXTRA}),
        (_append_garbage, {Flaw.MALFORMED, Flaw.EXTRA}),
    ],
)  # fmt: skip
def test_records_dropped_moved_doubled_cut_or_added(night: Path, tamper: Tamper, named: set[Flaw]) -> None:
    """Each is told by its name, and no other verifier finds the night good."""
    lines = lines_of(night)
    tamper(lines)
    rewrite(night, lines)
    assert named <= flaws(night)
    if tamper in (_drop_middle, _swap, _cut_tail):
        assert run_openssl_recipe(night)[0] == "BAD"


def test_half_a_record_behind_the_end(night: Path) -> None:
    """Bytes behind the end of a closed night are not taken for what a crash leaves."""
    with (night / "ledger.jsonl").open("ab") as file:
        file.write(b'{"payload"')
    assert Flaw.EXTRA in flaws(night)


@pytest.mark.parametrize("size", ["0", "5", "26", "999999", "-1", "1e3"])
def test_a_checkpoint_of_another_size(night: Path, size: str) -> None:
    """Its size cannot be rewritten without the night's key."""
    path = night / "checkpoint"
    origin, _, rest = path.read_text().split("\n", 2)
    path.write_text(f"{origin}\n{size}\n{rest}")
    assert flaws(night) & {Flaw.WRONG_KEY, Flaw.MALFORMED}
    if size == "5":
        assert run_openssl_recipe(night)[0] == "BAD"


def test_a_ledger_made_to_be_long_is_not_read_to_its_end(
    night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines without end behind the night's own: each is told or counted, until nothing more could come of it."""
    monkeypatch.setattr(night_verifier, "MAX_LEFT_OUT", 2_000)
    whole = (night / "ledger.jsonl").read_bytes()
    (night / "ledger.jsonl").write_bytes(whole + b"\n" * 500)
    assert verify(night).records == len(whole.splitlines()) + 500, (
        "the control: a few lines are all looked at"
    )
    (night / "ledger.jsonl").write_bytes(whole + b"\n" * 2_000_000)
    began = time.monotonic()
    verdict = verify(night)
    assert verdict.records < len(whole.splitlines()) + 5_000
    assert not verdict.sound and any("was not read behind record" in note for note in verdict.notes)
    assert time.monotonic() - began < 10


def test_a_checkpoint_by_a_key_of_ones_own(night: Path) -> None:
    """A shortened ledger with a checkpoint that fits it needs a key that was delegated."""
    lines = lines_of(night)[:-3]
    rewrite(night, lines)
    origin = (night / "checkpoint").read_text().split("\n")[0]
    point = Checkpoint(origin=origin, size=len(lines), root=MerkleTree(lines).root().hex())
    mine = FakeSigner(7)
    note = write_note(point.text(), origin, mine.public_key, mine._key.sign(point.text().encode()))
    (night / "checkpoint").write_bytes(note)
    assert Flaw.WRONG_KEY in flaws(night)


def test_a_whole_night_by_a_key_of_ones_own(night: Path) -> None:
    """Everything signed anew, delegation included, stands on another key than the one that is asked for."""
    mine = FakeSigner(7)
    keys: dict[str, FakeSigner] = {}
    forged: list[bytes] = []
    for line in lines_of(night):
        payload = peek_payload(parse_envelope(line))
        signer = mine if not forged else keys[NIGHT_ROLE]
        if not forged:
            delegation = read_delegation(parse_statement(payload))
            keys = {role: FakeSigner(100 + place) for place, role in enumerate(delegation.keys)}
            value = json.loads(payload)
            value["predicate"]["keys"] = {role: one.public_key.hex() for role, one in keys.items()}
            value["subject"] = [{"name": r, "digest": {"sha256": one.key_id}} for r, one in keys.items()]
            payload = json.dumps(value).encode()
        signature = signer._key.sign(pae(PAYLOAD_TYPE, payload))
        forged.append(seal(payload, [(key_id(signer.public_key), signature)]).to_bytes())
    rewrite(night, forged)
    found = verify(night)
    assert {one.flaw for one in found.defects} >= {Flaw.WRONG_KEY}
    assert found.night == ""
    assert run_openssl_recipe(night)[0] == "BAD"
    assert run_python_recipe(night) != "good"


def test_two_nights_exchanged(night: Path) -> None:
    """A ledger, a checkpoint, a record or an attempt of another night does not pass for this one's."""
    other = night.with_name("n2")
    for name in ("ledger.jsonl", "checkpoint"):
        kept = (night / name).read_bytes()
        (night / name).write_bytes((other / name).read_bytes())
        assert verify(night).defects, name
        (night / name).write_bytes(kept)
    lines = lines_of(night)
    place = index_of(lines, "attempt/v1")
    lines[place] = lines_of(other)[place]
    rewrite(night, lines)
    assert flaws(night) & {Flaw.WRONG_NIGHT, Flaw.WRONG_KEY}
    assert run_openssl_recipe(night)[0] == "BAD"


def test_two_attempts_exchanged(night: Path) -> None:
    """The folders of two attempts changed round are two attempts that are not what was attested."""
    task = next(path for path in night.iterdir() if path.is_dir())
    for one, other in (("checks", "gate"), ("review.peerA", "review.peerB")):
        (task / one).rename(task / "away")
        (task / other).rename(task / one)
        (task / "away").rename(task / other)
    assert flaws(night) >= {Flaw.ALTERED}


def _device(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    (folder / "metrics.json").symlink_to("/dev/zero")


def _pipe(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    os.mkfifo(folder / "metrics.json")


def _elsewhere(folder: Path) -> None:
    kept = folder.parents[3] / "kept.json"
    (folder / "metrics.json").rename(kept)
    (folder / "metrics.json").symlink_to(kept)


def _link_folder(folder: Path) -> None:
    kept = folder.parents[3] / "kept"
    folder.rename(kept)
    folder.symlink_to(kept)


@pytest.mark.parametrize("attack", [_device, _pipe, _elsewhere, _link_folder])
def test_what_is_no_file_is_not_read(night: Path, attack: Callable[[Path], None]) -> None:
    """A device, a pipe, a link to the very same bytes: none is an artifact, and none holds the verifier up."""
    attack(next(night.glob("*/gate/001")))
    assert flaws(night)


def test_files_made_to_be_long_are_not_read_to_their_end(night: Path) -> None:
    """Terabytes of holes, which cost the disk nothing, in the place of a file and beside it."""
    folder = next(night.glob("*/gate/001"))
    for name, size in (("input.json", 1 << 40), ("stranger", 1 << 29)):
        with (folder / name).open("ab") as file:
            file.truncate(size)
    assert (folder / "input.json").stat().st_size == 1 << 40, "the control"
    began = time.monotonic()
    found = {(one.flaw, one.where.rpartition("/")[2]) for one in verify(night).defects}
    assert found == {(Flaw.MALFORMED, "input.json"), (Flaw.EXTRA, "stranger")}
    assert time.monotonic() - began < 5


def test_a_stranger_beside_the_attempts(night: Path) -> None:
    """A file or an attempt that nobody attested is told, wherever it stands."""
    (night / "notes.txt").write_text("hello")
    gate = next(night.glob("*/gate/001"))
    shutil.copytree(gate, gate.with_name("002"))
    (gate.parent / "stray").write_text("x")
    where = {one.where.rpartition("/")[2] for one in verify(night).defects if one.flaw is Flaw.EXTRA}
    assert where == {"notes.txt", "002", "stray"}


def _as_folder(path: Path) -> None:
    path.mkdir()
    (path / "x").write_text("hidden")


def _as_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _as_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    "name", ["report.html", "report.json", ".checkpoint.new", "server-20261121-162028.log"]
)
@pytest.mark.parametrize("attack", [_as_folder, _as_link, _as_fifo])
def test_what_passes_by_its_name_is_looked_at_all_the_same(
    night: Path, name: str, attack: Callable[[Path], None]
) -> None:
    """A file that nobody signs is named as such, and must be a file; anything else under its name is a defect."""
    (night / name).unlink(missing_ok=True)
    (night / name).write_text("x")
    control = verify(night)
    assert control.defects == ()
    assert any(note.startswith(f"{name} is signed by nobody") for note in control.notes)
    (night / name).unlink()
    attack(night / name)
    assert [(one.flaw, one.where) for one in verify(night).defects] == [(Flaw.MALFORMED, name)]


def test_empty_folders_and_missing_copies_are_named(night: Path) -> None:
    """A folder with nothing in it, and an attempt without its copy of the record, do not go unnoticed."""
    task = next(path for path in night.iterdir() if path.is_dir())
    (night / "empty").mkdir()
    (task / "node").mkdir()
    copy = next(night.glob("*/gate/001/attestation.json"))
    copy.unlink()
    (task / "gate" / "007").mkdir()
    found = verify(night)
    assert {(one.flaw, one.where) for one in found.defects} == {
        (Flaw.EXTRA, "empty"),
        (Flaw.EXTRA, f"{task.name}/node"),
        (Flaw.MISSING, str(copy.relative_to(night))),
    }
    assert f"{task.name}/gate/007: an empty folder, which nothing attests" in found.notes
    rewrite(night, lines_of(night)[:-1])
    left_open = {one.where for one in verify(night).defects}
    assert not left_open & {"empty", str(copy.relative_to(night))}


def test_the_private_key_is_nowhere_in_what_is_left(two_nights: Path) -> None:
    """No file of a night, its state or its witness holds a private key; the user's own file is the control."""
    own = (two_nights / "keys" / "night").read_bytes()
    assert b"PRIVATE KEY" in own
    raw = serialization.load_pem_private_key(own, None).private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    for path in two_nights.rglob("*"):
        if path.is_file() and path.parent.name != "keys":
            data = path.read_bytes()
            assert b"PRIVATE KEY" not in data, path
            assert raw not in data, path


def test_a_cut_copy_is_forgiven_only_where_a_process_died(night: Path) -> None:
    """A copy with only the beginning of its record is a note in a night left open, a defect in a closed one."""
    copy = next(night.glob("*/*/*/attestation.json"))
    whole = copy.read_bytes()
    place = str(copy.relative_to(night))

    def found() -> set[tuple[Flaw, str]]:
        return {(one.flaw, one.where) for one in verify(night).defects}

    copy.write_bytes(whole[:100])
    assert (Flaw.ALTERED, place) in found()
    rewrite(night, lines_of(night)[:-1])
    assert (Flaw.ALTERED, place) not in found()
    assert any("was cut by a crash" in note for note in verify(night).notes)
    copy.write_bytes(whole[:99] + b"x")
    assert (Flaw.ALTERED, place) in found()
