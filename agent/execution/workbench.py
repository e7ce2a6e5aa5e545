"""A workbench: the environment, data, sandbox and server that were prepared for an experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.archive.paths import RunFolder
from agent.archive.run import Budget, Metric
from agent.execution.environment.additions import add, restore
from agent.execution.environment.base import Environment
from agent.execution.environment.requirements import MAX_BYTES, RequirementPolicy, read
from agent.execution.request import Request
from agent.execution.sandbox.policy import Sandbox
from agent.execution.sandbox.warm_server import ForkServer
from agent.task.dataset import Dataset
from agent.task.scaffold import Scaffold
from agent.util.files import read_json, read_untrusted, write_json


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Everything that a run of an experiment needs besides its code.

    It is prepared once, and the same for every run.
    """

    scaffold: Scaffold
    budget: Budget
    metric: Metric
    environment: Environment
    dataset: Dataset | None  # None: an open scaffold that brings its own
    baseline_key: dict[str, Any]
    sandbox: Sandbox
    addable: frozenset[str] = frozenset()  # packages that the coder may add
    server: ForkServer | None = None  # starts the runs, where the scaffold has a protocol
    announce: Callable[[str], None] = lambda text: None  # shows what takes a while

    def environment_of(self, folder: RunFolder) -> Environment:
        """Return what the programs of a run folder run with.

        It is what was recorded beside their code, else the base.
        """
        if not folder.environment.is_file():
            return self.environment
        return restore(self.environment, read_json(folder.environment), self.announce)

    def provide(self, requirements: Path, folder: RunFolder) -> str:
        """Install what a coder's requirements add and record it beside the code of `folder`.

        Returns what is wrong with them, or ''.
        """
        policy = RequirementPolicy(
            own=self.scaffold.own_requirements,
            installed=self.environment.packages,
            addable=self.addable,
            fixed=self.environment.fixed,
        )
        additions = read(read_untrusted(requirements, MAX_BYTES + 1), policy)
        if additions.problem:
            return additions.problem
        environment, problem = add(self.environment, additions.lines, self.announce)
        if environment:
            write_json(folder.environment, environment.record())
        return problem

    def request(
        self,
        folder: Path,
        logs: tuple[Path, Path],
        timeout: float,
        variables: dict[str, str],
        threads: int | None = None,
    ) -> Request:
        """Return the request for one `python main.py` in folder.

        It may read the arrays that its variables name. logs: for its stdout and stderr.
        threads: those of the budget where nothing else is given.
        """
        readable: tuple[Path, ...] = ()
        if "ASSAY_ARRAYS" in variables:
            readable = (Path(variables["ASSAY_ARRAYS"]),)
        stdout, stderr = logs
        return Request(
            python=self.environment.python,
            folder=folder,
            stdout=stdout,
            stderr=stderr,
            timeout=timeout,
            sandbox=self.sandbox,
            environment=variables,
            threads=threads or self.budget.threads,
            server=self.server,
            readable=readable,
            gpu=self.budget.device != "cpu",
        )
