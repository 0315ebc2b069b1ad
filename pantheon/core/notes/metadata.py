"""Front matter as the metadata that is proposed and reviewed."""

from functools import lru_cache

from pantheon.core.decoys import Metadata
from pantheon.core.errors import ToolError
from pantheon.core.notes.frontmatter import MAX_BLOCK_BYTES, read_block, split_note

_REMEMBERED = 512
"""Blocks; each is at most ``MAX_BLOCK_BYTES``. The neighbours of one note are those of the next."""


def metadata_of(data: bytes) -> Metadata | None:
    """Return a note's metadata; None when its front matter lacks some of it or does not parse."""
    block = split_note(data).block
    return _metadata_in(block) if len(block) <= MAX_BLOCK_BYTES else None


@lru_cache(maxsize=_REMEMBERED)
def _metadata_in(block: bytes) -> Metadata | None:
    try:
        fields = read_block(block)
    except ToolError:
        return None
    title, description, tags = (fields.get(key) for key in ("title", "description", "tags"))
    if not isinstance(title, str) or not isinstance(description, str) or not isinstance(tags, list):
        return None
    return Metadata(title=title, description=description, tags=tuple(str(tag) for tag in tags))
