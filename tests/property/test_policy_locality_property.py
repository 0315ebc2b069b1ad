"""Laws of the locality check."""

import contextlib
from ipaddress import ip_address

from hypothesis import example, given
from hypothesis import strategies as st

from pantheon.core.errors import LocalityError
from pantheon.core.locality import check_endpoint_url

ADDRESSES = st.ip_addresses()
PARTS = ("http://", "127.0.0.1", "localhost", "[::1]", ":80", *"/@#?\\. 8", "%00", "evil")
PIECES = st.lists(st.sampled_from(PARTS), max_size=8).map("".join)


@given(st.one_of(st.text(), PIECES))
def test_what_passes_is_loopback_and_stable(url: str) -> None:
    """Without a policy only loopback passes, and the approved spelling is approved as itself."""
    with contextlib.suppress(LocalityError):
        endpoint = check_endpoint_url(url)
        assert endpoint.host in ("127.0.0.1", "::1")
        assert check_endpoint_url(endpoint.base_url) == endpoint


@given(ADDRESSES)
@example(ip_address("10.255.255.255"))
@example(ip_address("11.0.0.0"))
def test_an_allow_list_admits_its_members_only(address: object) -> None:
    """An address passes exactly when it is loopback or in the named network."""
    host = f"[{address}]" if ":" in str(address) else str(address)
    try:
        check_endpoint_url(f"http://{host}:1", ["10.0.0.0/8"])
        passed = True
    except LocalityError:
        passed = False
    assert passed == (str(address) in ("127.0.0.1", "::1") or str(address).startswith("10."))
