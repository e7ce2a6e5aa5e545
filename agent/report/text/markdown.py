"""Templates -> Markdown in which what a model, a program or an archive says is text and nothing else.

Every value that a template names is escaped; a block is given as code(...). Covered: HTML, links, images, emphasis, code, tables, new
lines, control codes. Not covered: a value at the beginning of a line (templates put something before it).
"""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from agent.util.templates import render_through
from agent.util.text import bound, clean, fence, visible

_MEANING = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "://": "&#58;//", "www.": "www&#46;"}
_SPECIAL = re.compile(r"://|www\.|[&<>]|[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])", re.I)


def render_markdown(template: str, **variables: Any) -> str:
    """Render templates/<template>; a missing variable is an error."""
    return render_through(_shown, template, **variables)


def escape(text: str) -> Markup:
    """As one line that shows the text."""
    return Markup(
        _SPECIAL.sub(
            lambda match: _MEANING.get(match[0].lower(), f"\\{match[0]}"),
            re.sub(r"\s+", " ", clean(text)),
        )
    )


def code(text: str, lines: int, characters: int, language: str = "") -> Markup:
    """As a block of at most so much that shows the text, its control codes written out."""
    return Markup(fence(bound(visible(text), lines, characters)).replace("\n", f"{language}\n", 1))


def _shown(value: Any) -> Any:
    return escape(value) if isinstance(value, str) and not isinstance(value, Markup) else value
