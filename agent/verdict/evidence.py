"""An archive -> all that its verdict is made of. Nothing else is read, and nothing is computed that a reader could not check."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from agent.archive.history import History
from agent.archive.judgement import Criteria, Judgement
from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, load_run
from agent.archive.score import Score, load_score
from agent.archive.session import spent
from agent.execution.sandbox.policy import KINDS
from agent.util.errors import Fault
from agent.util.files import read_events, read_json
from agent.util.text import finite


@dataclass(frozen=True)
class Arm:
    """The finished runs of one arm with fresh seeds (or the cached control's), and those that failed."""

    seeds: list[int]
    runs: list[Run]
    scores: list[Score]
    failed: list[Run]

    @property
    def correct(self) -> np.ndarray:
        """bool [seeds, examples] on the hidden test."""
        return np.array([score.correct["test"] for score in self.scores])

    @property
    def cpu_seconds(self) -> float | None:
        return median(run.cpu_seconds for run in self.runs) if self.runs else None

    @property
    def wall_seconds(self) -> float | None:
        return median(run.seconds for run in self.runs) if self.runs else None

    def least(self, name: str) -> float:
        """The smallest value of this metric among the runs, 0 for none."""
        return min((finite(run.metrics.get(name)) or 0.0 for run in self.runs), default=0.0)

    def most(self, name: str) -> float | None:
        """The largest value of this metric among the runs; None where no run has it."""
        return max(
            (value for run in self.runs if (value := finite(run.metrics.get(name))) is not None),
            default=None,
        )


@dataclass(frozen=True)
class Evidence:
    """All of an archive that a verdict is made of."""

    config: dict[str, Any]
    attempts: list[Run]
    run_0: Run | None
    order: dict[str, Any] | None  # to confirm: which run, which seeds, which control
    checks: list[
        Run
    ]  # of the control over a whole training, and of the scaffold, where the gate found them to be the same
    futile: bool
    idea: Arm
    control: Arm
    scaffold: (
        Arm  # as it is, where the control is not: then it is the code's own, with the idea off
    )
    facts: dict[str, Any] | None  # of the gate, about the run that was confirmed
    judgement: Judgement | None
    criteria: Criteria
    cost: tuple[float | None, int]
    history: History

    @property
    def sandbox(self) -> str:
        """The weakest that any program of the coder's ran in, for one without is enough to plant something; '' where none ran."""
        return max((run.sandbox for run in self._coders), key=KINDS.index, default="")

    @property
    def network(self) -> bool:
        return any(run.network for run in self._coders)

    @property
    def _coders(self) -> list[Run]:
        """The runs of code that the coder wrote."""
        arms = [
            self.idea,
            *([self.control] if self.order and self.order["control"] == "own" else []),
        ]
        tried = [run for run in self.attempts if run.used]  # the others were stopped before a run
        return [*tried, *self.checks, *(run for arm in arms for run in (*arm.runs, *arm.failed))]

    @property
    def on_gpu(self) -> bool:
        """As the unedited scaffold says: a candidate's own word would let it choose its measure."""
        return self.run_0 is not None and self.run_0.metrics.get("device", "cpu") != "cpu"

    @property
    def time_ratio(self) -> float | None:
        """Of the CPU seconds of the whole process tree, for the wall clock of a shared machine says little; on a GPU of the
        seconds for which a run held it, which are honest only where nobody else computes there."""
        idea, reference = (
            (arm.wall_seconds if self.on_gpu else arm.cpu_seconds)
            for arm in (self.idea, self.untouched)
        )
        return idea / reference if idea and reference else None

    @property
    def untouched(self) -> Arm:
        """The scaffold as it is: what prices are told against. A control of the code's own may be made as dear as the idea."""
        return self.scaffold if self.scaffold.runs else self.control

    @property
    def parameter_ratio(self) -> float | None:
        idea, reference = (arm.most("parameters") for arm in (self.idea, self.untouched))
        return idea / reference if idea and reference else None

    @property
    def compared(self) -> bool:
        return len(self.idea.scores) >= 2 and len(self.control.scores) >= 2


def gather(archive: Archive) -> Evidence:
    events = read_events(archive.events)
    order = next((event for event in events if event["event"] == "confirm"), None)
    confirmed = [event for event in events if event["event"] == "confirmed"]
    attempts = [load_run(folder) for folder in archive.attempts()]
    chosen = archive.named(order["folder"]) if order else _last_gated(archive, attempts)
    report = read_json(chosen.gate) if chosen and chosen.gate.is_file() else {}
    judged = chosen is not None and chosen.judgement.is_file()
    return Evidence(
        config=read_json(archive.config),
        attempts=attempts,
        run_0=load_run(archive.run(0)) if archive.run(0).result.is_file() else None,
        order=order,
        checks=_load_checks(archive, order),
        futile=any(event["event"] == "futile" and event["futile"] for event in events),
        idea=_load_arm(archive, "idea", confirmed),
        control=_load_arm(archive, "control", confirmed),
        scaffold=_load_arm(archive, "scaffold", confirmed),
        facts=report.get("facts"),
        judgement=Judgement.from_dict(read_json(chosen.judgement)) if chosen and judged else None,
        criteria=Criteria.from_dict(read_json(archive.criteria))
        if archive.criteria.is_file()
        else Criteria.from_dict({}),
        cost=spent(archive, reading=False),
        history=_history(events),
    )


def _history(events: list[dict[str, Any]]) -> History:
    """Up to the verdict after which nothing was done but to decide again: that gives the same bytes."""
    names = [event["event"] for event in events]
    idle = (
        place
        for place, name in enumerate(names)
        if name == "verdict" and {"sitting", "stopped", "verdict"}.issuperset(names[place:])
    )
    return History.of(
        [event for event in events[: next(idle, None)] if event["event"] != "verdict"]
    )


def _load_checks(archive: Archive, order: dict[str, Any] | None) -> list[Run]:
    check = order["check"] if order else None
    return (
        [
            load_run(archive.confirmation(name, check["seed"]))
            for name in ("check", "check_scaffold")
        ]
        if check
        else []
    )


def _load_arm(archive: Archive, name: str, confirmed: list[dict[str, Any]]) -> Arm:
    arm = Arm([], [], [], [])
    for event in confirmed:
        if event["arm"] != name:
            continue
        folder = archive.named(event["folder"])
        run = load_run(folder)
        if not run.ok:
            arm.failed.append(run)
            continue
        score = load_score(folder)
        if "test" not in score.correct:
            raise Fault("archive", f"{folder.score}: has no score of the hidden test")
        arm.seeds.append(event["seed"])
        arm.runs.append(run)
        arm.scores.append(score)
    return arm


def _last_gated(archive: Archive, attempts: list[Run]) -> RunFolder | None:
    gated = [folder for run in attempts if (folder := archive.named(run.folder)).gate.is_file()]
    return gated[-1] if gated else None
