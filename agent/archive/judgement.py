"""These records are criteria.json and gate/judgement.json: what the code must show and does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from agent.util.hashes import short_hash


@dataclass(frozen=True)
class Criterion:
    """A statement about the code that is true or false."""

    id: str
    text: str


@dataclass(frozen=True)
class Criteria:
    """All that the code must show, and the parts of the training recipe that the idea changes."""

    items: tuple[Criterion, ...] = ()
    source: str = "none"  # front matter, model, none
    varies: tuple[str, ...] = ()  # names from VARIES
    model: str = ""  # the model that wrote the criteria
    why: str = ""  # why there are no criteria

    @property
    def sha(self) -> str:
        """A hash of what was fixed, not of where it came from."""
        fixed = {
            "criteria": [[item.id, item.text] for item in self.items],
            "varies": sorted(self.varies),
        }
        text = json.dumps(fixed, sort_keys=True, separators=(",", ":"))
        return short_hash(text)

    def as_dict(self) -> dict[str, Any]:
        """Return the criteria as they are stored."""
        return asdict(self) | {"sha": self.sha}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Criteria:
        """Return the criteria that were stored so; an empty dict gives no criteria."""
        names = ("source", "model", "why")
        kept = {name: stored[name] for name in names if name in stored}
        items = stored.get("items", ())
        return cls(
            tuple(Criterion(item["id"], item["text"]) for item in items),
            varies=tuple(stored.get("varies", ())),
            **kept,
        )


@dataclass(frozen=True)
class Finding:
    """The outcome of a criterion."""

    id: str
    text: str
    votes: tuple[bool, ...]  # the readable votes, before their quotes were checked
    passed: bool  # more than half of the readable votes say so, with evidence
    kind: str = "added"  # or unchanged: something stays as it is, so that no added line can show it
    quote: str = ""
    quote_ok: bool = False  # the harness found the quote in an added statement that ran
    reason: str = ""  # the judge's reason; why a pass is void, where it is
    void: int = 0  # votes that said pass without evidence

    @property
    def split(self) -> bool:
        """True where the votes differ."""
        return len(set(self.votes)) > 1


@dataclass(frozen=True)
class Judgement:
    """All findings; none where the judge is absent."""

    findings: tuple[Finding, ...] = ()
    model: str = ""
    votes_asked: int = 0
    votes_readable: int = 0
    criteria: str = ""  # the sha of the criteria
    absent: str = ""  # why there is no judgement

    @property
    def doubts(self) -> list[str]:
        """The ids of the criteria that did not pass.

        An absent judge doubts nothing and vouches for nothing.
        """
        return [finding.id for finding in self.findings if not finding.passed]

    def as_dict(self) -> dict[str, Any]:
        """Return the judgement as it is stored."""
        return asdict(self) | {"doubts": self.doubts}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Judgement:
        """Return the judgement that was stored so."""
        names = ("model", "votes_asked", "votes_readable", "criteria", "absent")
        kept = {name: stored[name] for name in names if name in stored}
        findings = map(_finding, stored.get("findings", ()))
        return cls(tuple(findings), **kept)


def _finding(stored: dict[str, Any]) -> Finding:
    return Finding(**{**stored, "votes": tuple(stored["votes"])})
