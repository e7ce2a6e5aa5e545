"""What is decided before the first cycle, what may end it, and the first message that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from agent.archive.run import Budget, Metric
from agent.experiment.idea import Idea
from agent.task.scaffold import Scaffold


class StopReason(str, Enum):
    """Why the coder was asked no further."""

    COMPLETED = "all_completed"
    RUN_LIMIT = "run_limit"
    FAILURE_LIMIT = "failure_limit"
    NO_EDIT = "no_edit"
    SESSION_ENDED = "session_ended"
    COST_LIMIT = "cost_limit"  # the only one that a later command may lift


@dataclass(frozen=True)
class StopLimits:
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
    limits: StopLimits
    seeds: Seeds = field(default_factory=Seeds)
    addable: frozenset[str] = frozenset()  # packages that the coder may add
