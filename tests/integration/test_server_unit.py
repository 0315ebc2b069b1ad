"""``pantheon server render --unit``: nothing is put into the shipped unit that the unit could not see."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pantheon.core.errors import ConfigError
from pantheon.core.llm_unit import HIDDEN, LOG, SOCKETS, refuse_unseen
from pantheon.core.vllm import vllm_command
from pantheon.shell.cli.app import run
from pantheon.shell.config import load_project
from pantheon.shell.vllm_wiring import plan_vllm, refuse_for_unit
from pantheon.shell.wiring import lay_out_repository
from pantheon.testing.user_repository import make_repository

SHIPPED = Path(__file__).parents[2] / "systemd"
UNIT = "pantheon-llm.service"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository that serves a model from where every service can read it."""
    root = make_repository(tmp_path / "user", {"README.md": b"hello\n"})
    lay_out_repository(root, {}, dry_run=False)
    return configure(root)


def configure(root: Path, *, uds: str = "/run/pantheon-llm/llm.sock", more: str = "") -> Path:
    model = "" if "model" in more else 'model = "/srv/models/coder"\n'
    (root / "pantheon.toml").write_text(
        f'[endpoint]\nkind = "openai"\nuds = "{uds}"\n[vllm]\npython = "/opt/vllm/bin/python"\n{model}{more}'
    )
    return root


def render(root: Path, *words: str) -> int:
    return run(["-C", str(root), "server", "render", *words])


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("vllm.model", 'model = "/root/models/coder"\n'),
        ("vllm.model", 'model = "/home/me/coder"\n'),
        ("vllm.model", 'model = "/tmp/coder"\n'),
        ("vllm.model", 'model = "models/coder"\n'),
    ],
)
def test_what_the_unit_does_not_see_is_refused(
    root: Path, key: str, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that the service could not read is named, with the place that it could be read from."""
    configure(root, more=more)
    assert render(root, "--unit") == 2
    said = capsys.readouterr()
    assert (key in said.err, "/srv/models" in said.err, said.out) == (True, True, "")


def test_a_socket_elsewhere_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only one folder is writable for the service, and only it is shown to the night."""
    for uds in ("/tmp/x.sock", "/run/x.sock", "/run/pantheon-llm/deeper/x.sock"):
        configure(root, uds=uds)
        assert render(root, "--unit") == 2
        said = capsys.readouterr()
        assert ("endpoint.uds" in said.err, str(SOCKETS) in said.err, said.out) == (True, True, "")


def test_where_a_link_leads_counts(root: Path, tmp_path: Path) -> None:
    """A path that looks well and leads below a hidden folder is not seen either."""
    link = tmp_path / "coder"
    link.symlink_to("/root/models/coder")
    with pytest.raises(ConfigError, match=r"vllm\.model"):
        refuse_for_unit(plan_vllm(load_project(root)).model_copy(update={"model": str(link)}))


@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_hidden_folder_and_none_that_is_only_called_so(hidden: Path) -> None:
    """The walls are where the unit has them, and not a letter further."""
    with pytest.raises(ConfigError, match="hidden from it"):
        refuse_unseen("", [("vllm.model", f"{hidden}/m")])
    refuse_unseen("", [("vllm.model", f"{hidden}stead/m")])


def test_the_command_is_rendered_whatever_the_unit_sees(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a shell it is good anywhere; that there is no unit for it is said beside it."""
    configure(root, more='model = "/root/models/coder"\n')
    assert render(root, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["command"][told["command"].index("--model") + 1] == "/root/models/coder"
    assert (told["unit"], "hidden from it" in told["unit_problem"]) == (None, True)
    assert render(root) == 0
    assert "# none: " in capsys.readouterr().out


@pytest.mark.primitive("systemd-analyze")
def test_the_unit_with_its_drop_in_is_what_systemd_expects(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """systemd reads the shipped unit and what is rendered for it, and complains of nothing but the missing program."""
    assert render(root, "--unit") == 0
    folder = tmp_path / "units"
    (folder / f"{UNIT}.d").mkdir(parents=True)
    (folder / f"{UNIT}.d" / "command.conf").write_text(capsys.readouterr().out)
    for name in (UNIT, "pantheon.service"):
        shutil.copy(SHIPPED / name, folder / name)
    program = shutil.which("systemd-analyze")
    assert program is not None, "install systemd: systemd-analyze is missing"
    done = subprocess.run(
        [program, "--man=no", "verify", str(folder / UNIT)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "/opt/vllm/bin/python" not in line]
    assert [line for line in said if "llm" in line] == []


def test_what_the_unit_says_is_kept_where_the_night_can_read_it() -> None:
    """Its output goes to a file of a folder that only root can change; the night's group may read it."""
    unit = (SHIPPED / UNIT).read_text()
    assert f"StandardOutput=append:{LOG}\n" in unit
    assert "StandardError=inherit\n" in unit
    lines = [line.split() for line in (SHIPPED / "pantheon.tmpfiles").read_text().splitlines()]
    assert ["d", str(LOG.parent), "0750", "root", "pantheon-runner"] in lines
    assert ["f", str(LOG), "0640", "root", "pantheon-runner"] in lines


def test_looking_after_a_server_does_not_fill_its_log(root: Path) -> None:
    """Two pages are asked for every few seconds, and a night keeps the last million bytes: none is a line of it."""
    assert "--disable-uvicorn-access-log" in vllm_command(plan_vllm(load_project(root)))
