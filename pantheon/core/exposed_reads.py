"""Whether what the policy lets a repository's code read (``sandbox_reads``) would show it a secret or the night.

Invariant: a path that is a secret, lies in one or has one below it is exposed; all three are looked for with links
already followed, so that a name that leads elsewhere is judged by where it leads.
"""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

AT_HOME = (
    ".aws", ".azure", ".config/gcloud", ".config/gh", ".config/pantheon", ".docker", ".git-credentials", ".gnupg",
    ".kube", ".local/share/keyrings", ".mozilla", ".netrc", ".npmrc", ".password-store", ".pypirc", ".ssh",
)  # fmt: skip
"""Files and folders below a home folder that hold keys."""


def find_exposed(reads: Mapping[str, str], secrets: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Yield (path that the policy names, what it would show) for each that shows something.

    Args:
        reads: path as the policy names it -> the same with links followed.
        secrets: path with links followed -> what is there, in words.
    """
    for named, real in reads.items():
        for place, what in secrets.items():
            one, other = PurePosixPath(real), PurePosixPath(place)
            if one.is_relative_to(other) or other.is_relative_to(one):
                yield named, f"{what} ({place})"
                break


def home_secrets(home: str) -> Mapping[str, str]:
    """Return the paths below a home folder that hold keys; the folder itself has all of them below it."""
    return {f"{home.rstrip('/')}/{name}": "keys of this user" for name in AT_HOME}
