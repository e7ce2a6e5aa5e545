"""Templates -> Markdown in which what a model, a program or an archive says is text alone.

Every value that a template names is escaped; a block is given as code(...). Covered: HTML, links,
images, emphasis, code, tables, new lines, control codes. Not covered: a value at the beginning of a
line (templates put something before it).
"""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from agent.util.templates import render_through
from agent.util.text import bound, clean, fence, visible

_MEANING = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "://": "&#58;//",
    "www.": "www&#46;",
}
_SPECIAL = re.compile(r"://|www\.|[&<>]|[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])", re.I)


def render_markdown(template: str, **variables: Any) -> str:
    """Render templates/<template>; a missing variable is an error."""
    return render_through(_escaped, template, **variables)


def escape(text: str) -> Markup:
    """Return a text as one line that shows it."""
    line = re.sub(r"\s+", " ", clean(text))
    return Markup(_SPECIAL.sub(_escape_mark, line))


def code(text: str, lines: int, characters: int, language: str = "") -> Markup:
    """Return a text as a block of at most so much, its control codes written out."""
    block = fence(bound(visible(text), lines, characters))
    return Markup(block.replace("\n", f"{language}\n", 1))


def _escape_mark(match: re.Match[str]) -> str:
    mark = match[0]
    return _MEANING.get(mark.lower(), f"\\{mark}")


def _escaped(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return escape(value)
    return value
