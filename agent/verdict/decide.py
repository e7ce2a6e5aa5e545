"""Decide the verdict of an archive.

Nothing else is read, so the same archive gives the same verdict anywhere, byte for byte.
Not covered: the archive itself is believed; `launch.py reproduce` checks that its runs can be had
again.
"""

from __future__ import annotations

from typing import Any

from agent.archive.paths import Archive
from agent.archive.verdict import SCHEMA
from agent.verdict import record
from agent.verdict.classify import classify, smallest_effect
from agent.verdict.evidence import gather
from agent.verdict.qualifiers import qualifiers_of
from agent.verdict.statistics import compare


def decide(archive: Archive) -> dict[str, Any]:
    """Return the content of verdict.json.

    Raises Fault("archive", ...) where the archive is damaged.
    """
    evidence = gather(archive)
    effect = None
    against_scaffold = None
    if evidence.compared:
        effect = compare(evidence.idea.correct, evidence.control.correct)
        if evidence.scaffold.scores:
            against_scaffold = compare(evidence.idea.correct, evidence.scaffold.correct)
    verdict, reason = classify(evidence, effect, against_scaffold)
    return {
        "schema": SCHEMA,
        "idea": record.idea(evidence, smallest_effect(evidence, effect)),
        "verdict": verdict,
        "reasons": [reason],
        "qualifiers": qualifiers_of(evidence, effect),
        "effect": record.effect(evidence, effect),
        "against_scaffold": record.effect(evidence, against_scaffold),
        "baseline": record.control(evidence),
        "candidate": record.arm(evidence.idea, "idea"),
        "implemented": record.implemented(evidence),
        "budget": record.budget(evidence),
        "integrity": record.integrity(evidence),
        "selection": record.selection(evidence),
        "repro": record.origin(evidence),
        "cost": record.cost(evidence),
        "experiment": record.experiment(evidence),
    }
