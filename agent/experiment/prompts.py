"""TODO: docstring."""

from __future__ import annotations

from agent.archive.judgement import Criteria
from agent.execution.environment.base import Environment
from agent.execution.environment.requirements import NOTABLE
from agent.experiment.plan import Plan
from agent.task.dataset import Dataset
from agent.task.recipe import spoken
from agent.util.templates import render


def start_prompt(
    plan: Plan,
    environment: Environment | None,
    dataset: Dataset | None,
    criteria: Criteria,
    value: float | None,
    seconds: float | None,
) -> str:
    """The first message: the idea, what will be looked for, the rules, and what the baseline reached (None: not known yet)."""
    info, varies = dataset.info if dataset else None, [*map(spoken, criteria.varies)]
    packages = environment.packages if environment else {}
    there = [f"{name} {version}" for name, version in sorted(packages.items()) if name in NOTABLE]
    addable = [] if environment and environment.fixed else sorted(plan.addable - packages.keys())
    return render(
        "start.md.j2",
        plan=plan,
        dataset=info,
        criteria=criteria.items,
        varies=varies,
        value=value,
        seconds=seconds,
        there=there,
        addable=addable,
    )
