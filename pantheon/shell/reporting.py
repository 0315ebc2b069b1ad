"""Writes a night's report into its artifacts: at the end of the night, and whenever it is asked for."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pantheon.core.errors import ConfigError
from pantheon.ports.store import Store
from pantheon.report.html import render_html
from pantheon.report.json import render_json
from pantheon.report.read_model import build_report
from pantheon.shell.config import Project
from pantheon.shell.wiring import project_artifacts, project_evidence

HTML_FILE, JSON_FILE = "report.html", "report.json"


@dataclass(frozen=True)
class WrittenReport:
    """Where a report is, and its first sentence."""

    night: str
    sentence: str
    html: Path
    json: Path
    titles: Mapping[str, str]
    """Task key -> title of what it landed."""


async def write_report(project: Project, store: Store | None, night: str | None = None) -> WrittenReport:
    """Build a night's report and write both of its files, each replaced as a whole.

    Args:
        project: the configured repository.
        store: None when nothing was ever queued.
        night: id of the night or the beginning of it; the newest when None.

    Raises:
        ConfigError: there is no such night.
        StoreError: the store cannot be read.
        ArtifactError: the report cannot be written.
    """
    if store is None:
        raise ConfigError("there was no night yet", hint="Queue something and run: pantheon night")
    report = await build_report(store, project_evidence(project), night)
    artifacts = project_artifacts(project)
    html = await asyncio.to_thread(render_html, report)
    data = await asyncio.to_thread(render_json, report)
    return WrittenReport(
        night=report.night.id,
        sentence=report.sentence,
        titles={change.task: change.title for group in report.landed for change in group.changes},
        json=Path(await artifacts.put_night_file(report.night.id, JSON_FILE, data)),
        html=Path(await artifacts.put_night_file(report.night.id, HTML_FILE, html)),
    )
