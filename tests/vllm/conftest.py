"""One real vLLM for all tests of this folder; without it they fail, and say how to get it."""

from collections.abc import Iterator

import pytest

from pantheon.testing.vllm_server import Vllm, run_vllm


@pytest.fixture(scope="session")
def vllm() -> Iterator[Vllm]:
    with run_vllm() as server:
        yield server
