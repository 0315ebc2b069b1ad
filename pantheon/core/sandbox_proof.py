"""Whether a sandbox confines, judged by what a program in it could do.

Two scripts are run as any other program would be, and what they print is judged. What is missing in their answer counts
as a hole. Invariants: the judgement is a pure function of the answer; more that could be done never makes it better.
"""

from pantheon.core.model import Frozen
from pantheon.core.sandbox import MIB, SandboxKind, SandboxLimits, SandboxResult

PROOF_LIMITS = SandboxLimits(
    wall_s=10,
    cpu_s=5,
    memory_bytes=512 * MIB,
    processes=12,
    file_bytes=MIB,
    output_bytes=65_536,
    tmp_bytes=MIB,
)
LOOK = (
    "/bin/sh",
    "-c",
    r"""
while read -r name value rest; do
  case $name in CapEff:|CapBnd:|NoNewPrivs:|Seccomp:|Uid:) echo "$name$value" ;; esac
done </proc/self/status
while read -r name rest; do case $name in *:*) echo "interface:${name%%:*}" ;; esac; done </proc/net/dev
for place in / /usr /etc /dev /work/.git; do
  (: >"$place/pantheon-proof") 2>/dev/null && echo "writable:$place"
done
(: >/work/pantheon-proof) 2>/dev/null && echo "writable:/work"
for place in /home /root /run /sys /var /boot /mnt /srv; do [ -e "$place" ] && echo "visible:$place"; done
count=0
for place in /proc/[0-9]*; do count=$((count + 1)); done
echo "processes:$count"
read -r first </proc/1/environ && echo "environ:$first"
[ -s /proc/1/environ ] && echo "environ:"
echo "end:"
""",
)
"""Prints one line a fact; uses nothing but the shell."""
MULTIPLY = (
    "/bin/sh", "-c",
    'count=0; while [ "$count" -lt 40 ]; do sleep 5 & count=$((count + 1)); done; echo "survived"',
)  # fmt: skip
"""Starts more processes than it may."""
MAX_VISIBLE_PROCESSES = 6


class SandboxProof(Frozen):
    """What a sandbox is, for the record."""

    kind: SandboxKind
    version: str
    """Of the program that makes the sandbox."""
    filters: tuple[str, ...]
    """SHA-256 of each system-call filter, in the order of loading."""


def find_holes(looked: SandboxResult, multiplied: SandboxResult) -> tuple[str, ...]:
    """Return what is wrong with a sandbox, in words; empty when nothing is.

    Args:
        looked: what ``LOOK`` came to.
        multiplied: what ``MULTIPLY`` came to.
    """
    facts: dict[str, set[str]] = {}
    for line in looked.stdout.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name, set()).add(value.strip())
    if not looked.succeeded or "end" not in facts:
        return ("a program in the sandbox did not come to its end",)
    wanted = {
        "CapEff": ({"0" * 16}, "programs keep capabilities"),
        "CapBnd": ({"0" * 16}, "programs could regain capabilities"),
        "NoNewPrivs": ({"1"}, "programs can gain privileges"),
        "Seccomp": ({"2"}, "no system-call filter is in force"),
        "interface": ({"lo"}, "there is a network interface beside loopback"),
        "writable": ({"/work"}, "not exactly the candidate tree can be written"),
        "visible": (set(), "folders of the machine can be seen"),
        "environ": (set(), "the environment that bubblewrap was started with can be read"),
    }
    holes = [words for name, (values, words) in wanted.items() if facts.get(name, set()) != values]
    if facts.get("Uid", {"0"}) & {"0"}:
        holes.append("programs run as root")
    count = next(iter(facts.get("processes", ())), "")
    if not count.isdigit() or int(count) > MAX_VISIBLE_PROCESSES:
        holes.append("processes of the machine can be seen")
    if b"survived" in multiplied.stdout or multiplied.killed is not None:
        holes.append("the number of processes has no limit")
    return tuple(holes)
