"""Secrets in lines that a change adds, found by detect-secrets; nothing is ever asked of a network.

A line that stood anywhere in the changed files before was not added: what is only moved is not new. Each detector is
asked by itself, so no setting of the process and no comment in the text can switch one off. A detector of a known
form (a token with its prefix, a private key) is believed as it is; one that guesses from a name such as ``password``
is not believed where the value is plainly a placeholder or is computed.

Accepted trade-offs: the entropy detectors are left out, since digests and ids are everyday words of a repository; a
secret that is cut into pieces, encoded or encrypted is not seen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from pantheon.core.model import Frozen

if TYPE_CHECKING:
    from detect_secrets.plugins.base import BasePlugin

WINDOW = 4_096
"""Characters of a line that are looked at in one go, each half twice."""
NAME_WINDOW = 512
"""The same where a name is looked for: there the time that the detector takes grows with the square of it."""
_LEFT_OUT = frozenset({"Base64 High Entropy String", "Hex High Entropy String", "Public IP (ipv4)"})
_NAMED = "Secret Keyword"
_GUESSES = frozenset({_NAMED, "Basic Auth Credentials"})


class ChangedText(Frozen):
    """One changed file."""

    path: str
    before: str
    after: str
    """Empty where it is not there."""


def find_secret(files: Sequence[ChangedText], *, max_added: int) -> str:
    """Return where an added line seems to hold a secret, and of which kind; empty when none does.

    The secret itself is not repeated.

    Args:
        files: all that the change touches.
        max_added: characters of added lines; more are not looked through, and that is said.
    """
    known = {_squeeze(line) for file in files for line in file.before.splitlines()}
    added = [
        (file.path, number, line)
        for file in files
        for number, line in enumerate(file.after.splitlines(), 1)
        if _squeeze(line) not in known
    ]
    if sum(len(line) for _, _, line in added) > max_added:
        return f"{added[0][0]}: more than {max_added} characters are added, too many to look for secrets in"
    for path, number, line in added:
        for detector in _detectors():
            size = NAME_WINDOW if detector.secret_type == _NAMED else WINDOW
            if any(_finds(detector, path, window) for window in _windows(line, size)):
                return f"{path}: line {number} seems to hold a secret ({detector.secret_type})"
    return ""


def _squeeze(line: str) -> str:
    return " ".join(line.split())


def _windows(line: str, size: int) -> Iterator[str]:
    """Cut a line into parts that overlap by half, so that what is shorter than that is whole in one of them."""
    for start in range(0, max(len(line) - size // 2, 1), size // 2):
        yield line[start : start + size]


@cache
def _detectors() -> tuple["BasePlugin", ...]:
    # Late: it brings a client for HTTP along, which no other part of a night needs.
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    found: Mapping[str, type[BasePlugin]] = get_mapping_from_secret_type_to_class()
    return tuple(found[kind]() for kind in sorted(found) if kind not in _LEFT_OUT)


def _finds(detector: "BasePlugin", path: str, text: str) -> bool:
    found = [one.secret_value or "" for one in detector.analyze_line(filename=path, line=text)]
    if detector.secret_type not in _GUESSES:
        return bool(found)
    return any(not _is_placeholder(value) for value in found)


def _is_placeholder(value: str) -> bool:
    from detect_secrets.filters import heuristic

    of_value: Sequence[Callable[[str], bool]] = (
        heuristic.is_templated_secret, heuristic.is_prefixed_with_dollar_sign, heuristic.is_not_alphanumeric_string,
    )  # fmt: skip
    return any(says(value) for says in of_value) or heuristic.is_indirect_reference(f"={value}")
