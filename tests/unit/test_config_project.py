"""The configuration is merged by a fixed precedence, and every error names its source and key."""

from pathlib import Path

import pytest

from pantheon.core.errors import ConfigError
from pantheon.shell.config import FILE, Config, find_user_paths, load_project
from pantheon.shell.environment import base_folder
from pantheon.shell.settings import dotted_keys, variable_of

TEMPLATE = Path(__file__).parents[2] / "pantheon" / "shell" / "content" / FILE


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    """Each layer overrides the one below it, key by key."""
    (tmp_path / FILE).write_text("[night]\nlease_s = 60\nbranch_prefix = 'file-'\n[server]\nthreads = 3\n")
    env = {"PANTHEON_NIGHT_LEASE_S": "70", "PANTHEON_NIGHT_BRANCH_PREFIX": "env-", "PANTHEON_OTHER": "x"}
    config = load_project(tmp_path, {"night.lease_s": "80"}, env).config
    assert (config.night.lease_s, config.night.branch_prefix, config.server.threads) == (80, "env-", 3)
    assert config.server.slots == Config().server.slots


def test_the_slots_of_the_model_follow_the_server_unless_they_are_said(tmp_path: Path) -> None:
    """The embedded server's own slots, an endpoint's as a ceiling that is tried, or what is configured, as it is."""
    (tmp_path / FILE).touch()
    embedded = load_project(tmp_path, {}, {}).config
    assert (embedded.slots, embedded.paced) == ({"model": 1, "cpu": 2, "git": 1}, False)
    served = load_project(tmp_path, {"endpoint.kind": "openai"}, {}).config
    assert (served.slots["model"], served.paced) == (16, True)
    said = load_project(tmp_path, {"endpoint.kind": "openai", "night.slots": "model=3"}, {}).config
    assert (said.slots, said.paced) == ({"model": 3}, False)


def test_a_pool_adds_its_slots(tmp_path: Path) -> None:
    """What all endpoints take together is the ceiling; more about [endpoint] adds none."""
    more = "[[pool]]\nname = 'b'\nuds = '/b'\nslots = 5\n[[pool]]\nname = 'endpoint'\nweight = 3\n"
    (tmp_path / FILE).write_text(f"[endpoint]\nkind = 'openai'\n{more}")
    config = load_project(tmp_path, {}, {}).config
    assert (config.slots["model"], [one.weight for one in config.pool]) == (21, [1, 3])


def test_slots_can_be_said_as_text(tmp_path: Path) -> None:
    """A table has a spelling for flags and variables."""
    (tmp_path / FILE).touch()
    config = load_project(tmp_path, {"night.slots": "model=2, cpu=4"}, {}).config
    assert config.night.slots == {"model": 2, "cpu": 4}


def test_template_shows_every_key_with_its_default(tmp_path: Path) -> None:
    """The file that init writes is the documentation: complete, and equal to the defaults."""
    (tmp_path / FILE).write_bytes(TEMPLATE.read_bytes())
    assert load_project(tmp_path, env={}).config == Config()
    text = TEMPLATE.read_text()
    assert [key for key in dotted_keys(Config) if f"{key.rpartition('.')[2]} = " not in text] == []


