"""Counts a calibration again with the checks as they are now, without asking a model.

    cd PROJECT && python benchmarks/review/recount.py RESULTS.jsonl --out RECOUNTED.jsonl [--without NOTE]

PROJECT is a repository after ``pantheon init``, with the notes that RESULTS.jsonl was measured on; ``--without`` leaves
out one that was no known note then. Nothing of it is changed, and its model is started but not asked. The notes are
taken whatever the checks say of them today, so that a known-good change which they deny is counted and not left out.
Every case is made again and put before the checks. What the checks now deny or let through is written with the
strengths that the reviewers had; a reviewer that now fails a case unasked, because a text speaks to it, has none. A
case that is not made any more, or that no reviewer was asked about and the checks now let through, is named: only a new
calibration can count it.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from pantheon.core.calibration import GOOD, CaseResult
from pantheon.core.errors import ToolError
from pantheon.core.known_cases import KnownCase
from pantheon.engine.calibrator import Calibrator, Subject
from pantheon.engine.checks import run_checks
from pantheon.engine.evidence import Evidence
from pantheon.engine.reviewer import refusals
from pantheon.engine.under_review import gather_change
from pantheon.shell.calibration_wiring import WHOLE
from pantheon.shell.config import find_user_paths, load_project
from pantheon.shell.known_changes import find_known
from pantheon.shell.night_wiring import open_night_services
from pantheon.testing.artifacts import FakeSink


async def recount(
    calibrator: Calibrator, subject: Subject, case: KnownCase, old: CaseResult
) -> CaseResult | None:
    """Return what becomes of a case now; None where only a model can tell."""
    try:
        head = await calibrator.commit(subject, case.change)
    except ToolError as error:
        return old.model_copy(update={"failures": (f"tools: {error.message}",)})
    services = calibrator.services
    context = calibrator.context(subject, head, calibrator.check)
    report = await run_checks(services, context, base=subject.base, head=head)
    if not report.failures and not old.judged:
        return None
    judged = []
    for one in old.judged:
        node, agent = next(pair for pair in calibrator.reviewers if pair[1].spec.name == one.reviewer)
        within = calibrator.context(subject, head, node)
        change = await gather_change(services, within, Evidence(FakeSink("")), agent)
        unasked = isinstance(change, str) or bool(refusals(change, agent.spec.question))
        judged.append(one.model_copy(update={"strength": None}) if unasked else one)
    return old.model_copy(update={"failures": report.failures, "judged": tuple(judged)})


async def run(results: Path, out: Path, without: frozenset[str]) -> None:
    """Count all cases again."""
    lines = (await asyncio.to_thread(results.read_text, "utf-8")).splitlines()
    old = {one.case: one for one in map(CaseResult.model_validate_json, lines)}
    found: list[dict[str, Any]] = []
    project = load_project(Path.cwd(), {})
    async with open_night_services(project, find_user_paths(), say=_say) as opened:
        services = opened.services
        known = await find_known(services, project, "files", WHOLE.notes, checked=False)
        flow = services.content.flows["docops"]
        notes = [one for one in known.notes if one.path.rpartition("/")[2] not in without]
        calibrator = Calibrator(services, flow, notes, known.start)
        tried = {one.subject for one in old.values()}
        for number in (number for number, one in enumerate(notes) if one.path in tried):
            subject = await calibrator.prepare(number, share=WHOLE.share, seed=number)
            for case in subject.cases:
                if case.name not in old:
                    _say(f"{case.name}: is new")
                    continue
                before = old.pop(case.name)
                now = await recount(calibrator, subject, case, before)
                if now is None:
                    _say(f"{case.name}: passes the checks now, and no reviewer was asked")
                    continue
                if now != before:
                    _say(f"{case.name}: {before.failures} -> {now.failures}")
                found.append(now.model_dump(mode="json"))
    for name in old:
        _say(f"{name}: is not made any more")
    good = [one for one in found if one["kind"] == GOOD]
    _say(
        f"{sum(bool(one['failures']) for one in good)} of {len(good)} known-good changes are denied by the checks"
    )
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found)
    await asyncio.to_thread(out.write_text, text, "utf-8")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Count again."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--without", action="append", default=[], metavar="NOTE", help="a file name, repeatable"
    )
    given = parser.parse_args()
    asyncio.run(run(given.results, given.out, frozenset(given.without)))


if __name__ == "__main__":
    main()
