"""All that is to be seen under runs/ at one moment, for one who looks often: what has not changed is not read again."""

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
    graded: tuple[str, float] | None = None  # the last run with a value
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
        state = self.state
        return (
            state.entries[state.position] if state and state.position < len(state.entries) else None
        )


@dataclass(frozen=True)
class Snapshot:
    """One moment."""

    queues: tuple[QueueSnapshot, ...]  # of the commands that work
    ended: QueueSnapshot | None  # where none does: the last
    live: tuple[Running, ...]
    summaries: tuple[Summary, ...]
    baselines: tuple[
        tuple[str, RunFolder], ...
    ]  # seeds in training for no experiment that is shown: name of the folder, where
    problems: tuple[str, ...]  # folders that cannot be read

    @property
    def working(self) -> bool:
        return bool(self.queues or self.live or self.baselines)


@dataclass(frozen=True)
class _Known:
    stamp: tuple  # of the files that it was read from
    key: str
    summary: Summary


@dataclass
class SnapshotReader:
    """Looks again and again. Takes no lock for longer than an instant, and writes nothing."""

    runs: Path
    _known: dict[str, _Known] = field(default_factory=dict)
    _stories: dict[str, tuple[tuple, ExperimentState]] = field(default_factory=dict)
    _ended: dict[str, QueueSnapshot] = field(
        default_factory=dict
    )  # commands: once ended, they stay so

    def look(self) -> Snapshot:
        problems: list[str] = []
        folders = self._experiments(problems)
        for gone in self._known.keys() - folders.keys():
            del self._known[gone]
        summaries = [
            known.summary
            for folder, newest in folders.items()
            if (known := self._summary(folder, newest))
        ]
        queues, ended = self._queues(problems)
        running = {str(one.archive.folder): one for one in summaries if one.state == RUNNING}
        self._stories = {
            folder: story for folder, story in self._stories.items() if folder in running
        }
        live = tuple(self._live(one, queues) for one in running.values())
        baselines = self._baselines({one.baseline for one in live}, problems)
        return Snapshot(
            queues, None if queues else ended, live, tuple(summaries), baselines, tuple(problems)
        )

    # ---- experiments ---------------------------------------------------------------------------------------

    def _experiments(self, problems: list[str]) -> dict[str, str]:
        """Folder -> the newest of its idea."""
        found: dict[str, str] = {}
        for idea in _folders(self.runs, problems):
            if not idea.name.startswith("_"):
                stamps = [stamp.path for stamp in _folders(Path(idea.path), problems)]
                found |= dict.fromkeys(stamps, max(stamps, default=""))
        return found

    def _summary(self, folder: str, newest: str) -> _Known | None:
        """None for a folder in which nothing was begun."""
        known = self._known.get(folder)
        if known and known.summary.finished and known.stamp == _finished_stamp(folder):
            return known
        archive = Archive(Path(folder))
        if known is None and not archive.begun:
            return None
        key = known.key if known and known.key else _key(archive)
        stamp = (
            *_finished_stamp(folder),
            _stat(f"{folder}/config.json"),
            _stat(f"{folder}/session.jsonl"),
            newest,
            bool(key) and is_locked(experiment_lock(archive.folder.parent, key)),
        )
        if known is None or known.stamp != stamp:
            summary = summarise(archive)
            known = _Known(stamp[:2] if summary.finished else stamp, key, summary)
            self._known[folder] = known
        return known

    def _live(self, summary: Summary, queues: tuple[QueueSnapshot, ...]) -> Running:
        archive, name = summary.archive, str(summary.archive.folder)
        try:
            if (stored := self._stories.get(name)) is None or stored[0] != self._known[name].stamp:
                self._stories[name] = stored = (
                    self._known[name].stamp,
                    ExperimentState.read(archive),
                )
            story = stored[1]
            began = [
                queue.state.began
                for queue in queues
                if queue.state and queue.now and queue.now.key == self._known[name].key
            ]
            step = step_of(story, began[0] if began else None)
            progress = progress_of(story, step)
            values = [
                (event["folder"], event["value"])
                for event in story.all("attempt")
                if event["value"] is not None
            ]
            return Running(
                summary,
                step,
                progress,
                int(story.config["budget"]["epochs"]),
                values[-1] if values else None,
                time_left(story, step, progress, time.time()),
                story.baseline.folder.name,
            )
        except Fault as fault:
            return Running(summary, Step(f"damaged: {fault.detail}"))
        except MISSHAPEN as error:
            return Running(
                summary,
                Step(f"damaged: not an archive of this version: {type(error).__name__}: {error}"),
            )

    # ---- commands and the baseline -------------------------------------------------------------------------

    def _queues(
        self, problems: list[str]
    ) -> tuple[tuple[QueueSnapshot, ...], QueueSnapshot | None]:
        """Those that work, oldest first, and the last that has ended."""
        working, folders = (
            [],
            sorted(_folders(self.runs / QUEUES, problems), key=lambda entry: entry.name),
        )
        for entry in folders:
            if (
                entry.name in self._ended or _stat(f"{entry.path}/{STATE}") is None
            ):  # of the latter nobody knows anything yet
                continue
            held, seen = (
                is_locked(Path(entry.path, LOCK)),
                _seen_queue(entry.name, Path(entry.path)),
            )
            if held:
                working.append(seen)
            else:
                self._ended[entry.name] = seen
        last = max(self._ended.keys() & {entry.name for entry in folders}, default=None)
        return tuple(working), self._ended[last] if last else None

    def _baselines(self, shown: set[str], problems: list[str]) -> tuple[tuple[str, RunFolder], ...]:
        """Seeds that are trained for `launch.py baseline`, or for an experiment that is not shown."""
        found = []
        for entry in sorted(
            _folders(self.runs / BASELINES, problems), key=lambda entry: entry.name
        ):
            if entry.name not in shown and is_locked(Path(entry.path, ".lock")):
                seeds = {
                    path.name.partition(".")[0]
                    for path in Path(entry.path).glob("seed_*.pending_*")
                }
                waiting = sorted(name for name in seeds if not Path(entry.path, name).exists())
                found += [
                    (f"{entry.name}/{name}", newest_pending(Path(entry.path, name)))
                    for name in waiting[-1:]
                ]
        return tuple(found)


def _seen_queue(name: str, folder: Path) -> QueueSnapshot:
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
        found = os.stat(path)  # noqa: PTH116 (of a thousand archives, twice a second: a Path for each is dear)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _folders(parent: Path, problems: list[str]) -> list[os.DirEntry[str]]:
    """[] where it is not there; one that cannot be read is a problem that is told."""
    try:
        with os.scandir(parent) as entries:
            return [entry for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        problems.append(f"{parent}: {error.strerror}")
        return []
