"""Criteria fixed before coding, and a judge that says, with quotes, which of them the code meets.

The judge is a model: it reads the diff without comments and what the gate found, never a result or
the chat. Its word counts only where this module finds the quote in an added statement that ran.
Not covered: text in a string of main.py reaches the judge as code does; a quote may be true and
prove nothing; a pass that calls itself "unchanged" rests on the gate alone.
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

DIFF_LINES = 1000
DIFF_CHARACTERS = 60_000

FACTS_LINES = 400
FACTS_CHARACTERS = 20_000

QUOTE_CHARACTERS = 4000

# A fact of such a name would bias the judge.
_RESULT = re.compile(r"(^|_)(val|test)?_?(acc|accuracy|score|scores|metric|metrics)(_|$)", re.I)


@dataclass(frozen=True)
class JudgedCode:
    """A main.py that is to be judged, and what the gate saw of it."""

    base: str  # main.py before any edit
    new: str  # main.py now
    ran: set[int]  # lines of `new` that ran with the idea on
    facts: dict[str, Any]  # the gate's, as plain values

    @property
    def control_is_baseline(self) -> bool:
        """Return whether the gate saw the control compute what the scaffold computes."""
        return self.facts.get("control_equals_baseline") is True

    def evidence(self) -> list[str]:
        """Return the added statements that ran, each as one line. Raises SyntaxError."""
        lines = []
        for statement in added_statements(self.base, self.new):
            if statement.ran(self.ran):
                lines.append(one_line(statement.text))
        return lines


@dataclass(frozen=True)
class _Vote:
    """The vote of one answer on one criterion, untrusted."""

    passed: bool = False
    kind: str = "added"
    quote: str = ""
    reason: str = "this vote does not speak of the criterion"
    void: str = ""  # why its pass does not count

    @property
    def counts(self) -> bool:
        """Return whether it is a pass with evidence."""
        return self.passed and not self.void


def judge(criteria: Criteria, code: JudgedCode, ask: Ask) -> Judgement:
    """Ask for "judge 1", "judge 2", ... and return what the votes come to.

    Never raises for what a model or a main.py says.
    """
    if not criteria.items:
        why = f"no criteria: {criteria.why}" if criteria.why else "no criteria"
        return Judgement(criteria=criteria.sha, absent=why)
    try:
        diff = diff_without_comments(code.base, code.new)
        evidence = code.evidence()
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = f"main.py cannot be read as Python: {type(error).__name__}"
        return Judgement(criteria=criteria.sha, absent=why)
    answers = _answers(ask, _prompt(criteria, diff, code.facts))
    every = [_read_ballot(answer.text, criteria) for answer in answers]
    ballots = list(filter(None, every))
    models = filter(None, (answer.model for answer in answers))
    judgement = Judgement(
        model=", ".join(dict.fromkeys(models)),
        votes_asked=len(answers),
        votes_readable=len(ballots),
        criteria=criteria.sha,
    )
    if len(ballots) < ENOUGH:
        why = bounded_line(_why_unreadable(answers))
        return replace(judgement, absent=f"{why} ({len(ballots)} of {VOTES} votes can be read)")
    findings = []
    for criterion in criteria.items:
        votes = [ballot.get(criterion.id, _Vote()) for ballot in ballots]
        checked = [replace(vote, void=_void(vote, evidence, code)) for vote in votes]
        findings.append(_finding(criterion, checked, evidence))
    return replace(judgement, findings=tuple(findings))


def _answers(ask: Ask, prompt: str) -> list[Answer]:
    """Ask for one vote after the other; after an answer without text none is asked for."""
    answers = list[Answer]()
    for number in range(1, VOTES + 1):
        answers.append(ask(f"judge {number}", prompt))
        if answers[-1].text is None:
            break
    return answers


def _why_unreadable(answers: list[Answer]) -> str:
    for answer in answers:
        if answer.text is None:
            return answer.why
    return "its answers cannot be read"


def _prompt(
    criteria: Criteria,
    diff: str,
    facts: dict[str, Any],
) -> str:
    shown = {name: value for name, value in facts.items() if not _RESULT.search(name)}
    text = clean(json.dumps(shown, indent=2, default=str))
    diff = bound(visible(diff), DIFF_LINES, DIFF_CHARACTERS)
    return render(
        "judge.md.j2",
        criteria=criteria.items,
        diff=fence(diff),
        facts=fence(bound(text, FACTS_LINES, FACTS_CHARACTERS)),
    )


def _finding(
    criterion: Criterion,
    votes: list[_Vote],
    evidence: list[str],
) -> Finding:
    passed = 2 * sum(vote.counts for vote in votes) > len(votes)
    shown = _deciding(votes, passed)
    reason = shown.reason
    if shown.void:
        reason = f"void: {shown.void}. The judge: {reason}"
    return Finding(
        criterion.id,
        criterion.text,
        votes=tuple(vote.passed for vote in votes),
        passed=passed,
        kind=shown.kind,
        quote=bounded_line(shown.quote),
        quote_ok=quoted(shown.quote, evidence),
        reason=bounded_line(reason),
        void=sum(bool(vote.void) for vote in votes),
    )


def _deciding(votes: list[_Vote], passed: bool) -> _Vote:
    """Return the vote to show: one that counts for a pass, else a void pass first."""
    if passed:
        return max(votes, key=lambda vote: vote.counts)
    return max(votes, key=lambda vote: bool(vote.void) - vote.counts)


def _void(
    vote: _Vote,
    evidence: list[str],
    code: JudgedCode,
) -> str:
    """Return why a pass does not count, or ''."""
    if not vote.passed:
        return ""
    if vote.kind == "unchanged":
        untouched = code.control_is_baseline
        return "" if untouched else "the control does not compute what the baseline computes"
    if not vote.quote.strip():
        return "it quotes nothing"
    return "" if quoted(vote.quote, evidence) else "its quote is no added line that ran"


def _read_ballot(
    text: str | None,
    criteria: Criteria,
) -> dict[str, _Vote]:
    """Return the votes of an answer by criterion; {} where nothing of it can be read.

    Of two votes on one criterion the stricter counts.
    """
    known = {criterion.id for criterion in criteria.items}
    votes = dict[str, _Vote]()
    for item in _last_array(text or ""):
        if not isinstance(item, dict):
            continue
        name = item.get("id")
        if not isinstance(name, str) or name not in known:
            continue
        if not isinstance(item.get("pass"), bool):
            continue
        if name not in votes or not item["pass"]:
            votes[name] = _vote(item)
    return votes


def _last_array(text: str) -> list[Any]:
    """Return the last array in a text that holds an object with an id."""
    for array in reversed(json_values(text, "[")):
        if any(isinstance(item, dict) and "id" in item for item in array):
            return list(array)
    return []


def _vote(item: dict[str, Any]) -> _Vote:
    # What is neither added nor unchanged is held to the stricter rule.
    kind = "unchanged" if item.get("kind") == "unchanged" else "added"
    quote = _text(item.get("quote"))
    reason = _text(item.get("reason"))
    return _Vote(
        passed=item["pass"],
        kind=kind,
        quote=clean(quote[:QUOTE_CHARACTERS]),
        reason=bounded_line(reason),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
