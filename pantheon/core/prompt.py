"""The thick prompt: chat turns from an agent, a task and what its tools said, byte for byte reproducible.

Order, so that a server can reuse its prefix cache: role and constraints, tool cards, conventions (the system
turn); worked examples as earlier turns; then the target, which every agent and reviewer of one task shares;
and last what varies: acceptance tests, the question, the last N results.

The template is jinja2 in its sandbox with two blocks, ``system`` and ``question``. Repository content is put
in as data between markers that it cannot close.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pantheon.core.agent import Agent
from pantheon.core.chat import Message
from pantheon.core.errors import ConfigError
from pantheon.core.model import Frozen
from pantheon.core.task import Task

# Our own markers, however they are spelled, and the control tokens of the chat templates in use: servers recognise
# those in any text, so that a note could otherwise end a turn or open one of its own. What is matched is the one
# character that a token cannot do without; no token reaches over another's, so that one pass leaves none. Space is
# taken possessively: a run of it that leads nowhere costs one pass and not the square of its length.
_ANGLE = re.compile(
    r"<(?="
    r"\s*+(?:/\s*+)?(?:note|result)\b"
    r"|[|\uff5c]"
    r"|\s*+(?:/\s*+)?(?:s|sys|bos|eos|pad|unk|mask|think|tool_call|tool_response|(?:start|end)_of_[a-z]+|unused\d+)\s*+>"
    r")",
    re.IGNORECASE,
)
_SQUARE = re.compile(
    r"\[(?=\s*+(?:/\s*+)?"
    r"(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|MODEL_SETTINGS|THINK|ARGS|CALL_ID)"
    r"\s*+\])",
    re.IGNORECASE,
)


class Exchange(Frozen):
    """One past tool call: what the model answered and what the tool gave back."""

    answer: str
    result: str


def defuse(text: str) -> str:
    """Return untrusted text in which no marker and no control token of a chat template is left."""
    return _SQUARE.sub("⁅", _ANGLE.sub("‹", text))


def fence(label: str, text: str) -> str:
    """Put untrusted text between ``<label>`` markers; markers inside it are defused."""
    return f"<{label}>\n{defuse(text)}\n</{label}>"


def opening_turns(agent: Agent, task: Task, cards: Sequence[str]) -> tuple[Message, ...]:
    """Return the system turn and the worked examples: the prefix that all tasks of an agent share.

    Raises:
        ConfigError: the agent's template is wrong.
    """
    question = render_block(agent, "question", task, example=True)
    turns = [Message(role="system", content=render_block(agent, "system", task, cards=cards))]
    for example in agent.examples:
        turns.append(Message(role="user", content=f"{fence('note', example.user)}\n\n{question}"))
        turns.append(Message(role="assistant", content=_one_line({"finalize": example.answer})))
    return tuple(turns)


def step_messages(
    agent: Agent,
    task: Task,
    cards: Sequence[str],
    target: str,
    history: Sequence[Exchange],
    refusal: str = "",
) -> tuple[Message, ...]:
    """Return the messages of the next step.

    A refused answer is not shown again, because small models copy what they see last; its reason stands right
    before the question, behind the target that is still in the prefix cache.

    Args:
        agent: specification, template and examples.
        task: whose goal and acceptance tests the question may name.
        cards: tool cards, in the order of the specification.
        target: the target's excerpt, untrusted.
        history: the tool calls so far; only the last ``keep_results`` of them are shown.
        refusal: why the last answer was refused; empty when it was not.
    """
    question = render_block(agent, "question", task)
    if refusal:
        question = f"An earlier answer was refused: {defuse(refusal)}\n\n{question}"
    turns = [
        *opening_turns(agent, task, cards),
        Message(role="user", content=f"{fence('note', target)}\n\n{question}"),
    ]
    keep = agent.spec.limits.keep_results
    for exchange in history[-keep:] if keep else ():
        turns.append(Message(role="assistant", content=defuse(exchange.answer)))
        turns.append(Message(role="user", content=f"{fence('result', exchange.result)}\n\n{question}"))
    return tuple(turns)


def render_block(agent: Agent, block: str, task: Task, **values: Any) -> str:
    """Render one block of an agent's template. Raises ``ConfigError`` naming the agent and the block."""
    where = f"agents/{agent.spec.name}/prompt.md"
    known: dict[str, Any] = {
        "goal": defuse(task.goal),
        "accept": tuple(defuse(sentence) for sentence in task.accept),
        "cards": (),
        "example": False,
    }
    try:
        template = _compiled(agent.prompt)
        if block not in template.blocks:
            raise ConfigError(f"{where}: the block {block!r} is missing")
        context = template.new_context({**known, **values})
        return "".join(template.blocks[block](context)).strip()
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: block {block!r}: {error}") from error


@lru_cache(maxsize=64)
def _compiled(text: str) -> Template:
    """Compile a template once: a prompt has three blocks, and compiling costs more than rendering them."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False
    )
    return environment.from_string(text)


def prompt_text(messages: Sequence[Message]) -> str:
    """Return the messages as one readable text, for ``llm_prompt.txt``."""
    return "".join(f"=== {message.role} ===\n{message.content}\n" for message in messages)


def _one_line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
