"""Write the parts of verdict.json, each from the evidence, with numbers rounded for good."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

from agent.archive.gist import gist
from agent.archive.run import Metric, Run, RunStatus
from agent.util.text import bounded_line
from agent.verdict.equal_budget import COUNTED
from agent.verdict.evidence import Arm, Evidence
from agent.verdict.statistics import Effect, detectable


def idea(evidence: Evidence, smallest_effect: float) -> dict[str, Any]:
    """Return which idea this is, and what would count as an effect of it."""
    config = evidence.config
    return {
        "id": config["slug"],
        "sha": config["idea_sha"],
        "title": config["idea"],
        "metric": config["metric"]["name"],
        "direction": config["metric"]["direction"],
        "min_effect": _round(smallest_effect),
        "criteria_sha": evidence.criteria.sha,
    }


def effect(evidence: Evidence, measured: Effect | None) -> dict[str, Any] | None:
    """Return an effect with its interval, in shares of 1; None where nothing was compared."""
    if measured is None:
        return None
    planned = measured.n_candidate
    if evidence.confirm_plan:
        planned = len(evidence.confirm_plan["seeds"])
    smallest = detectable(
        measured.sd_control, planned, measured.n_control, se_test=measured.se_test
    )
    return {
        "delta": _round(measured.delta),
        "ci95": [_round(measured.low), _round(measured.high)],
        "se_seed": _round(measured.se_seed),
        "se_test": _round(measured.se_test),
        "p_value": _round(measured.p_value),
        "p_better": _round(measured.p_better),
        "mde80": _round(smallest),
        "n_cand": measured.n_candidate,
        "n_base": measured.n_control,
        "q_bh": None,
    }


def control(evidence: Evidence) -> dict[str, Any]:
    """Return the control's arm, and the key of the set-up that it was trained in."""
    return arm(evidence.control, "control") | {"key": evidence.config["baseline_key"]}


def arm(runs: Arm, name: str) -> dict[str, Any]:
    """Return the seeds of an arm, with the accuracy of each on the hidden test."""
    accuracies = [round(score.accuracy("test"), 6) for score in runs.scores]
    average = mean(accuracies) if accuracies else None
    spread = stdev(accuracies) if len(accuracies) > 1 else None
    return {
        "arm": name,
        "mean": _round(average),
        "sd": _round(spread),
        "seeds": runs.seeds,
        "acc": accuracies,
        "pred_sha": [score.fingerprint for score in runs.scores],
        "failed": [run.status.value for run in runs.failed],
    }


def implemented(evidence: Evidence) -> dict[str, Any]:
    """Return what the gate and the judge saw of the code that was confirmed."""
    plan = evidence.confirm_plan
    judgement = evidence.judgement
    facts = dict(evidence.facts or {})
    facts.pop("lines", None)
    return facts | {
        "control_check": plan.get("check") if plan else None,
        "judgement": judgement.as_dict() if judgement else None,
        "coder_model": evidence.config["model"],
    }


def budget(evidence: Evidence) -> dict[str, Any]:
    """Return what the arms were given and what they took: pairs of the scaffold and the idea."""
    arms = (evidence.untouched, evidence.idea)
    return {
        "epochs": _most(arms, "epochs"),
        **{name: _most(arms, name) for name in COUNTED},
        "params": _most(arms, "parameters"),
        "cpu_s": [_round(each.cpu_seconds, 2) for each in arms],
        "wall_s": [_round(each.wall_seconds, 2) for each in arms],
        "time_ratio": _round(evidence.time_ratio, 3),
        "tuning_runs": {"candidate": len(evidence.attempts), "baseline": 0},
    }


def integrity(evidence: Evidence) -> dict[str, Any]:
    """Return what kept the program from its own grade, and what it tried."""
    config = evidence.config
    dataset = config["dataset"] or {}
    guarded = [run for run in evidence.attempts if run.status is RunStatus.GUARD_FAILED]
    return {
        "guard": [bounded_line(gist(run.message)) for run in guarded],
        "sandbox": evidence.sandbox,
        "network": evidence.network,
        "labels_visible": [] if config["open"] else ["train", "val"],
        "scaffold_sha": config["baseline_key"]["scaffold"],
        "dup_dropped": dataset.get("duplicates_dropped"),
        "test_count": dataset.get("test_count"),
    }


def selection(evidence: Evidence) -> dict[str, Any]:
    """Return how the run that was confirmed was chosen, and which scores the coder saw."""
    plan = evidence.confirm_plan
    explored = list(map(_attempt, evidence.attempts))
    return {
        "explore": explored,
        "chosen": plan["run"] if plan else None,
        "rule": "best validation value of the runs",
        "dev_shown_to_coder": sum(run.ok for run in evidence.attempts),
        "test_shown_to_coder": 0,
    }


def _attempt(run: Run) -> dict[str, Any]:
    return {
        "run": run.folder,
        "dev": _round(run.value),
        "status": run.status.value,
    }


def origin(evidence: Evidence) -> dict[str, Any]:
    """Return what the runs were made with, for who wants to have them again."""
    provenance = evidence.config["provenance"]
    environment = provenance["environment"]
    dataset = evidence.config["dataset"] or {}
    return {
        "git": provenance["commit"],
        "dirty": bool(provenance["uncommitted"]),
        "environment": environment["key"],
        "split_sha": dataset.get("split"),
        "python": provenance["python"],
        "torch": environment["packages"].get("torch"),
        "device": evidence.config["baseline_key"]["device"],
        "command": "python launch.py reproduce RUN",
    }


def cost(evidence: Evidence) -> dict[str, Any]:
    """Return what the experiment took in runs, seconds, dollars and tokens."""
    runs = [*evidence.attempts, *evidence.checks, *evidence.idea.runs, *evidence.idea.failed]
    if evidence.own_control:
        runs += [*evidence.control.runs, *evidence.control.failed]
    dollars, tokens = evidence.cost
    seconds = sum(run.seconds for run in runs)
    gpu_seconds = seconds if evidence.on_gpu else 0.0
    cpu_seconds = sum(run.cpu_seconds for run in runs)
    return {
        "runs": len(runs),
        "wall_s": _round(seconds, 1),
        "cpu_s": _round(cpu_seconds, 1),
        "gpu_s": _round(gpu_seconds, 1),
        "llm_usd": _round(dollars),
        "tokens": tokens,
    }


def experiment(evidence: Evidence) -> dict[str, Any]:
    """Return what a table of many experiments needs, so that it reads nothing but verdicts."""
    config = evidence.config
    dataset = config["dataset"]
    run_0 = evidence.run_0
    runs = [run for run in evidence.attempts if run.ok]
    values = [run.value for run in runs if run.value is not None]
    return {
        "data": dataset["name"] if dataset else None,
        "model": config["model"],
        "open": config["open"],
        "epochs": config["budget"]["epochs"],
        "baseline": run_0.value if run_0 else None,
        "best": Metric(**config["metric"]).best(values),
        "runs": len(values),
        "failed": len(evidence.attempts) - len(values),
        **evidence.history.as_dict(),
    }


def _most(arms: tuple[Arm, Arm], name: str) -> list[float | None]:
    return [arm.most(name) for arm in arms]


def _round(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(float(value), digits)
