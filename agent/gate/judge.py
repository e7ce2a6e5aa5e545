"""Criteria fixed before coding, and a judge that says, with quotes, which of them the code meets.

The judge is a model: it reads the diff without comments and what the gate found, never a result or the chat. Its word counts
only where this module finds the quote in an added statement that ran.
Not covered: text in a string of main.py reaches the judge as code does; a quote may be true and prove nothing; a pass that calls
itself "unchanged" rests on the gate alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent.archive.judgement import Criteria, Criterion, Finding, Judgement
from agent.coder.base import Answer
from agent.gate.quotes import json_values, quoted
from agent.gate.syntax import added_statements, diff_without_comments
from agent.util.templates import render
from agent.util.text import bound, bounded_line, clean, fence, one_line, visible

Ask = Callable[[str, str], Answer]  # purpose, prompt

VOTES = 3

ENOUGH = 2  # votes that must be readable

DIFF_LINES, DIFF_CHARACTERS = 1000, 60_000

QUOTE_CHARACTERS = 4000


_RESULT = re.compile(
    r"(^|_)(val|test)?_?(acc|accuracy|score|scores|metric|metrics)(_|$)", re.I
)  # such a fact would bias the judge


@dataclass(frozen=True)
class _Vote:
    """What one vote says about one criterion, untrusted."""

    passed: bool = False
    kind: str = "added"
    quote: str = ""
    reason: str = "this vote does not speak of the criterion"
    void: str = ""  # why its pass does not count

    @property
    def counts(self) -> bool:
        return self.passed and not self.void


def judge(
    criteria: Criteria,
    base: str,
    new: str,
    ran: set[int],
    facts: dict[str, Any],
    ask: Ask,
    votes: int = VOTES,
) -> Judgement:
    """Asks for "judge 1", "judge 2", ... Never raises for what a model or a main.py says.

    base, new: main.py before any edit and now; ran: lines of `new` that ran with the idea on; facts: the gate's, plain values.
    """
    blank = Judgement(votes_asked=votes, criteria=criteria.sha)
    if not criteria.items:
        return replace(
            blank,
            votes_asked=0,
            absent=f"no criteria: {criteria.why}" if criteria.why else "no criteria",
        )
    try:
        diff, statements = diff_without_comments(base, new), added_statements(base, new)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return replace(
            blank, votes_asked=0, absent=f"main.py cannot be read as Python: {type(error).__name__}"
        )
    evidence = [one_line(statement.text) for statement in statements if statement.ran(ran)]
    answers = _votes(ask, _prompt(criteria, diff, facts), votes)
    model = ", ".join(dict.fromkeys(answer.model for answer in answers if answer.model))
    blank = replace(blank, model=model, votes_asked=len(answers))
    readable = [vote for answer in answers if (vote := _read_vote(answer.text, criteria))]
    if len(readable) < ENOUGH:
        why = next(
            (answer.why for answer in answers if answer.text is None), "its answers cannot be read"
        )
        return replace(
            blank,
            votes_readable=len(readable),
            absent=f"{bounded_line(why)} ({len(readable)} of {votes} votes can be read)",
        )
    untouched = facts.get("control_equals_baseline") is True
    findings = tuple(
        _finding(item, [vote.get(item.id, _Vote()) for vote in readable], evidence, untouched)
        for item in criteria.items
    )
    return replace(blank, findings=findings, votes_readable=len(readable))


def _votes(ask: Ask, prompt: str, votes: int) -> list[Answer]:
    """One after the other; a provider that failed after its retries is not asked for the rest."""
    answers = list[Answer]()
    for number in range(1, votes + 1):
        answers.append(ask(f"judge {number}", prompt))
        if answers[-1].text is None:
            break
    return answers


def _prompt(criteria: Criteria, diff: str, facts: dict[str, Any]) -> str:
    known = {name: value for name, value in facts.items() if not _RESULT.search(name)}
    shown = fence(bound(clean(json.dumps(known, indent=2, default=str)), 400, 20_000))
    diff = fence(bound(visible(diff), DIFF_LINES, DIFF_CHARACTERS))
    return render("judge.md.j2", criteria=criteria.items, diff=diff, facts=shown)


def _finding(item: Criterion, votes: list[_Vote], evidence: list[str], untouched: bool) -> Finding:
    checked = [replace(vote, void=_void(vote, evidence, untouched)) for vote in votes]
    passed = 2 * sum(vote.counts for vote in checked) > len(checked)
    shown = _deciding(checked, passed)
    reason = f"void: {shown.void}. The judge: {shown.reason}" if shown.void else shown.reason
    return Finding(
        item.id,
        item.text,
        votes=tuple(vote.passed for vote in checked),
        passed=passed,
        kind=shown.kind,
        quote=bounded_line(shown.quote),
        quote_ok=quoted(shown.quote, evidence),
        reason=bounded_line(reason),
        void=sum(bool(vote.void) for vote in checked),
    )


def _deciding(votes: list[_Vote], passed: bool) -> _Vote:
    """The vote to show: of a criterion that passed one that counts, else a void pass where there is one."""
    return max(votes, key=lambda vote: vote.counts if passed else bool(vote.void) - vote.counts)


def _void(vote: _Vote, evidence: list[str], untouched: bool) -> str:
    """Why a pass does not count, or ''."""
    if not vote.passed:
        return ""
    if vote.kind == "unchanged":
        return "" if untouched else "the control does not compute what the baseline computes"
    if not vote.quote.strip():
        return "it quotes nothing"
    return "" if quoted(vote.quote, evidence) else "its quote is no added line that ran"


def _read_vote(text: str | None, criteria: Criteria) -> dict[str, _Vote]:
    """What an answer says by criterion; {} where nothing of it can be read. Said twice, the stricter word counts."""
    known, votes = {item.id for item in criteria.items}, dict[str, _Vote]()
    arrays = [
        value
        for value in json_values(text or "", "[")
        if any(isinstance(item, dict) and "id" in item for item in value)
    ]
    for item in arrays[-1] if arrays else []:
        if not isinstance(item, dict) or not isinstance(item.get("pass"), bool):
            continue
        name = item.get("id")
        if isinstance(name, str) and name in known and (name not in votes or not item["pass"]):
            votes[name] = _vote(item)
    return votes


def _vote(item: dict[str, Any]) -> _Vote:
    texts = {
        name: value if isinstance(value := item.get(name), str) else ""
        for name in ("quote", "reason")
    }
    kind = (
        "unchanged" if item.get("kind") == "unchanged" else "added"
    )  # what is neither is held to the stricter rule
    return _Vote(
        item["pass"], kind, clean(texts["quote"][:QUOTE_CHARACTERS]), bounded_line(texts["reason"])
    )
