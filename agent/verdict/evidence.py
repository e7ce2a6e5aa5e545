"""Gather from an archive all that its verdict is made of.

Nothing else is read, and nothing is computed that a reader could not check.
"""

from __future__ import annotations

from collections import defaultdict
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

DECIDING = {"sitting", "stopped", "verdict"}  # events of a command that only decides again


@dataclass(frozen=True)
class Arm:
    """The finished and the failed runs of one arm, with fresh seeds or the cached control's."""

    seeds: list[int]
    runs: list[Run]
    scores: list[Score]
    failed: list[Run]

    @property
    def correct(self) -> np.ndarray:
        """The correctness of every seed on the hidden test: bool [seeds, examples]."""
        return np.array([score.correct["test"] for score in self.scores])

    @property
    def cpu_seconds(self) -> float | None:
        """The median of the runs' CPU seconds; None without a run."""
        return _median([run.cpu_seconds for run in self.runs])

    @property
    def wall_seconds(self) -> float | None:
        """The median of the runs' seconds by the clock; None without a run."""
        return _median([run.seconds for run in self.runs])

    def least(self, name: str) -> float:
        """Return the smallest value of a metric among the runs; a run without it counts as 0."""
        values = [value or 0.0 for value in self._values(name)]
        return min(values, default=0.0)

    def most(self, name: str) -> float | None:
        """Return the largest value of a metric among the runs; None where no run has it."""
        values = [value for value in self._values(name) if value is not None]
        return max(values, default=None)

    def _values(self, name: str) -> list[float | None]:
        return [finite(run.metrics.get(name)) for run in self.runs]


@dataclass(frozen=True)
class Evidence:
    """All of an archive that a verdict is made of."""

    config: dict[str, Any]
    attempts: list[Run]
    run_0: Run | None
    confirm_plan: dict[str, Any] | None  # which run, which seeds and which control to confirm with
    # Whole trainings of the control and of the scaffold, where the gate saw no difference of them.
    checks: list[Run]
    futile: bool
    idea: Arm
    control: Arm
    # The scaffold as it is, where the control is the code's own with the idea off; else empty.
    scaffold: Arm
    facts: dict[str, Any] | None  # what the gate saw of the run that was confirmed
    judgement: Judgement | None
    criteria: Criteria
    cost: tuple[float | None, int]  # US dollars, tokens
    history: History

    @property
    def own_control(self) -> bool:
        """True where the control is the confirmed code itself with the idea off."""
        return self.confirm_plan is not None and self.confirm_plan["control"] == "own"

    @property
    def sandbox(self) -> str:
        """The weakest sandbox that any program of the coder's ran in; '' where none ran.

        One run without a sandbox is enough to plant something.
        """
        kinds = {run.sandbox for run in self._coders_runs}
        return max(kinds, key=KINDS.index, default="")

    @property
    def network(self) -> bool:
        """True where a program of the coder's could use the network."""
        return any(run.network for run in self._coders_runs)

    @property
    def _coders_runs(self) -> list[Run]:
        """The runs of code that the coder wrote."""
        tried = [run for run in self.attempts if run.used]  # the others were stopped before a run
        runs = [*tried, *self.checks, *self.idea.runs, *self.idea.failed]
        if self.own_control:
            runs += [*self.control.runs, *self.control.failed]
        return runs

    @property
    def on_gpu(self) -> bool:
        """True where the unedited scaffold says so.

        A candidate's own word would let it choose its measure.
        """
        if self.run_0 is None:
            return False
        return bool(self.run_0.metrics.get("device", "cpu") != "cpu")

    @property
    def time_ratio(self) -> float | None:
        """The idea's seconds of a training over the scaffold's; None where one of them is unknown.

        CPU seconds of the whole process tree, for the wall clock of a shared machine says little;
        on a GPU the seconds for which a run held it, which are honest only where nobody else
        computes there.
        """
        if self.on_gpu:
            return _ratio(self.idea.wall_seconds, self.untouched.wall_seconds)
        return _ratio(self.idea.cpu_seconds, self.untouched.cpu_seconds)

    @property
    def untouched(self) -> Arm:
        """The arm of the scaffold as it is, against which prices are given.

        A control of the code's own may be made as dear as the idea.
        """
        return self.scaffold if self.scaffold.runs else self.control

    @property
    def parameter_ratio(self) -> float | None:
        """The idea's parameters over the scaffold's; None where one of them is unknown."""
        return _ratio(self.idea.most("parameters"), self.untouched.most("parameters"))

    @property
    def compared(self) -> bool:
        """True where both arms have the two seeds that an interval needs."""
        return len(self.idea.scores) >= 2 and len(self.control.scores) >= 2


