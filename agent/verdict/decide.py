"""An archive -> its verdict. Nothing else is read, so the same archive gives the same verdict anywhere, byte for byte.

The classes in order of precedence: invalid, no_result, not_implemented, then supported, not_supported or inconclusive by
the interval. Not covered: the archive itself is believed; `launch.py reproduce` checks that its runs can be had again.
"""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

from agent.archive.gist import gist
from agent.archive.paths import Archive
from agent.archive.run import Metric, RunStatus
from agent.archive.verdict import PARAMETER_RATIO, SCHEMA, TIME_RATIO
from agent.task.recipe import spoken
from agent.util.text import bounded_line
from agent.verdict.equal_budget import COUNTED, unfair
from agent.verdict.evidence import Arm, Evidence, gather
from agent.verdict.statistics import Effect, compare, detectable, seeds_to_decide

SMALLEST_EFFECT = 0.005  # where the idea names none: the larger of this and one standard deviation of the control's seeds
_WITHOUT_A_RUN = {
    RunStatus.GUARD_FAILED: "invalid",
    RunStatus.RECIPE_CHANGED: "invalid",
    RunStatus.NOT_LIVE: "not_implemented",
}


def decide(archive: Archive) -> dict[str, Any]:
    """The content of verdict.json. Raises Fault("archive", ...) where the archive is damaged."""
    evidence = gather(archive)
    effect = compare(evidence.idea.correct, evidence.control.correct) if evidence.compared else None
    beside = (
        compare(evidence.idea.correct, evidence.scaffold.correct)
        if evidence.compared and evidence.scaffold.scores
        else None
    )
    verdict, reasons = classify(evidence, effect, beside)
    return {
        "schema": SCHEMA,
        "idea": _idea(evidence, effect),
        "verdict": verdict,
        "reasons": reasons,
        "qualifiers": _qualifiers(evidence, effect),
        "effect": _effect(evidence, effect),
        "against_scaffold": _effect(evidence, beside),
        "baseline": _arm(evidence.control, "control") | {"key": evidence.config["baseline_key"]},
        "candidate": _arm(evidence.idea, "idea"),
        "implemented": _implemented(evidence),
        "budget": _budget(evidence),
        "integrity": _integrity(evidence),
        "selection": _selection(evidence),
        "repro": _repro(evidence),
        "cost": _cost(evidence),
        "experiment": _experiment(evidence),
    }


def classify(
    evidence: Evidence, effect: Effect | None, beside: Effect | None
) -> tuple[str, list[str]]:
    """The class and why. First match wins. beside: against the scaffold as it is, where the control is the code's own."""
    if evidence.order is None:
        return _without_confirmation(evidence)
    if reason := _invalid(evidence):
        return "invalid", [reason]
    if (short := _short(evidence)) or effect is None:
        return "no_result", [short]
    if effect.low > 0 and beside and beside.low <= 0:
        against = f"{_points(beside.delta)} [{_points(beside.low)}, {_points(beside.high)}]"
        return "inconclusive", [
            f"better than its own code with the idea off, but not than the scaffold as it is: {against}"
        ]
    return _by_interval(evidence, effect)


def _short(evidence: Evidence) -> str:
    """Which arm has too few seeds with a result, and why; one may be lost of those that were planned."""
    planned = len(evidence.order["seeds"]) if evidence.order else 0
    own = evidence.order is not None and evidence.order["control"] == "own"
    for name, arm, asked in (
        ("idea", evidence.idea, planned),
        ("control", evidence.control, planned if own else 0),
    ):
        if len(arm.scores) < max(2, 2 if evidence.futile else asked - 1):
            failed = arm.failed[0].message.split("\n")[-1] if arm.failed else "it was not finished"
            return f"{len(arm.scores)} of {asked} fresh seeds of the {name} gave a result: {failed[:300]}"
    return ""


def _without_confirmation(evidence: Evidence) -> tuple[str, list[str]]:
    """Of an open scaffold, or where no run succeeded: then the last attempt that changed something speaks."""
    succeeded = [run for run in evidence.attempts if run.ok]
    if succeeded and evidence.config["open"]:
        return "inconclusive", [
            "the numbers are the program's own, of one run each: an open scaffold has no control to confirm against"
        ]
    if succeeded:
        return "no_result", ["the best run was not confirmed: the same command goes on"]
    last = next(
        (run for run in reversed(evidence.attempts) if run.status is not RunStatus.NO_EDIT), None
    )
    if last is None:
        return "not_implemented", ["no reply changed the program"]
    return _WITHOUT_A_RUN.get(last.status, "no_result"), [
        bounded_line(gist(last.message)) or last.status.value
    ]


