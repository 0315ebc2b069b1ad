"""An endpoint is on this machine, or inside a network that the policy spells out; nothing else passes."""

import pytest

from pantheon.core.errors import LocalityError
from pantheon.core.locality import check_endpoint_url, check_local_network


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/llm/v1/", "http://127.0.0.1:8000/llm"),
        ("http://localhost:1234", "http://127.0.0.1:1234"),
        ("http://[::1]:8000/api", "http://[::1]:8000/api"),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
    ],
)
def test_loopback_passes_in_one_spelling(url: str, shown: str) -> None:
    """What is approved is what will be connected to, spelled canonically."""
    assert check_endpoint_url(url).base_url == shown


ATTACKS = [
    "http://127.0.0.1@evil.example/",
    "http://evil.example@127.0.0.1/",
    "http://user:pw@127.0.0.1/",
    "http://127.0.0.1:80@evil.example/",
    "http://127.0.0.1#@evil.example/",
    "http://127.0.0.1?@evil.example/",
    "http://127.0.0.1\\@evil.example/",
    "http://127.0.0.1/?x=1",
    "http://127.0.0.1/#x",
    "http://localhost.evil.example/",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.1.nip.io/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://2130706433/",
    "http://0/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::1%25lo]/",
    "http://[::1%lo]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://127.0.0.1\0.evil.example/",
    "http://127.0.0.1\n/",
    "http://127.0.0.1\n",
    "http://127.0.0.1 /",
    " http://127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1\r\nHost: evil/",
    "http://127.0.0.1./",
    "http://localhost./",
    "http://LOCALHOST/",
    "http://Localhost/",
    "http://lOcalhoſt/",
    "http://127.0.0.%31/",
    "http://%6cocalhost/",
    "http://127.0.0.1%2f@evil.example/",
    "http://127.0.0.1/%2e%2e/",
    "http://127.0.0.1/../x",
    "http://127.0.0.1//evil.example",
    "http://127.0.0.1:8000:9000/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:65536/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:08000/",
    "http://127.0.0.1:+80/",
    "http://127.0.0.1:８０/",
    "http://１２７.0.0.1/",
    "http://١٢٧.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://127。0。0。1/",
    "http://127.0.0.2/",
    "http://127.255.255.254/",
    "http://10.0.0.1/",
    "http://169.254.169.254/",
    "http://8.8.8.8/",
    "http://[fe80::1]/",
    "http://[::1/",
    "http://::1/",
    "http:/127.0.0.1/",
    "http:127.0.0.1",
    "//127.0.0.1/",
    "127.0.0.1:8000",
    "https://127.0.0.1/",
    "HTTP://127.0.0.1/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "unix:///tmp/x.sock",
    "",
    "http://",
    "http://127.0.0.1:8000/" + "a" * 10 + "\ud800",
]


@pytest.mark.parametrize("url", ATTACKS)
def test_everything_else_is_refused(url: str) -> None:
    """No spelling trick, alias, redirect by name, or foreign address counts as this machine."""
    with pytest.raises(LocalityError):
        check_endpoint_url(url)


def test_a_network_the_policy_names_passes_and_its_neighbour_does_not() -> None:
    """The allow-list is exact."""
    assert check_endpoint_url("http://192.168.7.9:8000", ["192.168.7.0/24"]).host == "192.168.7.9"
    assert check_endpoint_url("http://[fd00::5]:1", ["fd00::/64"]).base_url == "http://[fd00::5]:1"
    for url in ("http://192.168.8.9", "http://[::ffff:192.168.7.9]", "http://[fd00:1::5]"):
        with pytest.raises(LocalityError):
            check_endpoint_url(url, ["192.168.7.0/24", "fd00::/64"])


@pytest.mark.parametrize(
    "network",
    [
        "0.0.0.0/0",
        "::/0",
        "8.8.8.0/24",
        "10.0.0.0/7",
        "10.0.0.1/8",
        "169.254.0.0/16",
        "fe80::/10",
        "x",
        "10.0.0.0/33",
    ],
)
def test_a_policy_cannot_call_the_internet_local(network: str) -> None:
    """Only private networks, spelled with a zero host part, may be named."""
    with pytest.raises(LocalityError):
        check_local_network(network)
