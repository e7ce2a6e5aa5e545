"""What an experiment that is under way does now, from its events and the folders that it works in.

Not covered: between the begin of a command and its first event, what an earlier, killed command did last may be shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.archive.control_seeds import ControlSeeds
from agent.archive.paths import PENDING, Archive, RunFolder, pending_of
from agent.archive.run import RunStatus, load_run
from agent.util.files import read_events, read_json
from agent.verdict.statistics import FIRST_SEEDS

STARTING, BASELINE, CRITERIA = (
    "starting the coder",
    "a few steps of the baseline, for the gate",
    "criteria",
)
CODER, GATE, JUDGE, TRAINING, GRADING = (
    "waiting for the coder",
    "gate",
    "judge",
    "training",
    "grading",
)
DECIDING = "verdict"
CHECKS = ("check_scaffold", "check")  # in this order, before the first seed that confirms


@dataclass(frozen=True)
class Step:
    """One of the above, and what is known to follow it."""

    what: str
    part: str = ""  # which run or seed
    begun: float | None = None  # seconds since 1970
    folder: RunFolder | None = None  # where the program trains
    cycles: int = 0  # that follow at most, each with an edit and a run
    trainings: int = 0  # that follow at most, besides those of the cycles
    at_most: bool = True  # less may follow


@dataclass(frozen=True)
class ExperimentState:
    """All that steps and times are told from; read again only when the events change."""

    archive: Archive
    config: dict[str, Any]
    events: list[dict[str, Any]]
    trained: tuple[
        float, ...
    ]  # seconds of every run that succeeded, the baseline's and the confirming ones too

    @classmethod
    def read(cls, archive: Archive) -> ExperimentState:
        """Raises Fault("archive", ...), and whatever a file of another version leads to."""
        events = read_events(archive.events)
        names = ["run_0" for event in events if event["event"] == "baseline"]
        names += [
            event["folder"]
            for event in events
            if event["event"] in ("attempt", "confirmed")
            and event["status"] == RunStatus.SUCCESS
            and event.get("arm") not in ("control", "scaffold")
        ]
        trained = tuple(load_run(archive.named(name)).seconds for name in names)
        return cls(archive, read_json(archive.config), events, trained)

    def all(self, *names: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] in names]

    def last(self, *names: str) -> dict[str, Any] | None:
        return next(iter(self.all(*names)[-1:]), None)

    @property
    def successes(self) -> list[dict[str, Any]]:
        return [event for event in self.all("attempt") if event["status"] == RunStatus.SUCCESS]

    @property
    def runs(self) -> int:
        """That the command that works on it allows."""
        sitting = self.last("sitting")
        return int((sitting or self.config)["limits"]["runs"])

    @property
    def to_confirm(self) -> int:
        """Trainings after the coder is done, where the control is the shared one."""
        return 0 if self.config["open"] else len(CHECKS) + int(self.config["seeds"]["confirm"])

    @property
    def baseline(self) -> ControlSeeds:
        config, first = self.config, self.config["budget"]["seed"]
        runs = self.archive.folder.parent.parent
        return ControlSeeds(
            runs, config["baseline_key"], tuple(range(first, first + config["seeds"]["control"]))
        )


def step_of(story: ExperimentState, began: float | None) -> Step:
    """began: the command that works on it, in seconds since 1970; None where nobody knows."""
    sitting = story.last("sitting")
    if sitting is None or (began is not None and sitting["time"] < began):
        last = story.events[-1]["time"] if story.events else 0.0
        return Step(STARTING, begun=last if began is not None and last >= began else None)
    if not story.all("baseline"):
        return _baseline_step(story)
    if not story.archive.criteria.is_file():
        return Step(
            CRITERIA, begun=story.events[-1]["time"], cycles=story.runs, trainings=story.to_confirm
        )
    last = story.last("edit", "attempt", "stopped")
    if story.all("confirm") or (
        last and last["event"] == "stopped" and last["reason"] != "cost_limit"
    ):
        return _confirming_step(story)
    number = len(story.successes) + 1
    part, cycles = f"run {number} of {story.runs}", max(0, story.runs - number)
    if last and last["event"] == "edit" and last["attempt"]:
        what, begun, folder = _attempting(story.archive.pending(number), last["time"])
        return Step(what, part, begun, folder, cycles, story.to_confirm)
    return Step(CODER, part, story.events[-1]["time"], None, cycles, story.to_confirm)


def _baseline_step(story: ExperimentState) -> Step:
    """The control's seeds, which another command may be training, too; then what the gate compares with."""
    baseline = story.baseline
    missing, began = baseline.missing, story.events[-1]["time"]
    if not missing:
        return Step(BASELINE, "run 0", began, None, story.runs, story.to_confirm)
    seeds = len(baseline.seeds)
    what, begun, folder = _training(newest_pending(baseline.run(missing[0]).folder), began)
    return Step(
        what,
        f"baseline seed {seeds - len(missing) + 1} of {seeds}",
        begun,
        folder,
        story.runs,
        len(missing) - 1 + story.to_confirm,
    )


