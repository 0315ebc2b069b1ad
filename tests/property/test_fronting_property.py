"""What a server tells of its models is hostile: read without a crash, and one cloud in it is enough."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pantheon.adapters.containment.observe import observe
from pantheon.core.containment import Containment, decide_containment
from pantheon.core.fronting import CLOUD_OWNERS, find_fronts, is_cloud_name

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["data", "models", "id", "name", "owned_by", "remote_host", "cloud", "disabled", "root"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
NAMES = st.text("abc:-cloud0", max_size=12)


@given(JSON, JSON, JSON)
def test_any_listing_is_read(models: Any, tags: Any, status: Any) -> None:
    """Whatever shape it has, the answer is a short list of reasons."""
    found = find_fronts(models, tags, status)
    assert len(found) <= 5
    assert all(isinstance(reason, str) and len(reason) < 100_000 for reason in found)


@given(
    st.lists(NAMES, max_size=4),
    st.sampled_from([":cloud", "-cloud", ":CLOUD", "-Cloud "]),
    NAMES,
    st.booleans(),
)
def test_one_cloud_among_many_is_found(names: list[str], end: str, name: str, tagged: bool) -> None:
    """A remote model is found at any place of either listing."""
    entries = [{"id": one, "name": one} for one in [*names, name + end]]
    listing = {"models": entries} if tagged else {"data": entries}
    assert is_cloud_name(name + end)
    assert find_fronts({} if tagged else listing, listing if tagged else None)


@given(st.sampled_from(sorted(CLOUD_OWNERS)), st.sampled_from([str.upper, str.title, str.lower]))
def test_owners_are_known_in_any_case(owner: str, spell: Any) -> None:
    """The owner's spelling decides nothing."""
    assert find_fronts({"data": [{"id": "x", "owned_by": f" {spell(owner)} "}]})
    assert not find_fronts({"data": [{"id": "x", "owned_by": "vllm"}]})


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_any_list_of_the_kernels_is_read(
    tmp_path_factory: Any, device: bytes, four: bytes, six: bytes
) -> None:
    """Garbage in the place of the kernel's lists ends in a refusal, not in a crash."""
    folder: Path = tmp_path_factory.mktemp("proc")
    (folder / "self/net").mkdir(parents=True)
    for name, data in (("dev", device), ("route", four), ("ipv6_route", six)):
        (folder / "self/net" / name).write_bytes(data)
    assert not decide_containment(observe(Containment.NETNS, proc=folder)).proven
