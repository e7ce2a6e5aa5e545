"""Templates -> text. A variable that a template names and the caller forgot is an error, never an empty string."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def render(template: str, **variables: Any) -> str:
    """Render templates/<template>."""
    return _environment().get_template(template).render(**variables)


def render_text(source: str, **variables: Any) -> str:
    """Render a template given as text (the scaffold's main.py)."""
    return _environment().from_string(source).render(**variables)


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
