"""The kernel's lists of interfaces and routes are read as they are, and what is no such list is not taken for one."""

from pathlib import Path

import pytest

from pantheon.adapters.containment import observe as observing
from pantheon.adapters.containment.observe import observe
from pantheon.core.containment import Containment

DEV = "Inter-| Receive\n face |bytes\n    lo: 1 2\n"
HEAD = "Iface\tDestination\tGateway\tFlags\n"
SIX = "fe800000000000000000000000000000 40 0 00 0 0 0 0 0 {}\n"


def seen(tmp_path: Path, dev: str = DEV, four: str = HEAD, six: str | None = "") -> tuple[object, object]:
    (tmp_path / "self/net").mkdir(parents=True)
    for name, text in (("dev", dev), ("route", four), ("ipv6_route", six)):
        if text is not None:
            (tmp_path / "self/net" / name).write_text(text)
    found = observe(Containment.NETNS, proc=tmp_path)
    return found.interfaces, found.routes


def test_loopback_alone_is_no_way_out(tmp_path: Path) -> None:
    """Routes over loopback lead nowhere."""
    assert seen(tmp_path, six=SIX.format("lo")) == (("lo",), ())


def test_every_other_interface_is_named(tmp_path: Path) -> None:
    """Whatever it is called, it is listed, and so is each route over it."""
    dev = DEV + "  eth0: 1 2\nlo.7: 3 4\n"
    found = seen(tmp_path, dev, HEAD + "eth0\t00000000\t0102A8C0\t0003\n", SIX.format("tun0"))
    assert found == (("lo", "eth0", "lo.7"), ("eth0 00000000", "tun0 fe800000000000000000000000000000"))


def test_a_namespace_that_never_had_a_route(tmp_path: Path) -> None:
    """Its list is empty, without a head; the probes say the same in another way."""
    assert seen(tmp_path, four="") == (("lo",), ())


@pytest.mark.parametrize("four", ["eth0\t00000000\t0102A8C0\t0003\n", HEAD + "eth0\n", "\n"])
def test_what_is_no_list_of_routes_is_unread(tmp_path: Path, four: str) -> None:
    """Anything without the list's head, or with half a line, proves nothing."""
    assert seen(tmp_path, four=four)[1] is None


def test_a_missing_list_is_unread_unless_there_is_no_ipv6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel without IPv6 has no list of its routes; any other has."""
    assert seen(tmp_path / "a", six=None)[1] is None
    monkeypatch.setattr(observing, "_has_ipv6", lambda: False)
    assert seen(tmp_path / "b", six=None)[1] == ()
