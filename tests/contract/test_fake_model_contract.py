"""The model in memory keeps the contract of the real clients."""

import pytest

from pantheon.core.chat import ChatRequest
from pantheon.core.errors import ModelError, ModelOutputError
from pantheon.ports.model import ModelClient
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.model_contract import ModelContract


def script(request: ChatRequest) -> Spoken | ModelError:
    """Answer as a well-behaved model would."""
    text = request.messages[-1].content
    if len(text) > 100_000:
        return ModelOutputError("the prompt exceeds the context")
    if request.response_schema is not None:
        return Spoken('{"colour": "red", "count": 3}')
    if request.top_logprobs:
        return Spoken("A", finish_reason="length", top=(("A", -0.1), ("B", -2.5)))
    return Spoken("hello", delay_s=30 if "story" in text else 0)


class TestFakeModel(ModelContract):
    """What is tested against the fake holds for a server."""

    @pytest.fixture
    def client(self) -> ModelClient:
        return FakeModel(script)
