"""Whole experiments under kill -9.

A command is killed at a random moment and given again, until it ends; then a new one begins.

Moments: after a random part of the time that an undisturbed command takes; as soon as something
happens (an event, a reply, a run that begins, a request); beside a step that changes the disk (see
killed_at.py). After each kill the archive is read as whole, what was finished must be what it was,
and every other time nothing of the killed command may still run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import psutil

from agent.archive.lookup import experiments
from agent.archive.paths import Archive
from agent.archive.verdict import load_verdict
from agent.report.terminal.tables import experiment_table
from agent.util.errors import Fault
from agent.util.files import read_events
from tests.conftest import REPOSITORY
from tests.endpoint import READ, Answer, Endpoint, is_reading

LAUNCH = REPOSITORY / "launch.py"
KILLED_AT = REPOSITORY / "tests" / "killed_at.py"
# Seconds until nothing of a killed command runs any more: a server
# sees its end when it has imported torch.
GRACE = 30.0
LONGEST = 600.0  # seconds that one command may take
MARK = "ASSAY_KILL_TEST"  # in the environment of every command, for the processes that inherit it


@dataclass
class Table:
    """What was counted; all but the first three must be 0."""

    kills: int = 0
    experiments_finished: int = 0
    requests_under_way_at_a_kill: int = 0
    finished_runs_lost: int = 0
    finished_runs_repeated: int = 0
    replies_paid_twice: int = 0
    processes_left: int = 0
    unreadable_archives: int = 0
    notes: list[str] = field(default_factory=list)  # what each of these was

    def count(self, name: str, note: str) -> None:
        setattr(self, name, getattr(self, name) + 1)
        self.notes.append(f"{name}: {note}")

    @property
    def faultless(self) -> bool:
        return not any(getattr(self, column.name) for column in fields(self)[3:-1])

    def __str__(self) -> str:
        rows = [
            f"{column.name.replace('_', ' '):32}{getattr(self, column.name):6}"
            for column in fields(self)[:-1]
        ]
        return "\n".join(["", *rows, *self.notes[:20]])


class Player(Endpoint):
    """A model whose reply depends on the file that it is shown, so that a
    request that comes again gets the same reply.
    """

    def __init__(self, states: Callable[[str], str], replies: dict[str, str], delay: float):
        super().__init__()
        self.states = states
        self.replies = replies
        self.delay = delay
        self.prompts: list[str] = []

    def answer(self, handler: Any, body: dict[str, Any], answer: Answer) -> None:
        state = (
            "the result"
            if is_reading(body)
            else self.states("\n".join(message["content"] for message in body["messages"]))
        )
        self.prompts.append(state)
        super().answer(handler, body, Answer(self.replies.get(state, READ), delay=self.delay))


@dataclass
class Campaign:
    """Experiments in folders of their own, one after the other, until there were enough kills."""

    folder: Path
    # What launch.py is given, for a new experiment in this new folder.
    begin: Callable[[Path], list[str]]
    finished: Callable[[Archive], Any]  # what must be the same as without any kill
    environment: dict[str, str] = field(default_factory=dict)
    player: Player | None = None
    seed: int = 20

    def run(self, kills: int) -> Table:
        self.choose = random.Random(self.seed)
        self.table = Table()
        number = 0
        self._measure()
        while self.table.kills < kills:
            number += 1
            self._experiment(self.folder / f"experiment_{number}", kills)
        print(self.table)
        return self.table

    def _measure(self) -> None:
        """An undisturbed experiment.

        How long it takes, how many steps change the disk, and what comes out.
        """
        place = self._place(self.folder / "undisturbed")
        started = time.monotonic()
        self._end(place, ("none", 0))
        self.length = time.monotonic() - started
        self.steps = json.loads((place / "steps").read_text())
        self.expected = self.finished(experiments(place / "runs")[0])

    def _experiment(self, folder: Path, kills: int) -> None:
        place = self._place(folder)
        kept = dict[Path, tuple]()
        while self.table.kills < kills and self._killed(place):
            self.table.kills += 1
            if self.choose.random() < 0.5:  # else the next command meets what is still ending
                self._note_processes(place, "after a kill")
            self._check(place, kept)
        if self.table.kills == kills:
            self._end(place)
        self.table.experiments_finished += 1
        self._check(place, kept)
        self._note_processes(place, "at the end")
        self._compare(place)

    def _place(self, folder: Path) -> Path:
        (folder / "tmp").mkdir(parents=True)
        (folder / "arguments.json").write_text(json.dumps(self.begin(folder)))
        if self.player:
            self.player.prompts.clear()
        return folder

    def _start(self, place: Path, step: tuple[str, int] | None = None) -> subprocess.Popen:
        arguments = json.loads((place / "arguments.json").read_text())
        driver = [] if step is None else [str(KILLED_AT), *map(str, step), str(place / "steps")]
        # So every process mentions this folder somewhere.
        own = {
            MARK: str(place),
            "TMPDIR": str(place / "tmp"),
        }
        with (place / "output").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *driver, str(LAUNCH), *arguments],
                cwd=place,
                stdout=output,
                stderr=output,
                env=os.environ | self.environment | own,
                start_new_session=True,
            )

    def _end(self, place: Path, step: tuple[str, int] | None = None) -> None:
        self._accept(place, self._start(place, step).wait(LONGEST), 0)

    def _accept(self, place: Path, code: int, *expected: int) -> None:
        assert code in expected, (
            f"exit code {code}: {(place / 'output').read_text(errors='replace')[-3000:]}"
        )

    # ---- a kill ----------------------------------------------------------------------------------

    def _killed(self, place: Path) -> bool:
        """Start the command and kill it at some moment; False when it ended before that."""
        way = self.choose.choice((self._after_a_while, self._at_an_event, self._at_a_step))
        process = way(place)
        requests = len(self.player.prompts) if self.player else 0
        try:
            if process.poll() is None:
                process.kill()
            code = process.wait(LONGEST)
        finally:
            process.kill()
        self._accept(place, code, 0, -9)
        if code == -9 and requests > len(replies_of(place)):
            self.table.requests_under_way_at_a_kill += 1
        return code == -9

    def _after_a_while(self, place: Path) -> subprocess.Popen:
        process = self._start(place)
        until = time.monotonic() + self.choose.uniform(0, self.length)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        return process

    def _at_an_event(self, place: Path) -> subprocess.Popen:
        """As soon as one of these grows, or a little later."""
        measure = self.choose.choice(
            [
                lambda: _bytes(place, "events.jsonl"),
                lambda: _bytes(place, "session.jsonl"),
                lambda: len(list((place / "runs").rglob("*.pending*"))),
                lambda: len(self.player.prompts) if self.player else 0,
            ]
        )
        later = self.choose.choice((0, 0.01, 0.1))
        process = self._start(place)
        before = measure()
        times = self.choose.randint(1, 4)
        while process.poll() is None and times:
            now = measure()
            if now > before:
                times -= 1
            before = now
            time.sleep(0.001)
        time.sleep(later)
        return process

    def _at_a_step(self, place: Path) -> subprocess.Popen:
        # There are few renames, and much depends on them.
        kind = self.choose.choice(sorted(self.steps))
        process = self._start(place, (kind, self.choose.randint(1, self.steps[kind])))
        process.wait(LONGEST)
        return process

    # ---- what must be so -------------------------------------------------------------------------

    def _check(self, place: Path, kept: dict[Path, tuple]) -> None:
        """Every file under its final name can be read to its end.

        What was finished is what it was.
        """
        for problem in damage(place / "runs"):
            self.table.count("unreadable_archives", problem)
        for path, identity in kept.items():
            if not path.is_file():
                self.table.count("finished_runs_lost", str(path))
            elif _identity(path) != identity:
                self.table.count("finished_runs_repeated", str(path))
        for path in list(kept):
            if not path.is_file():
                del kept[path]  # counted once
        kept.update((path, _identity(path)) for path in finished_runs(place / "runs"))

    def _note_processes(self, place: Path, when: str) -> None:
        until = time.monotonic() + GRACE
        left = processes(place)
        while left and time.monotonic() < until:
            time.sleep(0.05)
            left = processes(place)
        for text in left:
            self.table.count("processes_left", f"{when}: {text}")

    def _compare(self, place: Path) -> None:
        """One archive, the same result as without a kill, each
        run said once, each reply asked for once.
        """
        (archive,) = experiments(place / "runs")
        announced = [
            event.get("folder") or ""
            for event in read_events(archive.events)
            if event["event"] in ("attempt", "confirmed")
        ]
        for name in {name for name in announced if announced.count(name) > 1}:
            self.table.count(
                "finished_runs_repeated",
                f"{archive.folder / name} was said {announced.count(name)} times",
            )
        try:
            experiment_table(archive)
            load_verdict(archive)
        except Fault as fault:
            self.table.count("unreadable_archives", str(fault))
        outcome = self.finished(archive)
        assert outcome == self.expected, (
            f"{archive.folder}: {outcome}, without a kill {self.expected}"
        )
        if self.player:
            for state in {
                state for state in self.player.prompts if self.player.prompts.count(state) > 1
            }:
                self.table.count(
                    "replies_paid_twice",
                    f"{archive.folder}: at {state}, {self.player.prompts.count(state)} times",
                )


def replies_of(place: Path) -> list[str]:
    """Of the only experiment in this folder."""
    return [
        line["reply"]
        for path in (place / "runs").glob("*/*/session.jsonl")
        for line in read_events(path)
        if "reply" in line
    ]


def finished_runs(runs: Path) -> list[Path]:
    """The result of every run that has its final name, the
    baseline's and the confirming ones included.
    """
    return [path for path in runs.rglob("result.json") if not _unfinished(path)]


def damage(runs: Path) -> list[str]:
    """What cannot be read of that which the harness wrote and gave its final name."""
    problems = []
    for path in (
        path for path in runs.rglob("*.json*") if path.is_file() and not path.name.endswith(".part")
    ):
        if _unfinished(path) or {"work", "predict", "control", "idea", "control_again"} & set(
            path.parts
        ):
            continue  # the last ones are the run's own
        try:
            read_events(path) if path.suffix == ".jsonl" else json.loads(path.read_bytes())
        except (Fault, ValueError) as error:
            problems.append(f"{path}: {error}")
    return problems


def _unfinished(path: Path) -> bool:
    return any(word in part for word in (".pending", ".interrupted") for part in path.parts)


def processes(folder: Path) -> list[str]:
    """Those whose command line, working folder or environment mention the folder.

    A zombie does nothing any more.
    """
    alive = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            texts = [*process.cmdline(), process.cwd(), *process.environ().values()]
        except (psutil.Error, OSError):
            continue
        if any(f"{folder}/" in f"{text}/" for text in texts):
            alive.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
    return alive


def _identity(path: Path) -> tuple:
    return path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()


def _bytes(place: Path, name: str) -> int:
    return sum(path.stat().st_size for path in (place / "runs").glob(f"*/*/{name}"))
