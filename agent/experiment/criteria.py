"""TODO: docstring."""

from __future__ import annotations

from typing import Any

from agent.archive.judgement import Criteria, Criterion
from agent.experiment.idea import Idea
from agent.gate.judge import Ask
from agent.gate.quotes import json_values
from agent.task.recipe import VARIES
from agent.util.templates import render
from agent.util.text import bounded_line, clean, fence, one_line

MOST_CRITERIA = 6


def criteria_of(idea: Idea, ask: Ask) -> Criteria:
    """From the front matter, else from a model, else none, with the reason."""
    named = idea.settings.get("varies")
    varies = None if named is None else _recipe(named)
    if told := idea.settings.get("criteria"):
        return Criteria(_numbered(told), "front matter", varies or ())
    answer = ask(
        "criteria", render("criteria.md.j2", idea=idea, text=fence(idea.text), varies=VARIES)
    )
    if answer.text is None:
        return Criteria((), "none", varies or (), why=bounded_line(answer.why))
    found = [
        value for value in json_values(answer.text, "{") if isinstance(value.get("criteria"), list)
    ]
    texts = (
        [
            bounded_line(text)
            for text in found[-1]["criteria"]
            if isinstance(text, str) and text.strip()
        ]
        if found
        else []
    )
    if not texts:
        return Criteria(
            (), "none", varies or (), why="the model's answer holds no criteria that can be read"
        )
    items = _numbered(list(dict.fromkeys(texts))[:MOST_CRITERIA])
    return Criteria(
        items, "model", _recipe(found[-1].get("varies")) if varies is None else varies, answer.model
    )


def _numbered(texts: list[str]) -> tuple[Criterion, ...]:
    return tuple(
        Criterion(f"C{number}", one_line(clean(text))) for number, text in enumerate(texts, 1)
    )


def _recipe(names: Any) -> tuple[str, ...]:
    """The known names, in the order of VARIES."""
    return tuple(name for name in VARIES if isinstance(names, (list, tuple)) and name in names)
