"""Did the idea get more than what it is compared with? The same samples, updates, backward passes, images and recipe, but for
what the idea names.

The figures are protocol.py's, from the run's own process: evidence, not proof. Not covered: a program that changes weights
without a backward pass of PyTorch, or that tampers with the counters; the seconds are measured from outside.
"""

from __future__ import annotations

from agent.task.recipe import RECIPE, implied, spoken
from agent.verdict.evidence import Arm, Evidence

COUNTED = {
    "samples": "samples",
    "updates": "updates",
    "backwards": "backward passes",
    "images": "images with gradients",
}


def unfair(evidence: Evidence) -> str:
    """What it got more of, or otherwise; '' for nothing."""
    if not evidence.idea.runs:
        return ""
    for reference in (evidence.scaffold, evidence.control):
        if reference.runs and (
            reason := _counts(evidence, reference) or _recipe(evidence, reference)
        ):
            return reason
    return ""


def _counts(evidence: Evidence, reference: Arm) -> str:
    """Samples, and what no batch of the Trainer shows: passes before, after and beside its steps."""
    varies = evidence.criteria.varies
    named = {name.removesuffix("_per_batch") for name in {*varies, *implied(varies)}}
    named |= {"backwards"} if "batch_size" in varies else set()
    for name, what in COUNTED.items():
        idea, control = evidence.idea.most(name) or 0.0, reference.least(name)
        if name == "images" and control < reference.least("samples"):
            continue  # a control that calls parts of the model, which nobody counts
        if name not in named and idea > control:
            return f"its training took {idea:,.0f} {what}, the control's {control:,.0f}"
    return ""


def _recipe(evidence: Evidence, reference: Arm) -> str:
    """A part of the training recipe that differs between the arms after the gate's few steps, and that the idea does not name."""
    for name in RECIPE:
        if name in evidence.criteria.varies:
            continue
        idea, control = (
            {run.metrics.get(f"recipe/{name}") for run in arm.runs}
            for arm in (evidence.idea, reference)
        )
        if idea != control:
            values = [", ".join(sorted(map(str, arm))) for arm in (idea, control)]
            return (
                f"during the training the {spoken(name)} was {values[0]}, the control's {values[1]}"
            )
    return ""