def _invalid(evidence: Evidence) -> str:
    idea = evidence.idea
    prints = [score.fingerprint for score in idea.scores]
    if len(set(prints)) < len(prints):
        return "seeds are not independent: two of them gave identical predictions"
    if reason := unfair(evidence):
        return reason
    unusable = [run for run in idea.failed if run.status is RunStatus.NO_RESULT]
    if len(unusable) >= 2:
        return f"predictions were unusable for {len(unusable)} fresh seeds: {unusable[0].message[:200]}"
    return ""


def _by_interval(evidence: Evidence, effect: Effect) -> tuple[str, list[str]]:
    smallest = smallest_effect(evidence, effect)
    if effect.low > 0:
        return "supported", [
            f"the 95 % interval lies above 0, on {effect.n_candidate} fresh seeds against {effect.n_control}"
        ]
    if effect.high < smallest:
        return "not_supported", [
            f"the 95 % interval ends below {_points(smallest)}, the smallest effect of interest"
        ]
    if evidence.futile:
        return "not_supported", [
            f"stopped for futility: the first {effect.n_candidate} fresh seeds are on average not above the control"
        ]
    more = seeds_to_decide(effect, smallest)
    if more is None:
        return "inconclusive", [
            "more seeds alone would not decide it: the hidden test is too small for this difference"
        ]
    seeds = f"{more} more seed{'s' if more > 1 else ''} of each arm"
    return "inconclusive", [f"about {seeds} would decide it, if means and spreads stay as they are"]


def smallest_effect(evidence: Evidence, effect: Effect | None) -> float:
    """In shares of 1: what the idea says, else the larger of half a percentage point and one standard deviation of the control."""
    told = evidence.config["front_matter"].get("smallest_effect")
    return told / 100 if told else max(SMALLEST_EFFECT, effect.sd_control if effect else 0.0)


# ---- what stands in verdict.json ---------------------------------------------------------------------------


def _idea(evidence: Evidence, effect: Effect | None) -> dict[str, Any]:
    config = evidence.config
    return {
        "id": config["slug"],
        "sha": config["idea_sha"],
        "title": config["idea"],
        "metric": config["metric"]["name"],
        "direction": config["metric"]["direction"],
        "min_effect": _round(smallest_effect(evidence, effect)),
        "criteria_sha": evidence.criteria.sha,
    }