def gather(archive: Archive) -> Evidence:
    """Read the evidence of an archive. Raises Fault("archive", ...) where it is damaged."""
    events = read_events(archive.events)
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        by_name[event["event"]].append(event)
    confirmed = by_name["confirmed"]
    confirm_plan = by_name["confirm"][0] if by_name["confirm"] else None
    attempts = list(map(load_run, archive.attempts()))
    run_0 = archive.run(0)
    if confirm_plan:
        chosen: RunFolder | None = archive.named(confirm_plan["folder"])
    else:
        chosen = _last_gated(archive, attempts)
    facts = _load_facts(chosen)
    return Evidence(
        config=read_json(archive.config),
        attempts=attempts,
        run_0=load_run(run_0) if run_0.result.is_file() else None,
        confirm_plan=confirm_plan,
        checks=_load_checks(archive, confirm_plan),
        futile=any(event["futile"] for event in by_name["futile"]),
        idea=_load_arm(archive, "idea", confirmed),
        control=_load_arm(archive, "control", confirmed),
        scaffold=_load_arm(archive, "scaffold", confirmed),
        facts=facts,
        judgement=_load_judgement(chosen),
        criteria=_load_criteria(archive),
        cost=spent(archive, reading=False),
        history=_history(events),
    )


def _last_gated(archive: Archive, attempts: list[Run]) -> RunFolder | None:
    folders = [archive.named(run.folder) for run in attempts]
    gated = [folder for folder in folders if folder.gate.is_file()]
    return gated[-1] if gated else None


def _load_facts(chosen: RunFolder | None) -> dict[str, Any] | None:
    if chosen is None or not chosen.gate.is_file():
        return None
    return read_json(chosen.gate).get("facts")


def _load_judgement(chosen: RunFolder | None) -> Judgement | None:
    if chosen is None or not chosen.judgement.is_file():
        return None
    return Judgement.from_dict(read_json(chosen.judgement))


def _load_criteria(archive: Archive) -> Criteria:
    if not archive.criteria.is_file():
        return Criteria.from_dict({})
    return Criteria.from_dict(read_json(archive.criteria))


def _load_checks(archive: Archive, confirm_plan: dict[str, Any] | None) -> list[Run]:
    if not confirm_plan or not confirm_plan["check"]:
        return []
    seed = confirm_plan["check"]["seed"]
    return [
        load_run(archive.confirmation("check", seed)),
        load_run(archive.confirmation("check_scaffold", seed)),
    ]


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


def _history(events: list[dict[str, Any]]) -> History:
    """Return the history up to the verdict after which nothing was done but to decide again.

    So deciding again gives the same bytes.
    """
    names = [event["event"] for event in events]
    end = len(events)
    for place, name in enumerate(names):
        if name == "verdict" and DECIDING.issuperset(names[place:]):
            end = place
            break
    work = [event for event in events[:end] if event["event"] != "verdict"]
    return History.of(work)


def _median(values: list[float]) -> float | None:
    return median(values) if values else None


def _ratio(idea: float | None, reference: float | None) -> float | None:
    return idea / reference if idea and reference else None
