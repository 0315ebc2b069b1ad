"""Policies are read whole or refused."""

from pathlib import Path

import pytest

from pantheon.core.errors import ConfigError
from pantheon.core.policy import (
    GATE_FILE,
    NIGHT_FILE,
    SLO_FILE,
    GatePolicy,
    NightPolicy,
    SloPolicy,
    load_policy,
    policy_digest,
)
from pantheon.core.window import WindowPolicy

SHIPPED = Path(__file__).parents[2] / "policies"


def test_shipped_files_show_the_defaults() -> None:
    """What init copies says exactly what an empty file would mean, and a window whose every key is its default."""
    shipped = load_policy(NightPolicy, NIGHT_FILE, (SHIPPED / NIGHT_FILE).read_bytes())
    assert shipped == NightPolicy(window=WindowPolicy())
    assert load_policy(GatePolicy, GATE_FILE, (SHIPPED / GATE_FILE).read_bytes()) == GatePolicy()
    assert load_policy(SloPolicy, SLO_FILE, (SHIPPED / SLO_FILE).read_bytes()) == SloPolicy()


def test_the_window_is_no_part_of_what_batches_pin() -> None:
    """Other hours, or none, are no drift; another budget is, and in the other policies every byte counts."""
    shipped = (SHIPPED / NIGHT_FILE).read_bytes()
    pinned = policy_digest(NIGHT_FILE, shipped)
    assert policy_digest(NIGHT_FILE, shipped.replace(b'"22:00"', b'"20:00"')) == pinned
    assert policy_digest(NIGHT_FILE, shipped.replace(b"[window]", b"[window.other]")) == pinned
    for before, after in ((b"28800", b"28801"), (b'"refuse"', b'"strip"'), (b'"netns"', b'"firewall"')):
        assert policy_digest(NIGHT_FILE, shipped.replace(before, after)) != pinned
    gate = (SHIPPED / GATE_FILE).read_bytes()
    assert policy_digest(GATE_FILE, gate) != policy_digest(GATE_FILE, gate + b"# a word\n")
    for wrong in (b"budget.output_tokens = 9223372036854775807", b"a = nan", b"a = 1979-05-27", b"a = "):
        with pytest.raises(ConfigError, match=NIGHT_FILE):
            policy_digest(NIGHT_FILE, wrong)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"local_network = []", "policies/night.toml: local_network: unknown field"),
        (b'local_networks = ["8.8.8.0/24"]', "policies/night.toml: local_networks.0: "),
        (b'local_networks = ["localhost"]', "policies/night.toml: local_networks.0: "),
        (b'environment.allow = ["A=B"]', "policies/night.toml: environment.allow.0: "),
        (b"budget.wall_s = 0", "policies/night.toml: budget.wall_s: "),
        (b"budget.wall_s = nan", "policies/night.toml: budget.wall_s: "),
        (b"\xff", "policies/night.toml: not UTF-8 at byte 0"),
        (b"a = ", "policies/night.toml: not TOML"),
    ],
)
def test_errors_name_file_and_key(data: bytes, said: str) -> None:
    """Nobody has to search for the line."""
    with pytest.raises(ConfigError) as caught:
        load_policy(NightPolicy, NIGHT_FILE, data)
    assert said in caught.value.message


def test_one_reviewer_is_not_enough() -> None:
    """A policy cannot lower the gate below two reviewers."""
    with pytest.raises(ConfigError, match="reviewers"):
        load_policy(GatePolicy, GATE_FILE, b"reviewers = 1")