def _effect(evidence: Evidence, effect: Effect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    planned = len(evidence.order["seeds"]) if evidence.order else effect.n_candidate
    return {
        "delta": _round(effect.delta),
        "ci95": [_round(effect.low), _round(effect.high)],
        "se_seed": _round(effect.se_seed),
        "se_test": _round(effect.se_test),
        "p_value": _round(effect.p_value),
        "p_better": _round(effect.p_better),
        "mde80": _round(
            detectable(effect.sd_control, planned, effect.n_control, se_test=effect.se_test)
        ),
        "n_cand": effect.n_candidate,
        "n_base": effect.n_control,
        "q_bh": None,
    }


def _arm(arm: Arm, name: str) -> dict[str, Any]:
    accuracies = [round(score.accuracy("test"), 6) for score in arm.scores]
    return {
        "arm": name,
        "mean": _round(mean(accuracies)) if accuracies else None,
        "sd": _round(stdev(accuracies)) if len(accuracies) > 1 else None,
        "seeds": arm.seeds,
        "acc": accuracies,
        "pred_sha": [score.fingerprint for score in arm.scores],
        "failed": [run.status.value for run in arm.failed],
    }


def _qualifiers(evidence: Evidence, effect: Effect | None) -> list[str]:
    found, time, parameters = list[str](), evidence.time_ratio, evidence.parameter_ratio
    if time and time > TIME_RATIO:
        found.append(f"at {time:.1f}x time")
    if parameters and parameters > PARAMETER_RATIO:
        found.append(f"at {parameters:.1f}x parameters")
    if evidence.futile:
        found.append(f"stopped for futility after {len(evidence.idea.seeds)} seeds")
    if effect and evidence.idea.failed:
        found.append(f"{len(evidence.idea.failed)} fresh seeds without a result")
    if effect and effect.high < 0:
        found.append("harmful")
    if evidence.order and evidence.order["control"] == "own":
        found.append("own off-switch")
    if evidence.facts and evidence.facts["recipe"]:
        found.append(f"with another {', '.join(map(spoken, evidence.facts['recipe']))}")
    found += _judge_qualifiers(evidence)
    if evidence.config["open"]:
        found.append("self-reported")
    if evidence.sandbox == "none":
        found.append("unsandboxed")
    elif evidence.network:
        found.append("network open")
    return found


def _judge_qualifiers(evidence: Evidence) -> list[str]:
    judgement = evidence.judgement
    if judgement is None or not judgement.findings:
        return ["judge absent"]
    found = []
    if judgement.doubts:
        found.append(f"judge doubts it ({', '.join(judgement.doubts)})")
    if any(finding.kind == "unchanged" and not finding.passed for finding in judgement.findings):
        found.append("bundled with other changes")
    if judgement.model == evidence.config["model"]:
        found.append("judge = coder's model")
    return found


def _implemented(evidence: Evidence) -> dict[str, Any]:
    facts = {name: value for name, value in (evidence.facts or {}).items() if name != "lines"}
    judgement = evidence.judgement.as_dict() if evidence.judgement else None
    check = evidence.order.get("check") if evidence.order else None
    return facts | {
        "control_check": check,
        "judgement": judgement,
        "coder_model": evidence.config["model"],
    }


def _budget(evidence: Evidence) -> dict[str, Any]:
    arms = evidence.untouched, evidence.idea

    def both(name: str) -> list[float | None]:
        return [arm.most(name) for arm in arms]

    return {
        "epochs": both("epochs"),
        **{name: both(name) for name in COUNTED},
        "params": both("parameters"),
        "cpu_s": [_round(arm.cpu_seconds, 2) for arm in arms],
        "wall_s": [_round(arm.wall_seconds, 2) for arm in arms],
        "time_ratio": _round(evidence.time_ratio, 3),
        "tuning_runs": {"candidate": len(evidence.attempts), "baseline": 0},
    }


def _integrity(evidence: Evidence) -> dict[str, Any]:
    config, dataset = evidence.config, evidence.config["dataset"] or {}
    refused = [
        bounded_line(gist(run.message))
        for run in evidence.attempts
        if run.status is RunStatus.GUARD_FAILED
    ]
    return {
        "guard": refused,
        "sandbox": evidence.sandbox,
        "network": evidence.network,
        "labels_visible": [] if config["open"] else ["train", "val"],
        "scaffold_sha": config["baseline_key"]["scaffold"],
        "dup_dropped": dataset.get("duplicates_dropped"),
        "test_count": dataset.get("test_count"),
    }


def _selection(evidence: Evidence) -> dict[str, Any]:
    explored = [
        {"run": run.folder, "dev": _round(run.value), "status": run.status.value}
        for run in evidence.attempts
    ]
    return {
        "explore": explored,
        "chosen": evidence.order["run"] if evidence.order else None,
        "rule": "best validation value of the runs",
        "dev_shown_to_coder": sum(run.ok for run in evidence.attempts),
        "test_shown_to_coder": 0,
    }


def _repro(evidence: Evidence) -> dict[str, Any]:
    made = evidence.config["provenance"]
    packages = made["environment"]["packages"]
    return {
        "git": made["commit"],
        "dirty": bool(made["uncommitted"]),
        "environment": made["environment"]["key"],
        "split_sha": (evidence.config["dataset"] or {}).get("split"),
        "python": made["python"],
        "torch": packages.get("torch"),
        "device": evidence.config["baseline_key"]["device"],
        "command": "python launch.py reproduce RUN",
    }


def _cost(evidence: Evidence) -> dict[str, Any]:
    runs = [*evidence.attempts, *evidence.checks, *evidence.idea.runs, *evidence.idea.failed]
    if evidence.order and evidence.order["control"] == "own":
        runs += [*evidence.control.runs, *evidence.control.failed]
    dollars, tokens = evidence.cost
    wall = sum(run.seconds for run in runs)
    seconds = {
        "wall_s": wall,
        "cpu_s": sum(run.cpu_seconds for run in runs),
        "gpu_s": wall if evidence.on_gpu else 0.0,
    }
    return {
        "runs": len(runs),
        **{name: _round(value, 1) for name, value in seconds.items()},
        "llm_usd": None if dollars is None else _round(dollars),
        "tokens": tokens,
    }


def _experiment(evidence: Evidence) -> dict[str, Any]:
    """What a table of many experiments says of this one, so that it need read nothing but verdicts."""
    data = evidence.config["dataset"]
    values = [run.value for run in evidence.attempts if run.ok and run.value is not None]
    return {
        "data": data["name"] if data else None,
        "model": evidence.config["model"],
        "open": evidence.config["open"],
        "epochs": evidence.config["budget"]["epochs"],
        "baseline": evidence.run_0.value if evidence.run_0 else None,
        "best": Metric(**evidence.config["metric"]).best(values),
        "runs": len(values),
        "failed": len(evidence.attempts) - len(values),
        **evidence.history.as_dict(),
    }


def _round(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(float(value), digits)


def _points(share: float) -> str:
    return f"{100 * share:.2f} pp"
