"""What is decided before the first cycle, what may end it, and the first message that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from agent.datasets import Dataset
from agent.environment import Environment
from agent.forks import ForkServer
from agent.idea import Idea, spoken
from agent.judge import Criteria
from agent.prompts import render
from agent.run import Budget, Metric
from agent.runner import Request
from agent.sandbox import Sandbox
from agent.workspace import Scaffold


class StopReason(str, Enum):
    """Why the coder was asked no further."""

    COMPLETED = "all_completed"
    RUN_LIMIT = "run_limit"
    FAILURE_LIMIT = "failure_limit"
    NO_EDIT = "no_edit"
    SESSION_ENDED = "session_ended"
    COST_LIMIT = "cost_limit"  # the only one that a later command may lift


@dataclass(frozen=True)
class Limits:
    """When to stop."""

    runs: int = 3
    failures: int = 4  # failed attempts in a row


@dataclass(frozen=True)
class Seeds:
    """How many of each: the control's, trained once and shared, and the fresh ones that confirm the best run."""

    control: int = 8
    confirm: int = 5


@dataclass(frozen=True)
class Plan:
    """What the user decided."""

    idea: Idea
    scaffold: Scaffold
    budget: Budget
    metric: Metric
    limits: Limits
    seeds: Seeds = field(default_factory=Seeds)


@dataclass(frozen=True)
class Setup:
    """The plan, and what was prepared for it."""

    plan: Plan
    environment: Environment
    dataset: Dataset | None  # None: an open scaffold that brings its own
    baseline_key: dict[str, Any]
    sandbox: Sandbox
    server: ForkServer | None = None  # starts the runs, where the scaffold has a protocol

    def request(self, folder: Path, logs: tuple[Path, Path], timeout: float, variables: dict[str, str],
                threads: int | None = None, arguments: tuple[str, ...] = ()) -> Request:  # fmt: skip
        """One `python main.py` in folder: it may read the arrays that its variables name, or all of an open scaffold's."""
        arrays = variables.get("ASSAY_ARRAYS")
        return Request(self.environment.python, folder, *logs, timeout, self.sandbox, variables, threads or self.plan.budget.threads,
                       arguments, self.server, (Path(arrays),) if arrays else (), gpu=self.plan.budget.device != "cpu")  # fmt: skip


def start_prompt(plan: Plan, dataset: Dataset | None, criteria: Criteria, value: float | None, seconds: float | None) -> str:
    """The first message: the idea, what will be looked for, the rules, and what the baseline reached (None: not known yet)."""
    info = dataset.info if dataset else None
    varies = [*map(spoken, criteria.varies)]
    return render("start.md.j2", plan=plan, dataset=info, criteria=criteria.items, varies=varies, value=value, seconds=seconds)
