"""The criteria of an idea: statements about the code, fixed before it is written."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Return the criteria from the front matter, else from a model, else none, with the reason."""
    named = idea.settings.get("varies")
    varies = None if named is None else _recipe(named)
    written = idea.settings.get("criteria")
    if written:
        return Criteria(_numbered(written), source="front matter", varies=varies or ())
    prompt = render(
        "criteria.md.j2",
        idea=idea,
        text=fence(idea.text),
        varies=VARIES,
    )
    answer = ask("criteria", prompt)
    if answer.text is None:
        return Criteria(varies=varies or (), why=bounded_line(answer.why))
    proposal = _proposal(answer.text)
    texts = _texts(proposal.get("criteria", []))
    if not texts:
        why = "the model's answer holds no criteria that can be read"
        return Criteria(varies=varies or (), why=why)
    if varies is None:
        varies = _recipe(proposal.get("varies"))
    return Criteria(
        _numbered(texts),
        source="model",
        varies=varies,
        model=answer.model,
    )


def _proposal(answer: str) -> dict[str, Any]:
    """Return the last object in an answer that has a list of criteria; {} where there is none."""
    for value in reversed(json_values(answer, "{")):
        if isinstance(value.get("criteria"), list):
            return dict(value)
    return {}


def _texts(criteria: list[Any]) -> list[str]:
    """Return the readable criteria, each once, and no more than MOST_CRITERIA."""
    texts: dict[str, None] = {}
    for text in criteria:
        if isinstance(text, str) and text.strip():
            texts[bounded_line(text)] = None
    return list(texts)[:MOST_CRITERIA]


def _numbered(texts: Sequence[str]) -> tuple[Criterion, ...]:
    criteria = []
    for number, text in enumerate(texts, 1):
        criteria.append(Criterion(f"C{number}", one_line(clean(text))))
    return tuple(criteria)


def _recipe(names: Any) -> tuple[str, ...]:
    """Return the known ones among these names, in the order of VARIES."""
    if not isinstance(names, (list, tuple)):
        return ()
    return tuple(name for name in VARIES if name in names)