@pytest.mark.parametrize(
    ("text", "overrides", "env", "said"),
    [
        ("nights = 1", {}, {}, "pantheon.toml: nights: unknown field"),
        ("[night]\nlease_s = '9x'", {}, {}, "pantheon.toml: night.lease_s: "),
        ("[night]\nlease_s = 1", {}, {}, "pantheon.toml: night.lease_s: "),
        ("[night]\nslots = {model = 0}", {}, {}, "pantheon.toml: night.slots.model: "),
        ("[folders]\nqueue = '../q'", {}, {}, "pantheon.toml: folders.queue: "),
        ("[folders]\nqueue = '/q'", {}, {}, "pantheon.toml: folders.queue: "),
        ("[endpoint]\nkind = 'cloud'", {}, {}, "pantheon.toml: endpoint.kind: "),
        ("[endpoint]\nuds = 'rel.sock'", {}, {}, "pantheon.toml: endpoint: uds: an absolute path"),
        ("endpoint = 3", {}, {}, "pantheon.toml: endpoint: "),
        ("[[pool]]\nname = 'a'", {}, {}, "pantheon.toml: pool.0: a: needs url or uds"),
        (
            "[[pool]]\nname = 'endpoint'\nuds = '/s'",
            {},
            {},
            "pantheon.toml: pool.0: endpoint: has the address",
        ),
        ("[[pool]]\nname = 'a'\nuds = 's'", {}, {}, "pantheon.toml: pool.0: uds: an absolute path"),
        ("[[pool]]\nname = 'a'\nuds = '/s'\nweight = 0", {}, {}, "pantheon.toml: pool.0.weight: "),
        ("[[pool]]\nname = 'a'\nuds = '/s'", {}, {}, 'pool: only with endpoint.kind = "openai"'),
        ("= broken", {}, {}, "pantheon.toml: not TOML"),
        ("", {"night.lease_s": "soon"}, {}, "--set night.lease_s: night.lease_s: "),
        ("", {"night.leases": "3"}, {}, "--set night.leases: unknown key"),
        ("", {"night.slots": "model"}, {}, "--set night.slots: night.slots"),
        ("", {}, {"PANTHEON_NIGHT_LEASE_S": "-1"}, "PANTHEON_NIGHT_LEASE_S: night.lease_s: "),
        ("", {}, {"PANTHEON_ENDPOINT_UDS": "x"}, "PANTHEON_ENDPOINT_UDS"),
    ],
)
def test_errors_name_source_and_key(
    tmp_path: Path, text: str, overrides: dict[str, str], env: dict[str, str], said: str
) -> None:
    """Whoever has to mend it learns where the value came from."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path, overrides, env)
    assert said in caught.value.message


def test_every_problem_at_once(tmp_path: Path) -> None:
    """One reading of the file reports all that is wrong with it."""
    (tmp_path / FILE).write_text("x = 1\n[server]\nslots = 0\n[night]\nlease_s = 1\n")
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path, env={})
    assert len(caught.value.message.splitlines()) == 3


def test_found_from_a_subfolder(tmp_path: Path) -> None:
    """The nearest pantheon.toml upwards is the project."""
    (tmp_path / FILE).touch()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    found = load_project(inner, env={})
    assert found.root == tmp_path.resolve()
    assert found.database == tmp_path.resolve() / ".pantheon" / "pantheon.db"


def test_without_a_project_says_what_to_do(tmp_path: Path) -> None:
    """The hint is the command."""
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path, env={})
    assert "pantheon init" in caught.value.hint


def test_folder_that_links_out_is_refused(tmp_path: Path) -> None:
    """A committed symbolic link cannot make the night write elsewhere."""
    root, outside = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    outside.mkdir()
    (root / FILE).touch()
    (root / "artifacts").symlink_to(outside)
    with pytest.raises(ConfigError, match=r"folders\.artifacts"):
        load_project(root, env={})


def test_user_folders_follow_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Absolute XDG values count, relative ones are ignored, the models' folder has its own variable."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "conf"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    paths = find_user_paths({})
    assert paths.signing_key == tmp_path / "conf" / "pantheon" / "keys" / "night.ed25519"
    assert paths.models == tmp_path / ".cache" / "pantheon" / "models"
    assert find_user_paths({"PANTHEON_MODELS_DIR": "/m"}).models == Path("/m")


def test_every_key_has_its_own_variable() -> None:
    """No two keys share a variable."""
    keys = list(dotted_keys(Config))
    assert len({variable_of(key, "P_") for key in keys}) == len(keys)


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id that no account has, and no HOME: a sentence, not a traceback."""

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with pytest.raises(ConfigError, match="no home folder") as caught:
        base_folder("XDG_CONFIG_HOME", ".config")
    assert "XDG_CONFIG_HOME" in (caught.value.hint or "")
