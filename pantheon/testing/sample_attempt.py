"""What an attempt of a made-up night leaves: its figures, an agent's files, a reviewer's record."""

import json
from typing import Any

from pantheon.testing.sample_diff import Say

COMMIT = "c0ffee" + "0" * 34


def metrics(say: Say, node: str, wall_s: float, *, agent: bool) -> dict[str, Any]:
    """Return the figures of an attempt; ``agent`` tells whether a model was asked."""
    tokens = 900 if agent else 0
    return {
        "agent": f"{node}@{say('1.0.0')}" if agent else None,
        "ended": say("finalized") if agent else "",
        "wall_s": wall_s,
        "calls": 2 if agent else 0,
        "prompt_tokens": tokens,
        "cached_tokens": tokens // 3,
        "computed_tokens": tokens - tokens // 3,
        "completion_tokens": 80 if agent else 0,
        "model_s": wall_s * 0.9 if agent else 0.0,
        "tool_errors": [{"tool": say("set_front_matter"), "code": say("tool")}] if agent else [],
    }


def agent_files(say: Say) -> dict[str, bytes]:
    """Return the files that an attempt of an agent leaves: its calls, its tools, its logs."""
    tool = {
        "step": 1,
        "tool": say("set_front_matter"),
        "args": {"title": say("Notes"), say("tags"): [say("one")]},
        "ok": False,
        "result": None,
        "error": {"code": say("tool"), "message": say("the title fits any note")},
        "elapsed_ms": 12,
    }
    call = {
        "call": 1,
        "purpose": say("step 1"),
        "endpoint": "embedded",
        "request": {},
        "reply": {
            "text": say('{"tool": "set_front_matter"}'),
            "usage": {"prompt_tokens": 450, "cached_tokens": 150, "completion_tokens": 40},
            "timings": {"total_s": 3.2},
        },
    }
    return {
        "llm_prompt.txt": say("##### call 1\nYou name notes.\nThe note: ...").encode("utf-8", "replace"),
        "tool_calls.jsonl": (json.dumps(tool) + "\n").encode(),
        "llm_calls.jsonl": (json.dumps(call) + "\n").encode(),
        "stdout.log": say("claimed\ndone\n").encode("utf-8", "replace"),
        "stderr.log": say("one call was refused\n").encode("utf-8", "replace"),
    }


def review(say: Say, reviewer: str, verdict: str, title: str) -> dict[str, Any]:
    """Return the record that a reviewer leaves of its verdict on a title."""
    sign = 1 if verdict == "pass" else -1
    return {
        "reviewer": reviewer,
        "version": say("1.0.0"),
        "verdict": verdict,
        "margin": sign * 1.4,
        "reasons": [] if sign > 0 else [say("title: the decoy was preferred")],
        "base": "ba5e" + "0" * 36,
        "head": COMMIT,
        "tree": COMMIT,
        "questions": [
            {
                "question": say(field_name),
                "proposal": title,
                "decoy": say("A day at the office"),
                "margins": [sign * 2.1, sign * 0.7],
                "margin": sign * 1.4,
                "label_mass": 0.97,
                "fits": sign > 0,
            }
            for field_name in ("title", "description", "tags")
        ],
    }
