"""Front matter as the metadata that is proposed and reviewed."""

from pantheon.core.decoys import Metadata
from pantheon.core.errors import ToolError
from pantheon.core.notes.frontmatter import read_fields


def metadata_of(data: bytes) -> Metadata | None:
    """Return a note's metadata; None when its front matter lacks some of it or does not parse."""
    try:
        fields = read_fields(data)
    except ToolError:
        return None
    title, description, tags = (fields.get(key) for key in ("title", "description", "tags"))
    if not isinstance(title, str) or not isinstance(description, str) or not isinstance(tags, list):
        return None
    return Metadata(title=title, description=description, tags=tuple(str(tag) for tag in tags))
