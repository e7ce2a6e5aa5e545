"""HTML pages: report.html of an experiment, and runs/report.html of them all.

Each is one file, and needs no network and no server.
"""

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
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
# Characters of a text, and how many texts, in one row: 50 experiments must fit into 10 MB.
MOST_TITLE = 300
MOST_NOTE = 3000
MOST_QUALIFIERS = 20
# Times the usual end of an interval: from there it is drawn as an arrow, for it would press the
# others flat.
OUTLIER = 8
NARROWEST = 0.005  # end of the scale, in shares of 1
MARGIN = 1.05  # of the scale


def write_pages(run: Path | None, runs: Path) -> int:
    """Write the page of one experiment, or of all whose page is older than they are.

    Then write the page of them all. This is `launch.py report`.
    """
    if run:
        archives = [find(run, runs)]
    else:
        archives = [archive for archive in some_experiments(runs) if outdated(archive)]
    for archive in archives:
        with progress(f"report of {archive.folder.name}"):
            say(f"{write_page(archive)}")
    say(f"{write_queue_page(runs)}")
    return 0


def outdated(archive: Archive) -> bool:
    """Return True where the page is missing, or the archive grew since it was made."""
    try:
        written_at = archive.report.stat().st_mtime_ns
    except OSError:
        return True
    for path in (archive.events, archive.config, archive.verdict, archive.reproductions):
        if path.exists() and path.stat().st_mtime_ns > written_at:
            return True
    return False


def write_page(archive: Archive) -> Path:
    """Write report.html in the archive, and return its path.

    Raises Fault("disk", ...) where it cannot be written.
    """
    runs = archive.folder.parent.parent
    _write(archive.report, experiment_page(archive, **_frame()), runs)
    return archive.report


def write_queue_page(runs: Path) -> Path:
    """Write report.html of all experiments under runs/, and return its path."""
    path = runs / "report.html"
    _write(path, queue_page(runs), runs)
    return path


def queue_page(runs: Path) -> str:
    """Return the page of all experiments under runs/, as HTML."""
    ranked = summaries(runs)
    ranked.sort(key=lambda summary: summary.low, reverse=True)
    compared = [summary for summary in ranked if summary.effect]
    counts = Counter(summary.state for summary in ranked)
    return render_page(
        "queue.html.j2",
        rows=[_row(summary, runs) for summary in ranked],
        counts=[(state, counts[state]) for state in STATES if counts[state]],
        compared=len(compared),
        wins=counts["supported"],
        false_wins=expected_false_wins(len(compared)),
        scale=_scale(compared),
        **_frame(),
    )


def _write(path: Path, page: str, runs: Path) -> None:
    """Write a page. Two commands that finish at once take turns: each has the same name aside."""
    with locked(runs / ".report.lock", wait=True):
        write_text(path, page)


def _row(summary: Summary, runs: Path) -> dict[str, Any]:
    """Return the fields of a summary and what else the table shows of it, its texts cut."""
    report = summary.archive.report
    page = ""
    if report.is_file():
        page = report.relative_to(runs).as_posix()
    qualifiers = summary.qualifiers[:MOST_QUALIFIERS]
    return asdict(summary) | {
        "title": summary.title[:MOST_TITLE],
        "model": summary.model[:MOST_TITLE],
        "data": summary.data[:MOST_TITLE],
        "note": summary.note[:MOST_NOTE],
        "qualifiers": [qualifier[:MOST_TITLE] for qualifier in qualifiers],
        "name": summary.name,
        "rank": STATES.index(summary.state),
        "page": page,
    }


def _scale(compared: list[Summary]) -> tuple[float, float] | None:
    """Return the ends of the scale of the drawn intervals.

    Zero is in the middle, and most of the intervals fit.
    """
    ends: list[float] = []
    for summary in compared:
        if summary.effect:
            low, high = summary.effect["ci95"]
            ends += [abs(low), abs(high)]
    if not ends:
        return None
    needed = min(max(ends), OUTLIER * median(ends))
    widest = MARGIN * max(NARROWEST, needed)
    return -widest, widest


def _frame() -> dict[str, Any]:
    """Return what every page has. Only our own script may run: the policy holds its hash."""
    css = (HERE / "page.css").read_text(encoding="utf-8")
    js = (HERE / "page.js").read_text(encoding="utf-8")
    script_hash = hashlib.sha256(js.encode()).digest()
    digest = base64.b64encode(script_hash).decode()
    return {
        "css": Markup(css),
        "js": Markup(js),
        "policy": f"{POLICY}; script-src 'sha256-{digest}'",
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
    }
