"""What every store of artifacts must do, as a pytest suite.

A store's own test file subclasses ``ArtifactContract`` and gives the fixture ``store``, empty.
"""

import hashlib

import pytest

from pantheon.core.errors import ArtifactError
from pantheon.ports.artifacts import ArtifactSink, ArtifactStore


async def opened(store: ArtifactStore, attempt: int = 1) -> ArtifactSink:
    """Open one attempt's folder."""
    return await store.open_attempt("n1", "abc/t1", "doc.rename", attempt)


class ArtifactContract:
    """The promises of ``ports.artifacts``."""

    async def test_digests_are_those_of_what_was_written(self, store: ArtifactStore) -> None:
        """Whole artifacts and appended ones, empty ones too, each under the SHA-256 of its bytes, by name."""
        sink = await opened(store)
        assert sink.digests() == {}
        await sink.put("output.json", b"{}\n")
        await sink.append("stdout.log", b"one\n")
        await sink.append("stdout.log", b"two\n")
        await sink.put("empty.txt", b"")
        wanted = {"empty.txt": b"", "output.json": b"{}\n", "stdout.log": b"one\ntwo\n"}
        assert sink.digests() == {name: hashlib.sha256(data).hexdigest() for name, data in wanted.items()}
        assert list(sink.digests()) == sorted(wanted)

    async def test_whole_artifacts_stay_as_they_are(self, store: ArtifactStore) -> None:
        """The same bytes again are no change; other bytes, or more of them, are refused."""
        sink = await opened(store)
        await sink.put("output.json", b"first")
        before = sink.digests()
        await sink.put("output.json", b"first")
        with pytest.raises(ArtifactError, match="already written"):
            await sink.put("output.json", b"second")
        with pytest.raises(ArtifactError, match="already written"):
            await sink.append("output.json", b"more")
        assert sink.digests() == before

    async def test_appended_artifacts_are_not_put(self, store: ArtifactStore) -> None:
        """What grows line by line is not replaced as a whole, not even by the same bytes."""
        sink = await opened(store)
        await sink.append("stdout.log", b"line\n")
        with pytest.raises(ArtifactError, match="already written"):
            await sink.put("stdout.log", b"line\n")

    async def test_sealing_may_be_repeated(self, store: ArtifactStore) -> None:
        """More may follow a seal, and is made durable by the next one."""
        sink = await opened(store)
        await sink.seal()
        await sink.put("input.json", b"{}")
        await sink.seal()
        await sink.seal()
        assert set(sink.digests()) == {"input.json"}

    async def test_an_attempts_folder_is_its_own(self, store: ArtifactStore) -> None:
        """Opened twice it is refused; another attempt has another folder."""
        first, second = await opened(store, 1), await opened(store, 2)
        assert first.folder != second.folder
        with pytest.raises(ArtifactError, match="never overwritten"):
            await opened(store, 1)

    @pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a\0b", "a b", "ä"])
    async def test_names_cannot_lead_elsewhere(self, store: ArtifactStore, name: str) -> None:
        """Neither an artifact nor a folder nor a night's file is named by anything but plain letters."""
        sink = await opened(store)
        with pytest.raises(ArtifactError):
            await sink.put(name, b"x")
        with pytest.raises(ArtifactError):
            await sink.append(name, b"x")
        with pytest.raises(ArtifactError):
            await store.open_attempt("n1", "abc/t1", name, 7)
        with pytest.raises(ArtifactError):
            await store.put_night_file("n1", name, b"x")
        assert sink.digests() == {}

    async def test_a_nights_file_is_replaced_as_a_whole(self, store: ArtifactStore) -> None:
        """The report of a night may be written again, and stands at the same place."""
        first = await store.put_night_file("n1", "report.html", b"one")
        second = await store.put_night_file("n1", "report.html", b"two")
        assert first == second
        assert first.startswith("/")
        assert first.endswith("n1/report.html")
