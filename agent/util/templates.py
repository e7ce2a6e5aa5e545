"""Templates become text here.

A variable that a template names and the caller forgot is an error, never an empty string.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from agent.util.errors import UserError
from agent.util.repository import REPOSITORY
from agent.util.text import clean

TEMPLATES = REPOSITORY / "templates"
MOST_CHARACTERS = 100_000  # of each text on a page


def render(template: str, **variables: Any) -> str:
    """Render templates/<template>."""
    return _environment().get_template(template).render(**variables)


def render_text(source: str, **variables: Any) -> str:
    """Render a template given as text, a scaffold's main.py.

    It may name variables, and call nothing.
    """
    try:
        return _environment().from_string(source).render(**variables)
    except TemplateError as error:
        problem = f"the scaffold's main.py is not a template that can be rendered: {error}"
        raise UserError(problem) from error


def render_page(template: str, **variables: Any) -> str:
    """Render an HTML page: whatever is not Markup is escaped."""
    return _page_environment().get_template(template).render(**variables)


def render_through(show: Callable[[Any], Any], template: str, **variables: Any) -> str:
    """Render a template each of whose values is shown as show() gives it."""
    environment = _environment().overlay(finalize=show)
    return environment.get_template(template).render(**variables)


def page_macros(template: str) -> Any:
    """Return the macros of a template, to be called; they return Markup."""
    return _page_environment().get_template(template).module


def _environment(*, autoescape: bool = False) -> Environment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,
    )


def _harmless(value: Any) -> Any:
    """Return a text without control characters, whoever wrote it, and not too long.

    Markup is ours, and was put together of such texts.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = clean(value, [])  # keys are blotted out when the page is written
    left_out = len(text) - MOST_CHARACTERS
    if left_out <= 0:
        return text
    return f"{text[:MOST_CHARACTERS]} [... {left_out:,} characters]"


def _stamp(time: float) -> str:
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M")


@cache
def _page_environment() -> Environment:
    environment = _environment(autoescape=True)
    environment.finalize = _harmless
    environment.filters["stamp"] = _stamp
    return environment
