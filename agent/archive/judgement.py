"""TODO: docstring."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Criterion:
    """A statement about the code that is true or false."""

    id: str
    text: str


@dataclass(frozen=True)
class Criteria:
    """What the code must show, and which parts of the training recipe the idea itself changes."""

    items: tuple[Criterion, ...] = ()
    source: str = "none"  # front matter, model, none
    varies: tuple[str, ...] = ()  # of VARIES
    model: str = ""  # that wrote them
    why: str = ""  # there are none

    @property
    def sha(self) -> str:
        """Of what was fixed, not of where it came from."""
        fixed = {
            "criteria": [[item.id, item.text] for item in self.items],
            "varies": sorted(self.varies),
        }
        return hashlib.sha256(
            json.dumps(fixed, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"sha": self.sha}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Criteria:
        """An empty dict gives no criteria."""
        kept = {name: stored[name] for name in ("source", "model", "why") if name in stored}
        items = tuple(Criterion(item["id"], item["text"]) for item in stored.get("items", ()))
        return cls(items, varies=tuple(stored.get("varies", ())), **kept)


@dataclass(frozen=True)
class Finding:
    """What became of one criterion."""

    id: str
    text: str
    votes: tuple[bool, ...]  # what each readable vote said, before its quote was checked
    passed: bool  # more than half of the readable votes say so, with evidence
    kind: str = "added"  # or unchanged: something stays as it is, so that no added line can show it
    quote: str = ""
    quote_ok: bool = False  # the harness found it in an added statement that ran
    reason: str = ""  # the judge's; why a pass is void, where it is
    void: int = 0  # votes that said pass without evidence

    @property
    def split(self) -> bool:
        return len(set(self.votes)) > 1


@dataclass(frozen=True)
class Judgement:
    """All findings; none where the judge is absent."""

    findings: tuple[Finding, ...] = ()
    model: str = ""
    votes_asked: int = 0
    votes_readable: int = 0
    criteria: str = ""  # their sha
    absent: str = ""  # why there is no judgement

    @property
    def doubts(self) -> list[str]:
        """Ids of the criteria that did not pass. An absent judge doubts nothing and vouches for nothing."""
        return [finding.id for finding in self.findings if not finding.passed]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"doubts": self.doubts}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Judgement:
        findings = tuple(
            Finding(**{**finding, "votes": tuple(finding["votes"])})
            for finding in stored.get("findings", ())
        )
        kept = {
            name: stored[name]
            for name in ("model", "votes_asked", "votes_readable", "criteria", "absent")
            if name in stored
        }
        return cls(findings, **kept)
