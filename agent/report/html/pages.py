"""HTML pages: report.html of an experiment, and runs/report.html of them all. One file each, no network, no server."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from markupsafe import Markup

from agent.archive.lookup import find, some_experiments
from agent.archive.paths import Archive
from agent.archive.provenance import commit
from agent.report.html.experiment_page import experiment_page
from agent.report.summary import STATES, Summary, summaries
from agent.report.terminal.console import progress, say
from agent.util.files import write_text
from agent.util.locks import locked
from agent.util.templates import render_page
from agent.verdict.chance import expected_false_wins

HERE = Path(__file__).resolve().parent
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MOST_TITLE, MOST_NOTE, MOST_QUALIFIERS = (
    300,
    3000,
    20,
)  # characters, and how many: 50 experiments must fit into 10 MB
OUTLIER = 8  # times the usual end of an interval: from there it is drawn as an arrow, for it would press the others flat


def write_pages(run: Path | None, runs: Path) -> int:
    """`launch.py report`: the page of one experiment, or of all whose page is older than they are; and that of them all."""
    found = (
        [find(run, runs)]
        if run
        else [archive for archive in some_experiments(runs) if outdated(archive)]
    )
    for archive in found:
        with progress(f"report of {archive.folder.name}"):
            say(f"{write_page(archive)}")
    say(f"{write_queue_page(runs)}")
    return 0


def outdated(archive: Archive) -> bool:
    """Whether the page is missing, or something was said in the archive since it was made."""
    try:
        made = archive.report.stat().st_mtime_ns
    except OSError:
        return True
    told = archive.events, archive.config, archive.verdict, archive.reproductions
    return any(path.stat().st_mtime_ns > made for path in told if path.exists())


def write_page(archive: Archive) -> Path:
    """report.html in the archive; its path. Raises Fault("disk", ...) where it cannot be written."""
    _write(archive.report, experiment_page(archive, **_frame()), archive.folder.parent.parent)
    return archive.report


def write_queue_page(runs: Path) -> Path:
    """report.html of all experiments under runs/; its path."""
    path = runs / "report.html"
    _write(path, queue_page(runs), runs)
    return path


def _write(path: Path, page: str, runs: Path) -> None:
    """Two commands that finish at once write one after the other: each has the same name aside."""
    with locked(runs / ".report.lock", wait=True):
        write_text(path, page)


def queue_page(runs: Path) -> str:
    found = sorted(summaries(runs), key=lambda one: one.low, reverse=True)
    compared = [one for one in found if one.effect]
    counts = Counter(one.state for one in found)
    return render_page(
        "queue.html.j2",
        rows=[_row(one, runs) for one in found],
        counts=[(state, counts[state]) for state in STATES if counts[state]],
        compared=len(compared),
        wins=counts["supported"],
        false_wins=expected_false_wins(len(compared)),
        scale=_scale(compared),
        **_frame(),
    )


def _row(one: Summary, runs: Path) -> dict[str, Any]:
    page = one.archive.report.relative_to(runs).as_posix() if one.archive.report.is_file() else ""
    said = {
        "title": one.title[:MOST_TITLE],
        "model": one.model[:MOST_TITLE],
        "data": one.data[:MOST_TITLE],
        "note": one.note[:MOST_NOTE],
        "qualifiers": [qualifier[:MOST_TITLE] for qualifier in one.qualifiers[:MOST_QUALIFIERS]],
    }
    return asdict(one) | said | {"name": one.name, "rank": STATES.index(one.state), "page": page}


def _scale(compared: list[Summary]) -> tuple[float, float] | None:
    """Of the drawn intervals: zero is in it, and as much as most of them need."""
    ends = [abs(end) for one in compared if one.effect for end in one.effect["ci95"]]
    if not ends:
        return None
    widest = 1.05 * max(0.005, min(max(ends), OUTLIER * median(ends)))
    return -widest, widest


def _frame() -> dict[str, Any]:
    """What every page has. Only our own script may run: the policy holds its hash."""
    css, js = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(js.encode()).digest()).decode()
    policy = f"{POLICY}; script-src 'sha256-{digest}'"
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return {
        "css": Markup(css),
        "js": Markup(js),
        "policy": policy,
        "made": made,
        "commit": commit(),
    }
