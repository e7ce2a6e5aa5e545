"""Whole experiments on the digits in this process.

Real gate, real training and grading, a coder that plays canned edits.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from agent.archive.gate_report import load_facts
from agent.archive.paths import Archive
from agent.archive.run import Run, load_run
from agent.coder.base import ScriptedCoder
from agent.execution.environment.base import Environment
from agent.execution.sandbox.warm_server import ForkServer
from agent.experiment import confirm
from agent.experiment.controls import train_missing
from agent.experiment.idea import load_idea
from agent.experiment.loop import Experiment
from agent.experiment.prepare import control_seeds_of, create, make_plan, make_workbench
from agent.experiment.settings import Options, decide
from agent.task.contract import MAIN
from agent.util.files import read_events, read_json
from agent.util.observer import SilentObserver
from tests.cases import apply

IDEA = "# An idea\n\nWhatever the case does.\n"


@dataclass(frozen=True)
class Outcome:
    """One finished experiment."""

    archive: Archive
    coder: ScriptedCoder
    seconds: float

    @property
    def verdict(self) -> dict[str, Any]:
        return read_json(self.archive.verdict)

    @property
    def attempts(self) -> list[Run]:
        return [load_run(folder) for folder in self.archive.attempts()]

    @property
    def facts(self) -> dict[str, Any]:
        """Of the gate about the first attempt."""
        return load_facts(self.archive.attempts()[0]) or {}

    @property
    def layer(self) -> str:
        """The check or the stage that stopped the first attempt; the verdict where none did."""
        first = self.archive.attempts()[0]
        checks = read_json(first.gate)["checks"] if first.gate.is_file() else []
        failed = next((check["name"] for check in checks if check["status"]), None)
        return failed or ("verdict" if load_run(first).ok else load_run(first).status.value)

    @property
    def runs_spent(self) -> int:
        """Trainings of the idea's arm that were begun: explored and confirming ones."""
        return len(list(self.archive.folder.glob("run_[1-9]*/work"))) + len(
            list(self.archive.folder.glob("confirm/idea_*/work"))
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.archive.events) if event["event"] == name]


class Bench:
    """One set-up with its trained control seeds.

    `conduct` carries one edit of main.py to a verdict.
    """

    def __init__(self, folder: Path, environment: Environment, server: ForkServer, **options: Any):
        self.folder = folder
        self.options = Options(
            dataset="digits",
            epochs=1,
            runs=1,
            python=environment.python,
            runs_dir=folder / "runs",
            dry_run=True,
            **{"timeout": 120.0, "max_failures": 1} | options,
        )
        self.conducted = Counter[str]()
        self.server = server

    def conduct(
        self,
        case: str | Callable[[Path], None],
        *,
        idea: str = IDEA,
        answers: Any = None,
        **options: Any,
    ) -> Outcome:
        """case: of tests/cases.py, or a function that is given the workspace.

        ALL_COMPLETED ends the conversation.
        """
        path = self.folder / f"{case if isinstance(case, str) else case.__name__}.md"
        path.write_text(idea)
        settings = decide(load_idea(path), replace(self.options, **options))
        workbench = replace(make_workbench(settings, SilentObserver()), server=self.server)
        baseline = control_seeds_of(make_plan(settings), workbench, self.options.runs_dir)
        train_missing(workbench, baseline, SilentObserver())
        archive = create(settings, workbench)

        def step() -> str:
            main = archive.workspace / MAIN
            if callable(case):
                case(archive.workspace)
            else:
                main.write_text(apply(case, main.read_text()))
            return "edited"

        coder = ScriptedCoder([step], answers)
        # A test must end the same way each time, so its fresh seeds are drawn from the
        # case and from how often it was conducted.
        self.conducted[path.stem] += 1
        draw = random.Random(f"{path.stem} {self.conducted[path.stem]}")
        started = time.monotonic()
        with mock.patch.object(
            confirm, "draw_seeds", lambda count: draw.sample(range(10_000, 2**31), count)
        ):
            Experiment(
                make_plan(settings),
                workbench,
                archive,
                baseline,
                coder,
                SilentObserver(),
                lambda: None,
                lambda run: None,
            ).conduct()
        return Outcome(archive, coder, time.monotonic() - started)
