"""What of pantheon.toml a batch pins: whom and what a night trusts, not how fast it goes."""

from pathlib import Path

import pytest

from pantheon.core.policy import GatePolicy, NightPolicy
from pantheon.engine.services import Content
from pantheon.shell.config import load_project
from pantheon.shell.queue_wiring import pins_in_force

CONTENT = Content({}, {}, GatePolicy(), NightPolicy(), {"flows": {}, "agents": {}, "policies": {}})
BASE = '[endpoint]\nkind = "openai"\nuds = "/run/llm.sock"\n'


def drift(
    root: Path, text: str, *, flags: dict[str, str] | None = None, env: dict[str, str] | None = None
) -> str:
    (root / "pantheon.toml").write_text(BASE)
    before = pins_in_force(load_project(root, env={}), CONTENT)
    (root / "pantheon.toml").write_text(text)
    return "; ".join(before.drift(pins_in_force(load_project(root, flags, env or {}), CONTENT)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BASE.replace("llm", "evil"), "pantheon.toml: endpoint has changed"),
        (BASE + 'url = "http://127.0.0.1:9"\n', "pantheon.toml: endpoint has changed"),
        (BASE + '[night]\nsigner = "/tmp/s"\n', "pantheon.toml: night has changed"),
        (BASE + '[night]\nsigner_user = "nobody"\n', "pantheon.toml: night has changed"),
        (BASE + '[night]\nbranch_prefix = "main/"\n', "pantheon.toml: night has changed"),
        (BASE + '[[pool]]\nname = "x"\nuds = "/run/evil"\n', "pantheon.toml: pool is new"),
        (BASE + '[folders]\nartifacts = "elsewhere"\n', "pantheon.toml: folders has changed"),
    ],
)
def test_a_setting_that_decides_trust_is_drift(tmp_path: Path, text: str, told: str) -> None:
    """A change of the file after a batch was frozen, however it came there, is named."""
    assert drift(tmp_path, text) == told


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        f"# said\n{BASE}",
        BASE + 'kind = "openai"\n'.replace("kind", "slots").replace('"openai"', "7"),
        BASE + '[night]\nlease_s = 60\ndispatch = "levels"\nslots = { model = 4 }\n',
        BASE + "[server]\nthreads = 3\n",
    ],
    ids=["nothing", "comment", "endpoint.slots", "night", "server"],
)
def test_what_only_tunes_a_night_is_none(tmp_path: Path, text: str) -> None:
    """Slots, threads and leases may be set between enqueue and night."""
    assert drift(tmp_path, text) == ""


def test_the_operators_own_word_is_none(tmp_path: Path) -> None:
    """Variables and flags come from whoever starts the night, not from the repository."""
    assert drift(tmp_path, BASE, flags={"night.signer": "/run/s"}) == ""
    assert drift(tmp_path, BASE, env={"PANTHEON_ENDPOINT_UDS": "/run/other.sock"}) == ""
