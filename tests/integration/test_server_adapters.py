"""What ``pantheon server`` renders for LoRA adapters: room for those that are named, and nothing where none is."""

import json
from pathlib import Path

import pytest

from pantheon.core.errors import ConfigError
from pantheon.core.vllm import (
    LORA_RANKS,
    fitting_rank,
    shell_line,
    unit_drop_in,
    vllm_command,
    vllm_environment,
)
from pantheon.shell.config import load_project
from pantheon.shell.vllm_wiring import plan_vllm
from pantheon.shell.wiring import lay_out_repository

ALLOWED = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project that serves a model, with two adapters beside it of which it names none."""
    (tmp_path / ".git").mkdir()
    lay_out_repository(tmp_path, {}, dry_run=False)
    for name, said in (("a", {"r": 12}), ("b", {"r": 4, "rank_pattern": {"q_proj": 40}})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(said))
    return configure(tmp_path, "")


def configure(root: Path, more: str) -> Path:
    (root / "pantheon.toml").write_text(
        f'[endpoint]\nkind = "openai"\nuds = "/run/pantheon-llm/llm.sock"\n[vllm]\nmodel = "m"\n{more}'
    )
    return root


def rendered(root: Path) -> tuple[list[str], dict[str, str]]:
    server = plan_vllm(load_project(root))
    return list(vllm_command(server)), dict(vllm_environment(server))


def test_without_adapters_nothing_is_paid_for_them(root: Path) -> None:
    """No room for adapters, and nobody who reaches the server can load one."""
    words, variables = rendered(root)
    assert not [word for word in words if "lora" in word]
    assert ALLOWED not in variables


def test_those_of_the_pool_can_be_loaded(root: Path) -> None:
    """What a night would have the server load fits into what is rendered, rank and number, and is allowed."""
    configure(root, '[[pool]]\nname = "endpoint"\nadapters = { one = "a", two = "b" }\n')
    words, variables = rendered(root)
    assert "--enable-lora" in words
    assert words[words.index("--max-lora-rank") + 1] == "64"
    assert words[words.index("--max-loras") + 1] == "2"
    assert "--lora-modules" not in words
    assert variables[ALLOWED] == "1"


def test_those_that_it_begins_with_are_not_loaded_later(root: Path) -> None:
    """An adapter that is served from the start needs no door; the pool's name for it is the same one."""
    configure(root, 'adapters = { one = "a" }\n[[pool]]\nname = "endpoint"\nadapters = { one = "a" }\n')
    words, variables = rendered(root)
    assert words[words.index("--max-lora-rank") + 1] == "16"
    assert words[words.index("--max-loras") + 1] == "1"
    assert words[words.index("--lora-modules") + 1] == f"one={root}/a"
    assert ALLOWED not in variables


def test_those_of_another_endpoint_are_not_ours(root: Path) -> None:
    """Only what the server of ``[endpoint]`` is to load is rendered for it."""
    configure(root, '[[pool]]\nname = "second"\nurl = "http://127.0.0.1:9"\nadapters = { one = "a" }\n')
    words, variables = rendered(root)
    assert "--enable-lora" not in words
    assert ALLOWED not in variables


@pytest.mark.parametrize("said", ["{}", "[]", '{"r": "8"}', '{"r": true}', '{"r": 0}', "no", None])
def test_what_is_no_adapter_is_refused_by_its_path(root: Path, said: str | None) -> None:
    """Its rank is not guessed: a server without room for it would refuse it in the middle of a night."""
    path = root / "a" / "adapter_config.json"
    path.unlink()
    if said is not None:
        path.write_text(said)
    configure(root, '[[pool]]\nname = "endpoint"\nadapters = { one = "a" }\n')
    with pytest.raises(ConfigError, match=r"a/adapter_config\.json"):
        rendered(root)


def test_a_rank_is_rounded_up() -> None:
    """To what vLLM has; beyond it there is none."""
    assert [fitting_rank([rank]) for rank in (1, 8, 9, 257, 512)] == [8, 8, 16, 320, 512]
    assert fitting_rank([]) == 0
    with pytest.raises(ConfigError, match="rank 513"):
        fitting_rank([4, LORA_RANKS[-1] + 1])


def test_the_rendered_line_and_unit_hold_the_variable(root: Path) -> None:
    """The command for a shell and the unit both carry what the pool needs."""
    configure(root, '[[pool]]\nname = "endpoint"\nadapters = { one = "a" }\n')
    words, variables = rendered(root)
    assert f"{ALLOWED}=1" in shell_line(words, variables)
    assert f'Environment="{ALLOWED}=1"' in unit_drop_in(words, variables)
