"""Name what has to be said with a verdict wherever it is quoted: its price, and what weakens it."""

from __future__ import annotations

from agent.archive.verdict import PARAMETER_RATIO, TIME_RATIO
from agent.task.recipe import spoken
from agent.verdict.evidence import Evidence
from agent.verdict.statistics import Effect


def qualifiers_of(evidence: Evidence, effect: Effect | None) -> list[str]:
    """Return the qualifiers of a verdict, in the order in which they are printed."""
    return [
        *_of_the_price(evidence),
        *_of_the_seeds(evidence, effect),
        *_of_the_code(evidence),
        *_of_the_judge(evidence),
        *_of_the_confinement(evidence),
    ]


def _of_the_price(evidence: Evidence) -> list[str]:
    qualifiers = []
    time = evidence.time_ratio
    if time and time > TIME_RATIO:
        qualifiers.append(f"at {time:.1f}x time")
    parameters = evidence.parameter_ratio
    if parameters and parameters > PARAMETER_RATIO:
        qualifiers.append(f"at {parameters:.1f}x parameters")
    return qualifiers


def _of_the_seeds(evidence: Evidence, effect: Effect | None) -> list[str]:
    qualifiers = []
    if evidence.futile:
        qualifiers.append(f"stopped for futility after {len(evidence.idea.seeds)} seeds")
    if effect and evidence.idea.failed:
        qualifiers.append(f"{len(evidence.idea.failed)} fresh seeds without a result")
    if effect and effect.high < 0:
        qualifiers.append("harmful")
    return qualifiers


def _of_the_code(evidence: Evidence) -> list[str]:
    qualifiers = []
    if evidence.own_control:
        qualifiers.append("own off-switch")
    if evidence.facts and evidence.facts["recipe"]:
        qualifiers.append(f"with another {', '.join(map(spoken, evidence.facts['recipe']))}")
    return qualifiers


def _of_the_judge(evidence: Evidence) -> list[str]:
    judgement = evidence.judgement
    if judgement is None or not judgement.findings:
        return ["judge absent"]
    qualifiers = []
    if judgement.doubts:
        qualifiers.append(f"judge doubts it ({', '.join(judgement.doubts)})")
    if any(finding.kind == "unchanged" and not finding.passed for finding in judgement.findings):
        qualifiers.append("bundled with other changes")
    if judgement.model == evidence.config["model"]:
        qualifiers.append("judge = coder's model")
    return qualifiers


def _of_the_confinement(evidence: Evidence) -> list[str]:
    qualifiers = []
    if evidence.config["open"]:
        qualifiers.append("self-reported")
    if evidence.sandbox == "none":
        qualifiers.append("unsandboxed")
    elif evidence.network:
        qualifiers.append("network open")
    return qualifiers
