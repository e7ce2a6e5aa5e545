"""This module names every path of an archive.

Nothing in an archive is ever deleted or overwritten by another run.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from agent.util.errors import Fault
from agent.util.files import (
    copy_files,
    disk_faults,
    read_events,
    sync,
    sync_tree,
    write_bytes,
)
from agent.util.stamped import new_stamped

FAILED = "failed"
INTERRUPTED = "interrupted"
PENDING = "pending"
FOREIGN = "foreign"


@dataclass(frozen=True)
class Archive:
    """The folder of an experiment."""

    folder: Path

    @property
    def begun(self) -> bool:
        """True for an experiment that began: its config is the last thing made before that.

        One that lost its config, or may not be read, has other things to show.
        """
        try:
            signs = (self.config, self.session, self.run(0).folder)
            return any(path.exists() for path in signs)
        except PermissionError:
            return True

    @property
    def idea(self) -> Path:
        """The idea's text as it was given."""
        return self.folder / "idea.md"

    @property
    def config(self) -> Path:
        """All that was decided before the experiment began, and where its numbers come from."""
        return self.folder / "config.json"

    @property
    def events(self) -> Path:
        """The log of what happened, which decides how an experiment is resumed."""
        return self.folder / "events.jsonl"

    @property
    def session(self) -> Path:
        """The replies of the model, with what they cost: can be played again."""
        return self.folder / "session.jsonl"

    @property
    def requests(self) -> Path:
        """All that each request to the model held, Aider's own instructions and files included."""
        return self.folder / "requests.jsonl"

    @property
    def chat(self) -> Path:
        """The chat history as Aider writes it."""
        return self.folder / "chat.md"

    @property
    def workspace(self) -> Path:
        """The editable copy of the scaffold."""
        return self.folder / "workspace"

    @property
    def coder_log(self) -> Path:
        """The error output of the coder's process."""
        return self.folder / "coder.log"

    @property
    def coder_lock(self) -> Path:
        """The lock of the coder's process, held while that lives, if need be beyond the harness."""
        return self.folder / ".coder.lock"

    @property
    def report(self) -> Path:
        """The page for people, made from the rest."""
        return self.folder / "report.html"

    @property
    def write_up(self) -> Path:
        """The skeleton of a write-up, made from the rest once: a user's text is not overwritten."""
        return self.folder / "report.md"

    @property
    def uploads(self) -> Path:
        """The list of the W&B folders of its runs that were uploaded."""
        return self.folder / "uploads.jsonl"

    @property
    def criteria(self) -> Path:
        """The idea in statements about the code, fixed before the first line is written."""
        return self.folder / "criteria.json"

    @property
    def verdict(self) -> Path:
        """The verdict, for programs."""
        return self.folder / "verdict.json"

    @property
    def reading(self) -> Path:
        """A model's commentary on the verdict, in its own words."""
        return self.folder / "reading.json"

    @property
    def reproductions(self) -> Path:
        """The list of the attempts to reproduce its numbers."""
        return self.folder / "reproductions.jsonl"

    def confirmation(self, name: str, seed: int) -> RunFolder:
        """Return the run of an arm with a fresh seed; a cached control's is copied here.

        The names check and check_scaffold are those of the control check.
        """
        return RunFolder(self.folder / "confirm" / f"{name}_seed_{seed}")

    def run(self, number: int) -> RunFolder:
        """Return the folder of the successful run with this number; 0 is the baseline."""
        return RunFolder(self.folder / f"run_{number}")

    def pending(self, number: int) -> RunFolder:
        """Return where the next attempt at a run is made; whole, it gets its final name."""
        return RunFolder(self.folder / f"run_{number}.{PENDING}")

    def unused(self, number: int, why: str) -> RunFolder:
        """Return the first free run_<number>.<why>_<k>."""
        return unused(self.run(number), why)

    def attempts(self) -> list[RunFolder]:
        """Return every finished attempt, failed ones too, in the order of making."""
        events = read_events(self.events)
        return [self.named(event["folder"]) for event in events if event["event"] == "attempt"]

    def named(self, name: str) -> RunFolder:
        """Return the run folder that an event names.

        Raises Fault for a path that leads out: an archive may come from anybody.
        """
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            problem = f"{self.events}: names a folder outside of the archive: {name!r}"
            raise Fault("archive", problem)
        return RunFolder(self.folder / path)


