"""The verdicts of made-up archives, with numbers that are drawn."""

from __future__ import annotations

import random
from typing import Any

from agent.archive.run import Run
from agent.archive.verdict import CLASSES, SCHEMA
from benchmarks.archive_records import PACKAGES


def verdict_record(
    rng: random.Random, verdict: str, slug: str, title: str, attempts: list[Run]
) -> dict[str, Any]:
    """Return a record of this verdict, but for the times of the experiment."""
    effect = effect_record(rng, verdict) if verdict in CLASSES[:3] else None
    values = [run.value for run in attempts if run.value is not None]
    ratio = round(rng.uniform(0.8, 3), 3)
    params = [128266.0, float(rng.randint(120_000, 300_000))]
    costs = [round(rng.uniform(0.005, 0.3), 6), None]
    experiment = {
        "data": "cifar100",
        "model": "anthropic/claude-sonnet",
        "open": False,
        "epochs": 3,
        "baseline": round(rng.uniform(0.55, 0.85), 16),
        "best": max(values, default=None),
        "runs": len(values),
        "failed": len(attempts) - len(values),
        "stopped": "run_limit",
    }
    qualifiers = ["judge = coder's model"]
    if ratio > 1.5:
        qualifiers.insert(0, f"at {ratio:.1f}x time")
    return {
        "schema": SCHEMA,
        "idea": {
            "id": slug,
            "sha": "5ebd13ff342d1168",
            "title": title,
            "metric": "val_accuracy",
            "direction": "max",
            "min_effect": 0.005,
            "criteria_sha": "fcc060fe6cbad438",
        },
        "verdict": verdict,
        "reasons": [f"made up for a benchmark: {verdict}"],
        "qualifiers": qualifiers,
        "effect": effect,
        "against_scaffold": None,
        "baseline": arm_record(rng, "control", 8) | {"key": {"packages": PACKAGES}},
        "candidate": arm_record(rng, "idea", 5),
        "implemented": {
            "control_equals_baseline": True,
            "idea_differs_from_control": verdict != "not_implemented",
            "idea_equals_baseline": False,
            "largest_difference": 0.0155,
            "added_statements": 13,
            "executed": 13,
            "idea_only": 9,
            "operators": {f"aten.operator_{place}": place for place in range(22)},
            "parameters": [128266, 131082],
            "steps": [9, 9, 9],
            "order_differs": False,
            "recipe": {},
            "judgement": None,
            "control_check": {"seed": 449432907, "same": True, "exact": True, "distance": 0.0},
            "coder_model": "anthropic/x",
        },
        "budget": {
            "epochs": [2109.0, 2109.0],
            "samples": [2109.0, 2109.0],
            "updates": [2109.0, 2109.0],
            "backwards": [2109.0, 2109.0],
            "images": [2109.0, 2109.0],
            "params": params,
            "cpu_s": [100.0, 100 * ratio],
            "wall_s": [60.0, 60 * ratio],
            "time_ratio": ratio,
            "tuning_runs": {"candidate": len(attempts), "baseline": 0},
        },
        "integrity": {
            "guard": [],
            "sandbox": "bwrap",
            "network": False,
            "labels_visible": ["train", "val"],
            "scaffold_sha": "4ab82a7e",
            "dup_dropped": 3,
            "test_count": 10000,
        },
        "selection": {
            "explore": [
                {"run": run.folder, "dev": run.value, "status": run.status.value}
                for run in attempts
            ],
            "chosen": 1 if effect else None,
            "rule": "best validation value of the runs",
            "dev_shown_to_coder": len(values),
            "test_shown_to_coder": 0,
        },
        "repro": {
            "git": "d062498ca6de84a3",
            "dirty": False,
            "environment": "5a683fb13d92",
            "split_sha": "def5cf6e35ef300f",
            "python": "3.11.7",
            "torch": "2.10.0",
            "device": "auto: cpu",
            "command": "python launch.py reproduce RUN",
        },
        "cost": {
            "runs": 8,
            "wall_s": 17.5,
            "cpu_s": 16.2,
            "gpu_s": 0.0,
            "llm_usd": rng.choice(costs),
            "tokens": rng.randint(9000, 80000),
        },
        "experiment": experiment,
    }


def effect_record(rng: random.Random, verdict: str) -> dict[str, Any]:
    delta, half, p_value = {
        "supported": (rng.uniform(0.01, 0.05), 0.009, rng.uniform(1e-6, 0.02)),
        "not_supported": (rng.uniform(-0.06, -0.01), 0.008, rng.uniform(0.6, 0.999)),
        "inconclusive": (rng.uniform(-0.01, 0.02), 0.04, rng.uniform(0.03, 0.9)),
    }[verdict]
    delta = round(delta, 6)
    return {
        "delta": delta,
        "ci95": [round(delta - half, 6), round(delta + half, 6)],
        "se_seed": 0.004,
        "se_test": 0.001,
        "p_value": round(p_value, 6),
        "p_better": 0.8,
        "mde80": 0.012,
        "n_cand": 5,
        "n_base": 8,
        "q_bh": None,
    }


def arm_record(rng: random.Random, name: str, seeds: int) -> dict[str, Any]:
    accuracies = [round(rng.uniform(0.7, 0.8), 6) for _ in range(seeds)]
    return {
        "arm": name,
        "mean": sum(accuracies) / seeds,
        "sd": 0.01,
        "seeds": [rng.randrange(2**31) for _ in accuracies],
        "acc": accuracies,
        "pred_sha": [f"{rng.randrange(2**64):016x}" for _ in accuracies],
        "failed": [],
    }
