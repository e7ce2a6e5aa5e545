"""One experiment as one HTML file.

A part of the archive that is damaged becomes a line that says so; the rest is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jinja2 import UndefinedError
from markupsafe import Markup

from agent.archive.paths import Archive
from agent.report.html.excerpts import Excerpts
from agent.report.html.sections import Sections
from agent.report.summary import MISSHAPEN, summarise
from agent.report.terminal.verdict_text import headline
from agent.util.errors import Fault
from agent.util.templates import render_page

# What an archive that was edited by hand makes of the code that shows it.
DAMAGE = (Fault, *MISSHAPEN, UndefinedError)


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    name: str  # its anchor
    title: str
    html: Markup


def experiment_page(archive: Archive, **frame: Any) -> str:
    """Return the page of an experiment as HTML, whole in one file.

    frame: what every page has (agent/report/html/pages.py).
    """
    summary = summarise(archive)
    sections = Sections(archive, summary.name, Excerpts(archive.folder))
    return render_page(
        "experiment.html.j2",
        summary=summary,
        headline=_headline(sections) if summary.finished else "",
        sections=_make(sections),
        **frame,
    )


def _headline(sections: Sections) -> str:
    """Return the verdict's first line without its class, which stands beside it as a badge."""
    try:
        stored = sections.stored
        if not stored:
            return ""
        class_name = stored["verdict"].upper().replace("_", " ")
        return headline(stored).removeprefix(class_name).strip("; ")
    except DAMAGE:
        return ""


def _make(sections: Sections) -> list[Section]:
    """Return every section that is not empty, in the order of the page."""
    parts: list[tuple[str, str, Callable[[], Markup]]] = [
        ("verdict", "Verdict", sections.verdict),
        ("seeds", "All seeds", sections.seeds),
        ("runs", "Runs", sections.runs),
        ("curves", "Curves", sections.curves),
        ("attempts", "Attempts", sections.attempts),
        ("criteria", "Criteria", sections.criteria),
        ("idea", "The idea", sections.idea),
        ("provenance", "Provenance", sections.provenance),
        ("files", "Files", sections.files),
    ]
    shown = []
    for name, title, make in parts:
        try:
            html = make()
        except DAMAGE as error:
            html = _damaged(error, sections.excerpts)
        if html:
            shown.append(Section(name, title, html))
    return shown


def _damaged(error: Exception, excerpts: Excerpts) -> Markup:
    """Return what stands in place of a section that could not be made."""
    detail = error.detail if isinstance(error, Fault) else f"{type(error).__name__}: {error}"
    line = Markup('<p class="warning">This part of the archive is damaged: {}</p>')
    return line.format(excerpts.text(detail))
