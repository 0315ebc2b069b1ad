"""What git said of commits, kept for a while: a commit never changes, and a night asks the same of it many times.

Invariants:
- only what depends on nothing but objects that were named by their whole ids is kept;
- what may be otherwise another time, such as an error, is never kept;
- what is kept stays within its bounds, in bytes and in number.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from pantheon.adapters.git.command import GitRunner

KEPT_BYTES = 16_000_000
KEPT_ANSWERS = 2_000
_LARGEST_BYTES = KEPT_BYTES // 16
"""One answer does not push out many."""
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_Question = tuple[tuple[str, ...], bytes, frozenset[tuple[str, str]]]


class CommitAnswers:
    """Asks one git directory.

    Args:
        git: runs the commands; they only read.
        kept_bytes: how much of questions and answers is kept.
    """

    def __init__(self, git: GitRunner, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._git = git
        self._kept: OrderedDict[_Question, bytes] = OrderedDict()
        self._kept_bytes = kept_bytes
        self._bytes = 0

    async def ask(
        self,
        *args: str,
        objects: Sequence[str],
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        whole: Callable[[bytes], bool] = lambda _: True,
    ) -> bytes:
        """Return standard output, from memory where it is known.

        Args:
            args: the command and its arguments.
            objects: names of all that the answer depends on.
            stdin: its standard input.
            env: variables beside the closed environment.
            whole: tells whether nothing is missing in an answer; another one is not kept.

        Raises:
            GitError: as ``GitRunner.run``.
        """
        question = (args, stdin, frozenset((env or {}).items()))
        answer = self._kept.get(question)
        if answer is not None:
            self._kept.move_to_end(question)
            return answer
        _, answer = await self._git.run(*args, stdin=stdin, env=env)
        if all(_ID.fullmatch(name) for name in objects) and whole(answer):
            self._keep(question, answer)
        return answer

    def _keep(self, question: _Question, answer: bytes) -> None:
        size = _size(question, answer)
        if size > min(_LARGEST_BYTES, self._kept_bytes) or question in self._kept:
            return
        self._kept[question] = answer
        self._bytes += size
        while self._bytes > self._kept_bytes or len(self._kept) > KEPT_ANSWERS:
            self._bytes -= _size(*self._kept.popitem(last=False))


def _size(question: _Question, answer: bytes) -> int:
    return sum(map(len, question[0])) + len(question[1]) + len(answer)
