"""``pantheon daemon install | uninstall`` beside hostile paths, other people's files and an altered record."""

import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pantheon.adapters import unit_files
from pantheon.adapters.unit_files import Manifest, Standing, put_in_place, read_manifest, standing
from pantheon.core.errors import ConfigError
from pantheon.core.units import DROP_IN, Served, may_remove_system, may_remove_user, plan_system, plan_user
from pantheon.shell.cli.app import run
from pantheon.testing.user_repository import make_repository

pytestmark = pytest.mark.primitive("systemd-analyze")

SHIPPED = Path(__file__).parents[2] / "systemd"
UNITS = Path("etc/systemd/system")
PROGRAM = "/bin/true"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "notes of 100% d'or", {"a.md": b"x\n"})
    assert run(["-C", str(root), "init"]) == 0
    return root


def install(repository: Path, tree: Path, *words: str) -> int:
    return run(
        ["-C", str(repository), "daemon", "install", "--root", str(tree), "--program", PROGRAM, *words]
    )


def uninstall(repository: Path, tree: Path, *words: str) -> int:
    return run(["-C", str(repository), "daemon", "uninstall", "--root", str(tree), *words])


def files(tree: Path) -> dict[str, bytes]:
    """Every file below a tree."""
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def verify(tree: Path) -> str:
    """Return what systemd says about the units as they were installed."""
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, "install systemd to check the units"
    names = [path.name for path in (tree / UNITS).iterdir() if path.is_file()]
    for name in (one for one in names if "@" in one):
        shutil.copy(tree / UNITS / name, tree / UNITS / name.replace("@", "@srv"))
    found = [str(path) for path in (tree / UNITS).iterdir() if path.is_file() and "@." not in path.name]
    done = subprocess.run(
        [analyze, "--man=no", "verify", *found], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_what_is_installed_is_what_systemd_expects(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path with a space, a percent sign and an apostrophe stands in units that systemd reads in silence."""
    tree = tmp_path / "tree"
    assert install(repository, tree, "--yes") == 0
    shown = capsys.readouterr().out
    drop_in = tree / UNITS / DROP_IN
    assert verify(tree) == ""
    assert f"WorkingDirectory={repository}".replace("%", "%%") in drop_in.read_text()
    assert "ExecStart=/bin/true daemon" in (tree / UNITS / "pantheon.service").read_text()
    for name, content in files(tree).items():
        if name.startswith("etc/s") and "@srv" not in name:
            assert all(line in shown for line in content.decode().splitlines()), name
    for unit in (tree / UNITS).glob("*.service"):
        assert "\nUser=pantheon-" in unit.read_text(), "nothing of the system runs as root"
    drop_in.write_text(drop_in.read_text().replace("ReadWritePaths", "ReadWritePath"))
    assert "ReadWritePath" in verify(tree), "the drop-in was not looked at"


def test_nothing_is_done_without_a_word(repository: Path, tmp_path: Path) -> None:
    """Neither --dry-run nor a pipe that nobody answers writes a byte; the one is no error, the other is."""
    tree = tmp_path / "tree"
    assert install(repository, tree, "--dry-run") == 0
    assert install(repository, tree) == 2
    assert not tree.exists()


def test_twice_is_once_and_uninstall_leaves_nothing(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second installation finds everything as it is; afterwards no file of it is left."""
    tree = tmp_path / "tree"
    assert install(repository, tree, "--yes") == 0
    before = files(tree)
    capsys.readouterr()
    assert install(repository, tree, "--yes", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["standing"] for one in told["files"]} == {"same"}
    assert files(tree) == before
    assert uninstall(repository, tree, "--yes") == 0
    assert files(tree) == {}
    assert uninstall(repository, tree, "--yes") == 0


def test_files_of_others_are_neither_replaced_nor_removed(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that was there before stops the installation whole; one that was changed since stays and is named."""
    tree = tmp_path / "tree"
    unit = tree / UNITS / "pantheon.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    assert install(repository, tree, "--yes") == 2
    assert files(tree) == {str(UNITS / "pantheon.service"): b"[Service]\n"}
    unit.unlink()
    assert install(repository, tree, "--yes") == 0
    unit.write_text("# mine\n")
    assert install(repository, tree, "--yes") == 2
    capsys.readouterr()
    assert uninstall(repository, tree, "--yes") == 1
    assert str(unit) in capsys.readouterr().err
    assert {name for name in files(tree) if name.startswith("etc/s")} == {str(UNITS / "pantheon.service")}


def test_an_update_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that the record knows are ours to change, old and new ones, until the update has come to its end."""
    name, tree = "etc/systemd/system/pantheon.service", tmp_path / "tree"
    put_in_place(tree, {name: b"old\n"}, Manifest(tmp_path / "m.json", {}), repository="/r")
    kept = read_manifest(tmp_path / "m.json")
    assert standing(tree, name, b"new\n", kept) is Standing.OURS

    def full(path: Path, data: bytes, write: Callable[[Path, bytes], None] = unit_files._write) -> None:
        if path.name != "m.json":
            raise ConfigError("no space left")
        write(path, data)

    monkeypatch.setattr(unit_files, "_write", full)
    with pytest.raises(ConfigError):
        put_in_place(tree, {name: b"new\n"}, kept, repository="/r")
    monkeypatch.undo()
    kept = read_manifest(tmp_path / "m.json")
    assert standing(tree, name, b"new\n", kept) is Standing.OURS
    put_in_place(tree, {name: b"new\n"}, kept, repository="/r")
    (tree / name).write_bytes(b"old\n")
    assert standing(tree, name, b"new\n", read_manifest(tmp_path / "m.json")) is Standing.FOREIGN


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd", "etc/passwd", "etc/systemd/system/ssh.service", "etc/systemd/system/../pantheon.service",
        "etc/systemd/system/pantheon.service.d/../../passwd", "/etc/systemd/system/pantheon.service", "",
        "etc/systemd/system/x/pantheon.service",
    ],
)  # fmt: skip
def test_an_altered_record_removes_nothing(name: str, repository: Path, tmp_path: Path) -> None:
    """A record that names a file which no installation writes is refused whole, and that file lives."""
    tree = tmp_path / "tree"
    assert install(repository, tree, "--yes") == 0
    victim = (tree / name).resolve() if name else tree / "etc" / "keep"
    if victim.is_relative_to(tmp_path) and not victim.exists():
        victim.parent.mkdir(parents=True, exist_ok=True)
        victim.write_bytes(b"x")
    record = tree / "etc/pantheon/installed.json"
    kept = json.loads(record.read_text())
    kept["files"][name] = ["2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"]
    record.write_text(json.dumps(kept))
    before = files(tree)
    assert uninstall(repository, tree, "--yes") == 2
    assert files(tree) == before
    assert not may_remove_system(name)
    assert not may_remove_user(name)


def test_a_link_in_the_way_is_not_followed(repository: Path, tmp_path: Path) -> None:
    """Neither a folder nor a unit that is a link leads the installation elsewhere."""
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tree / UNITS).mkdir(parents=True)
    (tree / UNITS / "pantheon.service.d").symlink_to(elsewhere)
    assert install(repository, tree, "--yes") == 2
    assert list(elsewhere.iterdir()) == []


