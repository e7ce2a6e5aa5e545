"""Read all that is to be seen under runs/ at one moment, for one who looks often.

What has not changed is not read again.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.archive.control_seeds import FOLDER as BASELINES
from agent.archive.paths import Archive, RunFolder, experiment_lock
from agent.archive.queue import FOLDER as QUEUES
from agent.archive.queue import LOCK, STATE, QueueEntry, QueueState, load_queue
from agent.report.summary import MISSHAPEN, RUNNING, Summary, summarise
from agent.report.watch.steps import ExperimentState, Step, newest_pending, step_of
from agent.report.watch.time_left import TimeLeft, TrainingProgress, progress_of, time_left
from agent.util.errors import Fault
from agent.util.files import read_json
from agent.util.locks import is_locked


@dataclass(frozen=True)
class Running:
    """An experiment that is being worked on."""

    summary: Summary
    step: Step
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    epochs: int = 0
    graded: tuple[str, float] | None = None  # name and value of the last run with a value
    left: TimeLeft | None = None
    baseline: str = ""  # the folder of its control's seeds


@dataclass(frozen=True)
class QueueSnapshot:
    """A command: one that works, or the last that did."""

    name: str
    state: QueueState | None = None
    damage: str = ""

    @property
    def now(self) -> QueueEntry | None:
        """The entry that is worked on; None where all have ended, or the state is damaged."""
        state = self.state
        if state is None or state.position == len(state.entries):
            return None
        return state.entries[state.position]


@dataclass(frozen=True)
class Snapshot:
    """All that is to be seen at one moment."""

    queues: tuple[QueueSnapshot, ...]  # the commands that work
    ended: QueueSnapshot | None  # the last command, where none works
    live: tuple[Running, ...]
    summaries: tuple[Summary, ...]
    # Name and place of the seeds that are trained for no experiment that is shown.
    baselines: tuple[tuple[str, RunFolder], ...]
    problems: tuple[str, ...]  # folders that cannot be read

    @property
    def working(self) -> bool:
        """True where any command, experiment or control seed is under way."""
        return bool(self.queues or self.live or self.baselines)


@dataclass(frozen=True)
class _Known:
    stamp: tuple  # sizes and times of the files that it was read from
    key: str
    summary: Summary


@dataclass(frozen=True)
class _StampedState:
    stamp: tuple
    state: ExperimentState


@dataclass
class SnapshotReader:
    """A reader that looks again and again.

    It takes no lock for longer than an instant, and writes nothing.
    """

    runs: Path
    _known: dict[str, _Known] = field(default_factory=dict)
    _states: dict[str, _StampedState] = field(default_factory=dict)
    # Commands that have ended: they stay so.
    _ended: dict[str, QueueSnapshot] = field(default_factory=dict)

    def look(self) -> Snapshot:
        """Read what has changed since the last look, and return all."""
        problems: list[str] = []
        summaries = self._summaries(problems)
        queues, ended = self._queues(problems)
        live = self._live(summaries, queues)
        shown = {running.baseline for running in live}
        return Snapshot(
            queues=queues,
            ended=None if queues else ended,
            live=live,
            summaries=summaries,
            baselines=self._baselines(shown, problems),
            problems=tuple(problems),
        )

    # ---- experiments ---------------------------------------------------------------------------

    def _summaries(self, problems: list[str]) -> tuple[Summary, ...]:
        folders = self._experiments(problems)
        for gone in self._known.keys() - folders.keys():
            del self._known[gone]
        summaries = []
        for folder, newest in folders.items():
            known = self._read_again(folder, newest)
            if known:
                summaries.append(known.summary)
        return tuple(summaries)

    def _experiments(self, problems: list[str]) -> dict[str, str]:
        """Return the folders of all experiments, each with the newest one of its idea."""
        experiments: dict[str, str] = {}
        for idea in _folders(self.runs, problems):
            if not idea.name.startswith("_"):
                paths = [entry.path for entry in _folders(Path(idea.path), problems)]
                experiments |= dict.fromkeys(paths, max(paths, default=""))
        return experiments

    def _read_again(self, folder: str, newest: str) -> _Known | None:
        """Read a folder if it has changed; None where nothing was begun in it."""
        known = self._known.get(folder)
        if known and known.summary.finished and known.stamp == _finished_stamp(folder):
            return known
        archive = Archive(Path(folder))
        if known is None and not archive.begun:
            return None
        key = known.key if known else ""
        if not key:
            key = _key(archive)
        stamp: tuple = (
            *_finished_stamp(folder),
            _stat(f"{folder}/config.json"),
            _stat(f"{folder}/session.jsonl"),
            newest,
            bool(key) and is_locked(experiment_lock(archive.folder.parent, key)),
        )
        if known is None or known.stamp != stamp:
            summary = summarise(archive)
            if summary.finished:
                stamp = stamp[:2]
            known = _Known(stamp, key, summary)
            self._known[folder] = known
        return known

    def _live(
        self, summaries: tuple[Summary, ...], queues: tuple[QueueSnapshot, ...]
    ) -> tuple[Running, ...]:
        running = [summary for summary in summaries if summary.state == RUNNING]
        folders = {str(summary.archive.folder) for summary in running}
        for gone in self._states.keys() - folders:
            del self._states[gone]
        return tuple(self._running(summary, queues) for summary in running)

    def _running(self, summary: Summary, queues: tuple[QueueSnapshot, ...]) -> Running:
        try:
            state = self._state(summary.archive)
            step = step_of(state, self._began(summary.archive, queues))
            progress = progress_of(state, step)
            return Running(
                summary=summary,
                step=step,
                progress=progress,
                epochs=int(state.config["budget"]["epochs"]),
                graded=_last_graded(state),
                left=time_left(state, step, progress, time.time()),
                baseline=state.controls.folder.name,
            )
        except Fault as fault:
            return Running(summary, Step(f"damaged: {fault.detail}"))
        except MISSHAPEN as error:
            what = f"not an archive of this version: {type(error).__name__}: {error}"
            return Running(summary, Step(f"damaged: {what}"))

    def _state(self, archive: Archive) -> ExperimentState:
        folder = str(archive.folder)
        stamp = self._known[folder].stamp
        stored = self._states.get(folder)
        if stored is None or stored.stamp != stamp:
            stored = _StampedState(stamp, ExperimentState.read(archive))
            self._states[folder] = stored
        return stored.state

    def _began(self, archive: Archive, queues: tuple[QueueSnapshot, ...]) -> float | None:
        """Return when the command that works on an experiment began; None where nobody knows."""
        key = self._known[str(archive.folder)].key
        for queue in queues:
            if queue.state and queue.now and queue.now.key == key:
                return queue.state.began
        return None

    # ---- commands and the baseline -------------------------------------------------------------

    def _queues(
        self, problems: list[str]
    ) -> tuple[tuple[QueueSnapshot, ...], QueueSnapshot | None]:
        """Return the commands that work, oldest first, and the last that has ended."""
        working = []
        folders = _by_name(self.runs / QUEUES, problems)
        for name, folder in folders.items():
            # Without a state nobody knows anything of it yet.
            if name in self._ended or _stat(str(folder / STATE)) is None:
                continue
            held = is_locked(folder / LOCK)
            queue = _read_queue(name, folder)
            if held:
                working.append(queue)
            else:
                self._ended[name] = queue
        last = max(self._ended.keys() & folders.keys(), default=None)
        return tuple(working), self._ended[last] if last else None

    def _baselines(self, shown: set[str], problems: list[str]) -> tuple[tuple[str, RunFolder], ...]:
        """Return the seeds in training for `launch.py baseline`, or an experiment not shown."""
        baselines = []
        for name, folder in _by_name(self.runs / BASELINES, problems).items():
            if name in shown or not is_locked(folder / ".lock"):
                continue
            seed = _last_waiting_seed(folder)
            if seed:
                baselines.append((f"{name}/{seed}", newest_pending(folder / seed)))
        return tuple(baselines)


def _last_graded(state: ExperimentState) -> tuple[str, float] | None:
    for event in reversed(state.all("attempt")):
        if event["value"] is not None:
            return event["folder"], event["value"]
    return None


def _last_waiting_seed(folder: Path) -> str:
    """Return the last seed by name that is in training, or ''."""
    last = ""
    for path in folder.glob("seed_*.pending_*"):
        seed = path.name.partition(".")[0]
        if not (folder / seed).exists():
            last = max(last, seed)
    return last


def _read_queue(name: str, folder: Path) -> QueueSnapshot:
    try:
        return QueueSnapshot(name, load_queue(folder))
    except Fault as fault:
        return QueueSnapshot(name, damage=fault.detail)


def _key(archive: Archive) -> str:
    try:
        return str(read_json(archive.config).get("key") or "")
    except Fault:
        return ""


def _finished_stamp(folder: str) -> tuple:
    return _stat(f"{folder}/events.jsonl"), _stat(f"{folder}/verdict.json")


def _stat(path: str) -> tuple[int, int] | None:
    try:
        # Of a thousand archives, twice a second: a Path for each is dear.
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _by_name(parent: Path, problems: list[str]) -> dict[str, Path]:
    entries = sorted(_folders(parent, problems), key=lambda entry: entry.name)
    return {entry.name: Path(entry.path) for entry in entries}


def _folders(parent: Path, problems: list[str]) -> list[os.DirEntry[str]]:
    """Return the folders in a folder; one that cannot be read is noted as a problem."""
    try:
        with os.scandir(parent) as entries:
            return [entry for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems.append(f"{parent}: {error.strerror}")
        return []
