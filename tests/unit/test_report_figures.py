"""The figures of a night."""

from datetime import UTC, datetime, timedelta

from pantheon.core.agreement import Verdict, compare_reviewers, rate_reviewers
from pantheon.core.figures import (
    OTHER,
    AttemptFacts,
    count_tool_errors,
    quantile,
    rate_agents,
    sum_model_use,
    time_nodes,
    wilson,
)
from pantheon.core.records import AttemptOutcome, TaskOutcome

START = datetime(2026, 1, 1, 22, tzinfo=UTC)


def facts(task="b/t1", node="work", outcome=AttemptOutcome.SUCCEEDED, wall_s=1.0, **more):
    return AttemptFacts(
        task=task,
        node=node,
        attempt=1,
        outcome=outcome,
        started_at=START,
        ended_at=START + timedelta(seconds=wall_s or 0),
        wall_s=wall_s,
        **more,
    )


def test_wilson_gives_the_published_interval():
    """8 of 10 is 49 % to 94 %, as in every table of Wilson intervals."""
    rate = wilson(8, 10)
    assert (rate.hits, rate.total, rate.share) == (8, 10, 0.8)
    assert round(rate.low, 4) == 0.4902
    assert round(rate.high, 4) == 0.9433


def test_nothing_counted_has_no_share():
    """None of none is no share at all, and its interval is everything."""
    assert wilson(0, 0).model_dump() == {"hits": 0, "total": 0, "share": None, "low": 0.0, "high": 1.0}


def test_quantiles_are_values_that_occurred():
    """Nearest rank: a p95 of two values is the larger one."""
    assert quantile([3.0, 1.0], 0.95) == 3.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([7.0], 0.01) == 7.0


def test_timings_are_by_node_with_the_longest_first():
    """Attempts that have not ended have no time and are left out."""
    rows = time_nodes([facts(node="a", wall_s=1), facts(node="b", wall_s=5), facts(node="b", wall_s=None)])
    assert [(row.node, row.attempts, row.total_s) for row in rows] == [("b", 1, 5.0), ("a", 1, 1.0)]


def test_model_use_sums_by_agent():
    """Tokens are kept apart: computed, cached, output."""
    one = facts(agent="x", calls=2, prompt_tokens=10, cached_tokens=4, computed_tokens=6, completion_tokens=3)
    (row,) = sum_model_use([one, one, facts(node="tool")])
    assert (row.agent, row.calls, row.computed_tokens, row.cached_tokens, row.completion_tokens) == (
        "x", 4, 12, 8, 6,
    )  # fmt: skip


def test_infrastructure_counts_against_no_agent():
    """A crash is not a failure of the agent, and versions are kept apart."""
    attempts = [
        facts(task="b/1", agent="x", version="1"),
        facts(task="b/2", agent="x", version="1", outcome=AttemptOutcome.FAILED),
        facts(task="b/3", agent="x", version="1", outcome=AttemptOutcome.CRASHED),
        facts(task="b/4", agent="x", version="2"),
    ]
    outcomes = {
        "b/1": TaskOutcome.ACCEPTED,
        "b/2": TaskOutcome.FAILED,
        "b/3": TaskOutcome.FAILED,
        "b/4": None,
    }
    first, second = rate_agents(attempts, outcomes)
    assert (first.version, first.attempts.hits, first.attempts.total) == ("1", 1, 2)
    assert (first.tasks.hits, first.tasks.total) == (1, 2)
    assert (second.version, second.attempts.total, second.tasks.total) == ("2", 1, 0)


def test_a_thousand_made_up_tools_stay_a_small_table():
    """Names come from a model: the table is bounded and loses no count."""
    attempts = [facts(tool_errors=((f"tool{n}", f"code{n % 50}"),)) for n in range(1000)]
    table = count_tool_errors(attempts, max_tools=5, max_codes=3)
    assert len(table.rows) == 6
    assert table.rows[-1][0] == table.codes[-1] == OTHER
    assert sum(sum(counts) for _, counts in table.rows) == table.total == 1000


def verdict(task, reviewer, word, margin=1.0):
    return Verdict(task=task, reviewer=reviewer, version="1", verdict=word, margin=margin)


def test_reviewers_are_compared_on_common_tasks_only():
    """The matrix has one count per task that both judged, and names those on which they differ."""
    verdicts = [
        verdict("t1", "a", "pass"), verdict("t1", "b", "pass"),
        verdict("t2", "a", "pass"), verdict("t2", "b", "fail"),
        verdict("t3", "a", "fail"),
        verdict("t4", "a", "fail"), verdict("t4", "b", "fail"),
    ]  # fmt: skip
    (pair,) = compare_reviewers(verdicts)
    assert (pair.both_pass, pair.only_first, pair.only_second, pair.both_fail) == (1, 1, 0, 1)
    assert pair.disputed == ("t2",)
    assert (pair.agree.hits, pair.agree.total) == (2, 3)


def test_a_later_verdict_replaces_an_earlier_one():
    """A second attempt's verdict on the same task is the one that counts."""
    verdicts = [verdict("t", "a", "fail"), verdict("t", "b", "pass"), verdict("t", "a", "pass")]
    (pair,) = compare_reviewers(verdicts)
    assert (pair.both_pass, pair.disputed) == (1, ())


def test_a_reviewer_without_margins_has_no_median():
    """A missing margin is missing, not zero."""
    first, second = rate_reviewers([verdict("t", "a", "pass", None), verdict("t", "b", "fail", -2.0)])
    assert first.median_margin is None
    assert (second.median_margin, second.passed.hits) == (-2.0, 0)
