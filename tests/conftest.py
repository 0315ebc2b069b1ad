"""Fixtures that every folder of tests may use."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SMALL_MODEL = "qwen2.5-coder-0.5b"

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
# ``make fuzz`` says how many examples each test of a reader tries; see the Makefile.
EXAMPLES = int(os.environ.get("PANTHEON_FUZZ_EXAMPLES", "0"))
settings.register_profile(
    "fuzz", deadline=None, max_examples=EXAMPLES or 100, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fuzz" if EXAMPLES else "untimed")

pytest_plugins = ["pantheon.testing.capabilities"]


@pytest.fixture(scope="session")
def small_model() -> Path:
    """The verified file of the small model, named by its digest. Missing, it fails the test: never a silent skip."""
    from pantheon.shell.config import find_user_paths
    from pantheon.shell.model_wiring import find_catalogue

    entry = find_catalogue(None).entry(SMALL_MODEL)
    path = find_user_paths().models / f"{entry.sha256}.gguf"
    if not path.is_file():
        pytest.fail(f"{path}: the small model is not there. Fetch it with: make models", pytrace=False)
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != entry.sha256:
        pytest.fail(f"{path}: has SHA-256 {actual}. Fetch it again with: make models", pytrace=False)
    return path