def _confirming_step(story: ExperimentState) -> Step:
    order, check, said = story.last("confirm"), story.last("check"), story.events[-1]["time"]
    if story.config["open"] or not story.successes:
        return Step(DECIDING, begun=said, at_most=False)
    if order is None:
        return (
            _checking(story, check["seed"], said)
            if check
            else Step(DECIDING, begun=said, at_most=False)
        )
    seeds = order["seeds"]
    arms = ("idea",) if order["control"] == "cached" else ("idea", "control")
    done = {(event["arm"], event["seed"]) for event in story.all("confirmed")}
    futile = story.last("futile")
    planned = [
        (arm, seed)
        for seed in (seeds[:FIRST_SEEDS] if futile and futile["futile"] else seeds)
        for arm in arms
    ]
    if not (ahead := [pair for pair in planned if pair not in done]):
        return Step(DECIDING, begun=said, at_most=False)
    arm, seed = ahead[0]
    what, begun, folder = _training(pending_of(story.archive.confirmation(arm, seed)), said)
    part = f"confirming, {arm} seed {seeds.index(seed) + 1} of {len(seeds)}"
    return Step(
        what,
        part,
        begun,
        folder,
        0,
        len(ahead) - 1,
        at_most=futile is None and len(seeds) > FIRST_SEEDS,
    )


def _checking(story: ExperimentState, seed: int, said: float) -> Step:
    """Whether the code with the idea off is the scaffold, over a whole training."""
    made = [story.archive.confirmation(name, seed).result.is_file() for name in CHECKS]
    if all(made):
        return Step(DECIDING, begun=said, trainings=story.to_confirm - len(CHECKS))
    number = made.index(False)
    what, begun, folder = _training(
        pending_of(story.archive.confirmation(CHECKS[number], seed)), said
    )
    part = f"confirming, control check {number + 1} of {len(CHECKS)}"
    return Step(what, part, begun, folder, 0, story.to_confirm - number - 1)


def _attempting(folder: RunFolder, edited: float) -> tuple[str, float, RunFolder | None]:
    """An edit is in `folder`: which step of its attempt, since when, and where it trains."""
    if folder.work.exists():
        return _training(folder, edited)
    if (
        folder.gate.is_file()
        and not folder.judgement.is_file()
        and (read_json(folder.gate).get("facts"))
    ):
        return JUDGE, modified(folder.gate) or edited, None
    return GATE, edited, None


def _training(folder: RunFolder, said: float) -> tuple[str, float, RunFolder | None]:
    if folder.predict.exists():
        return GRADING, modified(folder.predict) or said, None
    if not folder.work.exists():
        return TRAINING, said, None
    return (
        TRAINING,
        modified(folder.environment) or said,
        folder,
    )  # written just before the program is started


def newest_pending(seed: Path) -> RunFolder:
    """Where a seed of the baseline is being trained: those before it were killed."""
    numbered = [
        (int(number), path)
        for path in seed.parent.glob(f"{seed.name}.{PENDING}_*")
        if (number := path.name.rpartition("_")[2]).isdecimal()
    ]
    return RunFolder(max(numbered)[1] if numbered else seed.with_name(f"{seed.name}.{PENDING}_1"))


def modified(path: Path) -> float | None:
    """Seconds since 1970; None where it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
