"""What is decided before the first cycle, what may end it, and the first message that says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from agent.additions import add, restore
from agent.archive import RunFolder
from agent.datasets import Dataset
from agent.environment import Environment
from agent.files import read_json, read_untrusted, write_json
from agent.forks import ForkServer
from agent.idea import Idea, spoken
from agent.judge import Criteria
from agent.prompts import render
from agent.requirements import MAX_BYTES, NOTABLE, Rules, read
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
    addable: frozenset[str] = frozenset()  # packages that the coder may add


@dataclass(frozen=True)
class Setup:
    """The plan, and what was prepared for it."""

    plan: Plan
    environment: Environment
    dataset: Dataset | None  # None: an open scaffold that brings its own
    baseline_key: dict[str, Any]
    sandbox: Sandbox
    server: ForkServer | None = None  # starts the runs, where the scaffold has a protocol
    announce: Callable[[str], None] = lambda text: None  # what takes a while and nobody asked for

    def environment_of(self, folder: RunFolder) -> Environment:
        """What the programs of a run folder run with: as recorded beside their code, else the base."""
        if not folder.environment.is_file():
            return self.environment
        return restore(self.environment, read_json(folder.environment), self.announce)

    def provide(self, requirements: Path, folder: RunFolder) -> str:
        """Install what a coder's requirements add and record it beside the code of `folder`; or what is wrong with them."""
        rules = Rules(self.plan.scaffold.own_requirements, self.environment.packages, self.plan.addable, self.environment.fixed)
        wanted = read(read_untrusted(requirements, MAX_BYTES + 1), rules)
        environment, problem = (None, wanted.problem) if wanted.problem else add(self.environment, wanted.lines, self.announce)
        if environment:
            write_json(folder.environment, environment.record())
        return problem

    def request(self, folder: Path, logs: tuple[Path, Path], timeout: float, variables: dict[str, str],
                threads: int | None = None, arguments: tuple[str, ...] = ()) -> Request:  # fmt: skip
        """One `python main.py` in folder: it may read the arrays that its variables name, or all of an open scaffold's."""
        arrays = variables.get("ASSAY_ARRAYS")
        return Request(self.environment.python, folder, *logs, timeout, self.sandbox, variables, threads or self.plan.budget.threads,
                       arguments, self.server, (Path(arrays),) if arrays else (), gpu=self.plan.budget.device != "cpu")  # fmt: skip


def start_prompt(
    plan: Plan, environment: Environment | None, dataset: Dataset | None, criteria: Criteria, value: float | None, seconds: float | None
) -> str:
    """The first message: the idea, what will be looked for, the rules, and what the baseline reached (None: not known yet)."""
    info, varies = dataset.info if dataset else None, [*map(spoken, criteria.varies)]
    packages = environment.packages if environment else {}
    there = [f"{name} {version}" for name, version in sorted(packages.items()) if name in NOTABLE]
    addable = [] if environment and environment.fixed else sorted(plan.addable - packages.keys())
    return render("start.md.j2", plan=plan, dataset=info, criteria=criteria.items, varies=varies, value=value, seconds=seconds,
                  there=there, addable=addable)  # fmt: skip
