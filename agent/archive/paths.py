"""Every path of an archive. Nothing in it is ever deleted or overwritten by another run."""

from __future__ import annotations

from dataclasses import dataclass
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

FAILED, INTERRUPTED, PENDING, FOREIGN = "failed", "interrupted", "pending", "foreign"


@dataclass(frozen=True)
class Archive:
    """The folder of one experiment."""

    folder: Path

    @property
    def begun(self) -> bool:
        """Its config is the last thing made before it begins; one that lost it, or may not be read, has other things to show."""
        try:
            return self.config.exists() or self.session.exists() or self.run(0).folder.exists()
        except PermissionError:
            return True

    @property
    def idea(self) -> Path:
        return self.folder / "idea.md"

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def session(self) -> Path:
        return self.folder / "session.jsonl"

    @property
    def requests(self) -> Path:
        """What each request to the model held, Aider's own instructions and the files included."""
        return self.folder / "requests.jsonl"

    @property
    def chat(self) -> Path:
        return self.folder / "chat.md"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def coder_log(self) -> Path:
        return self.folder / "coder.log"

    @property
    def coder_lock(self) -> Path:
        """Held by the coder's process for as long as it lives, also where that is longer than the harness does."""
        return self.folder / ".coder.lock"

    @property
    def report(self) -> Path:
        """The page for people, made from the rest."""
        return self.folder / "report.html"

    @property
    def write_up(self) -> Path:
        """The skeleton of a write-up, made from the rest once: what a user makes of it is never overwritten."""
        return self.folder / "report.md"

    @property
    def uploads(self) -> Path:
        """Which W&B folders of its runs were uploaded."""
        return self.folder / "uploads.jsonl"

    @property
    def criteria(self) -> Path:
        """What the idea is, in statements about the code; fixed before the first line is written."""
        return self.folder / "criteria.json"

    @property
    def verdict(self) -> Path:
        return self.folder / "verdict.json"

    @property
    def reading(self) -> Path:
        """What a model made of the verdict, in its own words."""
        return self.folder / "reading.json"

    @property
    def reproductions(self) -> Path:
        return self.folder / "reproductions.jsonl"

    def confirmation(self, name: str, seed: int) -> RunFolder:
        """The run of one arm with one fresh seed; a cached control's is copied here. check, check_scaffold: the
        control check.
        """
        return RunFolder(self.folder / "confirm" / f"{name}_seed_{seed}")

    def run(self, number: int) -> RunFolder:
        return RunFolder(self.folder / f"run_{number}")

    def pending(self, number: int) -> RunFolder:
        """Where the next attempt at run `number` is made; it gets its final name when it is whole."""
        return RunFolder(self.folder / f"run_{number}.{PENDING}")

    def unused(self, number: int, why: str) -> RunFolder:
        """The first free run_<number>.<why>_<k>."""
        return unused(self.run(number), why)

    def attempts(self) -> list[RunFolder]:
        """Every finished attempt, failed ones too, in the order in which they were made."""
        names = [
            event["folder"] for event in read_events(self.events) if event["event"] == "attempt"
        ]
        return [self.named(name) for name in names]

    def named(self, name: str) -> RunFolder:
        """The run folder that an event names. Raises Fault for a path that leads out: an archive may come from anybody."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise Fault(
                "archive", f"{self.events}: names a folder outside of the archive: {name!r}"
            )
        return RunFolder(self.folder / path)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one attempt: what was asked, what ran, what came out."""

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
        """The working folder of the gate's short run of one arm."""
        return self.folder / "gate" / arm

    @property
    def predict(self) -> Path:
        """The working folder of the process that predicts with the trained model."""
        return self.folder / "predict"

    @property
    def score(self) -> Path:
        """What the harness graded: which examples were predicted correctly."""
        return self.folder / "score.json"

    @property
    def environment(self) -> Path:
        """Every package that its programs could import, with its version."""
        return self.folder / "environment.json"

    @property
    def prompt(self) -> Path:
        return self.folder / "prompt.md"

    @property
    def reply(self) -> Path:
        return self.folder / "reply.md"

    @property
    def diff(self) -> Path:
        return self.folder / "diff.patch"

    @property
    def gate(self) -> Path:
        return self.folder / "gate" / "report.json"

    @property
    def judgement(self) -> Path:
        return self.folder / "gate" / "judgement.json"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def stdout(self) -> Path:
        return self.folder / "stdout.log"

    @property
    def stderr(self) -> Path:
        return self.folder / "stderr.log"

    @property
    def result(self) -> Path:
        return self.folder / "result.json"


def unused(folder: RunFolder, why: str) -> RunFolder:
    """The first free <folder>.<why>_<k> beside a run folder."""
    k = 1
    while (path := folder.folder.with_name(f"{folder.folder.name}.{why}_{k}")).exists():
        k += 1
    return RunFolder(path)


def new_experiment(runs: Path, slug: str) -> Archive:
    """Make runs/<slug>/<UTC stamp>/, never an existing one."""
    return Archive(new_stamped(runs / slug))


def experiment_lock(idea: Path, key: str) -> Path:
    """In an idea's folder: held by the command that works on the experiment with this key."""
    return idea / f".{key}.lock"


def rename(source: RunFolder, target: RunFolder) -> None:
    """Give a run folder another name, once what is read of it later is on disk: the code, and the files beside the working folders.

    Not synced: the working folders, which are the run's own; what counts of them was copied out.
    """
    with disk_faults(target.folder):
        if (
            source.folder.is_dir() and not source.folder.is_symlink()
        ):  # a program may have put anything in its place
            sync_tree(source.code)
            for path in source.folder.iterdir():
                if path.is_file():
                    sync(path)
            sync(source.folder)
        source.folder.rename(target.folder)
        sync(target.folder.parent)


def pending_of(target: RunFolder) -> RunFolder:
    return RunFolder(target.folder.with_name(f"{target.folder.name}.{PENDING}"))
