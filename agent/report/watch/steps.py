"""Tell what an experiment that is under way does now, from its events and its working folders.

Not covered: between the begin of a command and its first event, what an earlier, killed command did
last may be shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from agent.archive.control_seeds import ControlSeeds
from agent.archive.paths import PENDING, Archive, RunFolder, pending_of
from agent.archive.run import RunStatus, load_run
from agent.util.files import read_events, read_json
from agent.verdict.statistics import FIRST_SEEDS

# The steps of an experiment, in order.
STARTING = "starting the coder"
BASELINE = "a few steps of the baseline, for the gate"
CRITERIA = "criteria"
CODER = "waiting for the coder"
GATE = "gate"
JUDGE = "judge"
TRAINING = "training"
GRADING = "grading"
DECIDING = "verdict"
CHECKS = ("check_scaffold", "check")  # in this order, before the first seed that confirms


@dataclass(frozen=True)
class Step:
    """A step of an experiment, and what is known to follow it."""

    what: str
    part: str = ""  # which run or seed
    begun: float | None = None  # seconds since 1970
    folder: RunFolder | None = None  # where the program trains
    cycles: int = 0  # cycles that follow at most, each with an edit and a run
    trainings: int = 0  # trainings that follow at most, besides those of the cycles
    at_most: bool = True  # less may follow


@dataclass(frozen=True)
class ExperimentState:
    """An experiment as steps and times are told from it; read again only when its events change."""

    archive: Archive
    config: dict[str, Any]
    events: list[dict[str, Any]]
    # Seconds of every run that succeeded, the baseline's and the confirming ones too.
    trained: tuple[float, ...]

    @classmethod
    def read(cls, archive: Archive) -> ExperimentState:
        """Read the state of an archive.

        Raises Fault("archive", ...), and whatever a file of another version leads to.
        """
        events = read_events(archive.events)
        names = ["run_0" for event in events if event["event"] == "baseline"]
        names += [event["folder"] for event in events if _is_successful_run(event)]
        trained = tuple(load_run(archive.named(name)).seconds for name in names)
        return cls(archive, read_json(archive.config), events, trained)

    def all(self, *names: str) -> list[dict[str, Any]]:
        """Return the events with these names."""
        return [event for event in self.events if event["event"] in names]

    def last(self, *names: str) -> dict[str, Any] | None:
        """Return the last event with one of these names; None without any."""
        events = self.all(*names)
        return events[-1] if events else None

    @property
    def successes(self) -> list[dict[str, Any]]:
        """The attempts that succeeded."""
        return [event for event in self.all("attempt") if event["status"] == RunStatus.SUCCESS]

    @property
    def runs(self) -> int:
        """The runs that the command which works on it allows."""
        sitting = self.last("sitting")
        return int((sitting or self.config)["limits"]["runs"])

    @property
    def to_confirm(self) -> int:
        """The trainings after the coder is done, where the control is the shared one."""
        if self.config["open"]:
            return 0
        return len(CHECKS) + int(self.config["seeds"]["confirm"])

    @property
    def controls(self) -> ControlSeeds:
        """The control seeds of its set-up."""
        config = self.config
        runs = self.archive.folder.parent.parent
        first = config["budget"]["seed"]
        seeds = tuple(range(first, first + config["seeds"]["control"]))
        return ControlSeeds(runs, config["baseline_key"], seeds)


def _is_successful_run(event: dict[str, Any]) -> bool:
    if event["event"] not in ("attempt", "confirmed"):
        return False
    if event["status"] != RunStatus.SUCCESS:
        return False
    return event.get("arm") not in ("control", "scaffold")


def step_of(state: ExperimentState, began: float | None) -> Step:
    """Return the step that an experiment is at.

    began: when the command that works on it did, in seconds since 1970; None where nobody knows.
    """
    sitting = state.last("sitting")
    if sitting is None or (began is not None and sitting["time"] < began):
        return Step(STARTING, begun=_begin_of_start(state, began))
    if not state.all("baseline"):
        return _baseline_step(state)
    if not state.archive.criteria.is_file():
        return Step(
            CRITERIA,
            begun=state.events[-1]["time"],
            cycles=state.runs,
            trainings=state.to_confirm,
        )
    last = state.last("edit", "attempt", "stopped")
    stopped = last is not None and last["event"] == "stopped" and last["reason"] != "cost_limit"
    if stopped or state.all("confirm"):
        return _confirming_step(state)
    return _cycle_step(state, last)


def _begin_of_start(state: ExperimentState, began: float | None) -> float | None:
    if began is None:
        return None
    last = state.events[-1]["time"] if state.events else 0.0
    return last if last >= began else None


def _baseline_step(state: ExperimentState) -> Step:
    """Return which of the control's seeds is trained, or that the gate's reference is made.

    Another command may be training the seeds, too.
    """
    controls = state.controls
    missing = controls.missing
    since = state.events[-1]["time"]
    if not missing:
        step = Step(BASELINE, "run 0", since)
        return replace(step, cycles=state.runs, trainings=state.to_confirm)
    seeds = len(controls.seeds)
    return replace(
        _training(newest_pending(controls.run(missing[0]).folder), since),
        part=f"baseline seed {seeds - len(missing) + 1} of {seeds}",
        cycles=state.runs,
        trainings=len(missing) - 1 + state.to_confirm,
    )


def _cycle_step(state: ExperimentState, last: dict[str, Any] | None) -> Step:
    """Return what a cycle is at. last: its edit, or what came before it."""
    number = len(state.successes) + 1
    if last and last["event"] == "edit" and last["attempt"]:
        step = _attempting(state.archive.pending(number), last["time"])
    else:
        step = Step(CODER, begun=state.events[-1]["time"])
    return replace(
        step,
        part=f"run {number} of {state.runs}",
        cycles=max(0, state.runs - number),
        trainings=state.to_confirm,
    )


def _confirming_step(state: ExperimentState) -> Step:
    plan = state.last("confirm")
    check = state.last("check")
    since = state.events[-1]["time"]
    deciding = Step(DECIDING, begun=since, at_most=False)
    if state.config["open"] or not state.successes:
        return deciding
    if plan is None:
        if check is None:
            return deciding
        return _checking(state, check["seed"], since)
    pairs = _seeds_ahead(state, plan)
    if not pairs:
        return deciding
    arm, seed = pairs[0]
    seeds = plan["seeds"]
    return replace(
        _training(pending_of(state.archive.confirmation(arm, seed)), since),
        part=f"confirming, {arm} seed {seeds.index(seed) + 1} of {len(seeds)}",
        trainings=len(pairs) - 1,
        at_most=state.last("futile") is None and len(seeds) > FIRST_SEEDS,
    )


def _seeds_ahead(state: ExperimentState, plan: dict[str, Any]) -> list[tuple[str, int]]:
    """Return the arms and seeds that are not trained yet, in the order in which they will be."""
    arms = ["idea"]
    if plan["control"] != "cached":
        arms.append("control")
    seeds = plan["seeds"]
    futile = state.last("futile")
    if futile and futile["futile"]:
        seeds = seeds[:FIRST_SEEDS]
    trained = {(event["arm"], event["seed"]) for event in state.all("confirmed")}
    pairs = product(seeds, arms)
    return [(arm, seed) for seed, arm in pairs if (arm, seed) not in trained]


def _checking(state: ExperimentState, seed: int, since: float) -> Step:
    """Return which check run is trained: is the control the scaffold, over a whole training?"""
    folders = [state.archive.confirmation(name, seed) for name in CHECKS]
    missing = [number for number, folder in enumerate(folders) if not folder.result.is_file()]
    if not missing:
        return Step(DECIDING, begun=since, trainings=state.to_confirm - len(CHECKS))
    number = missing[0]
    return replace(
        _training(pending_of(folders[number]), since),
        part=f"confirming, control check {number + 1} of {len(CHECKS)}",
        trainings=state.to_confirm - number - 1,
    )


def _attempting(folder: RunFolder, edited: float) -> Step:
    """Return which step of its attempt an edit in `folder` is at."""
    if folder.work.exists():
        return _training(folder, edited)
    gated = folder.gate.is_file() and not folder.judgement.is_file()
    if gated and read_json(folder.gate).get("facts"):
        return Step(JUDGE, begun=modified(folder.gate) or edited)
    return Step(GATE, begun=edited)


def _training(folder: RunFolder, since: float) -> Step:
    """Return whether a program trains in `folder`, or is graded. since: if no file says when."""
    if folder.predict.exists():
        return Step(GRADING, begun=modified(folder.predict) or since)
    if not folder.work.exists():
        return Step(TRAINING, begun=since)
    # This file is written just before the program is started.
    return Step(TRAINING, begun=modified(folder.environment) or since, folder=folder)


def newest_pending(seed: Path) -> RunFolder:
    """Return the folder in which a seed of the baseline is trained: those before it were killed."""
    newest = 1
    for path in seed.parent.glob(f"{seed.name}.{PENDING}_*"):
        number = path.name.rpartition("_")[2]
        if number.isdecimal():
            newest = max(newest, int(number))
    return RunFolder(seed.with_name(f"{seed.name}.{PENDING}_{newest}"))


def modified(path: Path) -> float | None:
    """Return when a file was last written, in seconds since 1970; None where it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