@dataclass(frozen=True)
class RunFolder:
    """The folder of an attempt: what was asked, what ran, what came out."""

    folder: Path

    @property
    def code(self) -> Path:
        """The workspace as it was run. No process of the run works in here."""
        return self.folder / "code"

    def copy_code(self, target: RunFolder) -> None:
        """Give another run folder the same code, to be run with the same packages."""
        copy_files(self.code, target.code)
        if self.environment.is_file():
            write_bytes(target.environment, self.environment.read_bytes())

    @property
    def work(self) -> Path:
        """The working folder of the run: a copy of the code, and what it left."""
        return self.folder / "work"

    def smoke(self, arm: str) -> Path:
        """Return the working folder of the gate's short run of an arm."""
        return self.folder / "gate" / arm

    @property
    def predict(self) -> Path:
        """The working folder of the process that predicts with the trained model."""
        return self.folder / "predict"

    @property
    def score(self) -> Path:
        """The harness's grades: which examples were predicted correctly."""
        return self.folder / "score.json"

    @property
    def environment(self) -> Path:
        """The list of every package that its programs could import, with its version."""
        return self.folder / "environment.json"

    @property
    def prompt(self) -> Path:
        """The prompt of the edit."""
        return self.folder / "prompt.md"

    @property
    def reply(self) -> Path:
        """The model's reply to the prompt."""
        return self.folder / "reply.md"

    @property
    def diff(self) -> Path:
        """The changes since the run before."""
        return self.folder / "diff.patch"

    @property
    def gate(self) -> Path:
        """The report of the gate."""
        return self.folder / "gate" / "report.json"

    @property
    def judgement(self) -> Path:
        """The judge's findings."""
        return self.folder / "gate" / "judgement.json"

    @property
    def metrics(self) -> Path:
        """The numbers of every epoch."""
        return self.folder / "metrics.csv"

    @property
    def stdout(self) -> Path:
        """The standard output of the training process."""
        return self.folder / "stdout.log"

    @property
    def stderr(self) -> Path:
        """The error output of the training process."""
        return self.folder / "stderr.log"

    @property
    def result(self) -> Path:
        """The record of the attempt; with it the attempt is complete."""
        return self.folder / "result.json"


def unused(folder: RunFolder, why: str) -> RunFolder:
    """Return the first free <folder>.<why>_<k> beside a run folder."""
    beside = (folder.folder.with_name(f"{folder.folder.name}.{why}_{k}") for k in count(1))
    return RunFolder(next(path for path in beside if not path.exists()))


def new_experiment(runs: Path, slug: str) -> Archive:
    """Make runs/<slug>/<UTC stamp>/, never an existing one."""
    return Archive(new_stamped(runs / slug))


def experiment_lock(idea: Path, key: str) -> Path:
    """Return the lock, in an idea's folder, of the command that works on an experiment's key."""
    return idea / f".{key}.lock"


def rename(source: RunFolder, target: RunFolder) -> None:
    """Give a run folder another name, once what is read of it later is on disk.

    That is the code, and the files beside the working folders. Not synced: the working folders,
    which are the run's own; what counts of them was copied out.
    """
    with disk_faults(target.folder):
        # A program may have put anything in its place.
        if source.folder.is_dir() and not source.folder.is_symlink():
            sync_tree(source.code)
            for path in source.folder.iterdir():
                if path.is_file():
                    sync(path)
            sync(source.folder)
        source.folder.rename(target.folder)
        sync(target.folder.parent)


def pending_of(target: RunFolder) -> RunFolder:
    """Return where a run is made before it gets its final name."""
    return RunFolder(target.folder.with_name(f"{target.folder.name}.{PENDING}"))
