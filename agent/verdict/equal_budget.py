"""Compare what the arms of an experiment were given: did the idea get more than its control?

Both must have the same samples, updates, backward passes, images and recipe, but for what the idea
names. The figures are protocol.py's, from the run's own process: evidence, not proof.
Not covered: a program that changes weights without a backward pass of PyTorch, or that tampers with
the counters; the seconds are measured from outside.
"""

from __future__ import annotations

from typing import Any

from agent.task.recipe import RECIPE, implied, spoken
from agent.verdict.evidence import Arm, Evidence

# Metrics of which the idea may have no more than the control, and their names in a sentence.
COUNTED = {
    "samples": "samples",
    "updates": "updates",
    "backwards": "backward passes",
    "images": "images with gradients",
}


def unfair(evidence: Evidence) -> str:
    """Return what the idea got more of, or which part of the recipe differs; '' for neither."""
    if not evidence.idea.runs:
        return ""
    for reference in (evidence.scaffold, evidence.control):
        if not reference.runs:
            continue
        reason = _extra_work(evidence, reference) or _other_recipe(evidence, reference)
        if reason:
            return reason
    return ""


def _extra_work(evidence: Evidence, reference: Arm) -> str:
    """Find more samples, or passes before, after and beside the steps.

    No batch of the Trainer shows them.
    """
    varies = evidence.criteria.varies
    changed = {*varies, *implied(varies)}
    named = {name.removesuffix("_per_batch") for name in changed}
    if "batch_size" in varies:
        named.add("backwards")
    for name, words in COUNTED.items():
        idea = evidence.idea.most(name) or 0.0
        control = reference.least(name)
        if name == "images" and control < reference.least("samples"):
            continue  # a control that calls parts of the model, which nobody counts
        if name not in named and idea > control:
            return f"its training took {idea:,.0f} {words}, the control's {control:,.0f}"
    return ""


def _other_recipe(evidence: Evidence, reference: Arm) -> str:
    """Find a part of the recipe that differs after the gate's few steps.

    A part that the idea names may differ.
    """
    for name in RECIPE:
        if name in evidence.criteria.varies:
            continue
        idea = _logged_values(evidence.idea, name)
        control = _logged_values(reference, name)
        if idea != control:
            was = f"the {spoken(name)} was {_listed(idea)}"
            return f"during the training {was}, the control's {_listed(control)}"
    return ""


def _logged_values(arm: Arm, name: str) -> set[Any]:
    return {run.metrics.get(f"recipe/{name}") for run in arm.runs}


def _listed(values: set[Any]) -> str:
    return ", ".join(sorted(map(str, values)))
