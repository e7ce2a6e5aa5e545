"""The plan of an experiment: all that is decided before the first cycle, and what may end it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from agent.archive.run import Budget, Metric
from agent.experiment.idea import Idea
from agent.task.scaffold import Scaffold


class StopReason(str, Enum):
    """The reason for which the coder was asked no further."""

    COMPLETED = "all_completed"
    RUN_LIMIT = "run_limit"
    FAILURE_LIMIT = "failure_limit"
    NO_EDIT = "no_edit"
    SESSION_ENDED = "session_ended"
    COST_LIMIT = "cost_limit"  # the only one that a later command may lift


@dataclass(frozen=True)
class StopLimits:
    """The limits at which the coder is asked no further."""

    runs: int = 3  # successful runs
    failures: int = 4  # failed attempts in a row


@dataclass(frozen=True)
class Seeds:
    """The numbers of seeds."""

    control: int = 8  # seeds of the control, trained once and shared
    confirm: int = 5  # fresh seeds that confirm the best run


@dataclass(frozen=True)
class Plan:
    """The decisions of the user about one experiment."""

    idea: Idea
    scaffold: Scaffold
    budget: Budget
    metric: Metric
    limits: StopLimits
    seeds: Seeds = field(default_factory=Seeds)
    addable: frozenset[str] = frozenset()  # packages that the coder may add
