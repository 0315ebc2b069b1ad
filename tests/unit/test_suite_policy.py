"""``[tests]`` of the gate's policy is right, or refused by file and key."""

import pytest

from pantheon.core.errors import ConfigError
from pantheon.core.policy import GATE_FILE, GatePolicy, load_policy

GOOD = b'[tests]\ncommand = ["python3", "-m", "pytest", "--junitxml={report}"]\nreport = "junit"\n'


def test_a_right_policy_gives_command_and_limits() -> None:
    """The report's path stands where the command names it; every run has ceilings."""
    suite = load_policy(GatePolicy, GATE_FILE, GOOD + b"wall_s = 5\noutput_kib = 2\n").tests
    assert suite is not None
    assert suite.argv("r.xml") == ("python3", "-m", "pytest", "--junitxml=r.xml")
    assert (suite.limits().wall_s, suite.limits().output_bytes) == (5, 2048)
    assert load_policy(GatePolicy, GATE_FILE, b"").tests is None


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (b'"junit"', b'"nose"', "tests.report"),
        (b"{report}", b"report.xml", "command"),
        (b'"junit"', b'"tap"', "command"),
        (b'"python3"', b'"./run"', "command"),
        (b'"python3"', b'"--help"', "command"),
        (b'"-m"', b'""', "tests.command"),
        (b"report =", b"wall_s = 0\nreport =", "tests.wall_s"),
        (b"report =", b"reruns = 99\nreport =", "tests.reruns"),
        (b"report =", b"comand = 1\nreport =", "tests.comand"),
        (b'report = "junit"', b"", "tests.report"),
    ],
)
def test_a_wrong_policy_is_refused_by_key(old: bytes, new: bytes, key: str) -> None:
    """The message names the file and the key."""
    with pytest.raises(ConfigError) as raised:
        load_policy(GatePolicy, GATE_FILE, GOOD.replace(old, new))
    assert "policies/gate.toml" in raised.value.message and key in raised.value.message
