"""This record is verdict.json: its version, its classes and how it is read.

Imports little: tables of a thousand experiments wait for it.
"""

from __future__ import annotations

from typing import Any

from agent.archive.paths import Archive
from agent.util.errors import Fault
from agent.util.files import read_json

SCHEMA = 3  # another number with every field that comes or goes
CLASSES = ("supported", "not_supported", "inconclusive", "not_implemented", "no_result", "invalid")
# From these ratios on a price is marked.
TIME_RATIO = 1.5
PARAMETER_RATIO = 1.25


class OldFormat(Fault):
    """A verdict of another version: sound, but to be computed again."""


def load_verdict(archive: Archive) -> dict[str, Any] | None:
    """Return what was decided; None where nothing was yet.

    Raises Fault for a damaged one, OldFormat for one of another version.
    """
    if not archive.verdict.is_file():
        return None
    remedy = f"`python launch.py verdict {archive.folder}` computes it again"
    try:
        stored = read_json(archive.verdict)
    except Fault as fault:
        raise Fault("archive", f"{fault.detail}; {remedy}") from fault
    if stored.get("schema") != SCHEMA:
        raise OldFormat("archive", f"{archive.verdict}: not a verdict of this version; {remedy}")
    return stored
