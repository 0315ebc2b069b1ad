"""Which reviewers are qualified tonight: the qualifications in force, and what tells the model that answers."""

import asyncio
import os
from pathlib import Path

from pantheon.adapters.content import read_regular
from pantheon.core.qualification import QUALIFICATIONS_FILE, Qualification, Qualified, load_qualifications
from pantheon.ports.model import ModelClient
from pantheon.shell.config import Project
from pantheon.shell.wiring import read_catalogue

MODEL_PROBE_S = 20.0


async def model_identity(project: Project, model: ModelClient) -> str:
    """Return what tells the model that answers from any other: its file's digest, else the name it is served under.

    Raises:
        ModelError: the server does not say.
    """
    if project.config.endpoint.kind == "embedded":
        return embedded_identity(project)
    return f"served:{await model.model_name(deadline_s=MODEL_PROBE_S)}"


def embedded_identity(project: Project) -> str:
    """Return the digest of the configured model's file. Raises ``ConfigError``."""
    return read_catalogue(project).entry(project.config.model).sha256


async def judges_in_force(project: Project, model: ModelClient) -> Qualified:
    """Return whose word counts with the models that answer tonight. Raises ``ConfigError``, ``ModelError``."""
    return await asyncio.to_thread(load_qualified, project, await model_identity(project, model))


def load_qualified(project: Project, model: str) -> Qualified:
    """Return the qualifications that hold: this machine's own, and those that came with the policies.

    Raises:
        ConfigError: a file of them is wrong, or was changed.
    """
    folders = (project.state, project.policies)
    held = [one for folder in folders for one in read_qualifications(folder / QUALIFICATIONS_FILE)]
    others = {}
    if project.config.endpoint.kind == "embedded":
        catalogue = read_catalogue(project)
        others = {peer: catalogue.entry(name).sha256 for peer, name in project.config.review.models.items()}
    return Qualified(model=model, others=others, held=tuple(held))


def read_qualifications(path: Path) -> tuple[Qualification, ...]:
    """Read a file of qualifications; none where there is no file. Raises ``ConfigError``, for a link to nothing too."""
    return load_qualifications(str(path), read_regular(path)) if os.path.lexists(path) else ()