def shipped() -> dict[str, bytes]:
    return {
        str(path.relative_to(SHIPPED)): path.read_bytes() for path in SHIPPED.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    "path",
    [
        "/srv/a\nExecStartPre=/bin/sh", "/srv/a\\", '/srv/a" /etc', "/srv/$HOME", "/srv/a\u2028b", "/srv/a ", "srv/a",
        "/srv/a\x1b[2J",
    ],
)  # fmt: skip
def test_a_path_cannot_become_a_directive(path: str) -> None:
    """What systemd's parsers would read differently is refused, wherever it would stand."""
    good = Served(repository="/srv/a", program=("/bin/true",), writable=("/srv/a/.git",))
    assert plan_system(shipped(), good)
    for wrong in (
        Served(repository=path, program=good.program, writable=good.writable),
        Served(repository=good.repository, program=(path,), writable=good.writable),
    ):
        with pytest.raises(ConfigError):
            plan_system(shipped(), wrong)
        with pytest.raises(ConfigError):
            plan_user(shipped(), wrong)
    with pytest.raises(ConfigError):
        plan_system(shipped(), Served(repository="/srv/a", program=good.program, writable=(path,)))


def test_a_repository_in_a_home_is_bound_alone() -> None:
    """The rest of the home stays hidden, and a program that the service could not see is refused."""
    served = Served("/home/ann/notes", ("/bin/true",), ("/home/ann/notes/.git",))
    drop_in = plan_system(shipped(), served).files[f"{UNITS}/{DROP_IN}"].decode()
    assert "ProtectHome=tmpfs\nBindReadOnlyPaths=/home/ann/notes\nBindPaths=/home/ann/notes/.git\n" in drop_in
    with pytest.raises(ConfigError, match="cannot see"):
        plan_system(shipped(), Served("/srv/a", ("/home/ann/venv/bin/python",), ()))


def test_the_units_travel_in_the_wheel() -> None:
    """An installation without a checkout has them where the plan looks."""
    project = tomllib.loads((SHIPPED.parent / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["systemd"] == "pantheon/_content/systemd"
    assert {
        "pantheon.service",
        "pantheon.sysusers",
        "pantheon.tmpfiles",
        "user/pantheon.service",
    } <= shipped().keys()
