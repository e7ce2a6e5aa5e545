"""Fixtures: a scaffold that trains in milliseconds, the real one, an
endpoint that plays a model, the command line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from agent.archive.lookup import experiments
from agent.archive.paths import Archive
from agent.archive.provenance import cores
from agent.execution.environment.base import Environment, ensure, existing
from agent.execution.sandbox.detect import find_sandbox
from agent.execution.sandbox.policy import ResourceLimits, Sandbox
from agent.execution.sandbox.warm_server import ForkServer
from agent.task.contract import REQUIREMENTS
from agent.task.scaffold import DEFAULT_SCAFFOLD
from agent.util.errors import UserError
from agent.util.files import read_events
from agent.util.locks import locked
from tests.bench import Bench
from tests.browser import chromium
from tests.endpoint import Endpoint

REPOSITORY = Path(__file__).resolve().parent.parent

QUICK_MAIN = '''"""An open scaffold: its number is the value of SCORE."""
import json

SCORE = 0.5

if __name__ == "__main__":
    with open("final_info.json", "w") as file:
        json.dump({"val_accuracy": SCORE}, file)
'''


# What a test asks for that takes long by itself: real training, Aider's process, the browser.
COSTLY_FIXTURES = {"bench", "browser", "experiments_environment", "quick_launch", "real_queue"}


@pytest.hookimpl(tryfirst=True)  # before pytest selects by `-m`
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its tier: quick ones are for after each change, all are for before a commit.

    A new test is slow by itself where it asks for one of COSTLY_FIXTURES. Mark it `slow` where it
    takes more than about a second for another reason, as by a command that begins an experiment.
    Mark it `quick` where it is the one real test of its room that is to run each time all the same.
    What is slow comes first, so that in the end no process of the tests waits for another.
    """
    for item in items:
        if is_costly(item) and not item.get_closest_marker("quick"):
            item.add_marker("slow")
        if not item.get_closest_marker("slow"):
            item.add_marker("quick")
    items.sort(key=lambda item: not (is_costly(item) or item.get_closest_marker("slow")))


def is_costly(item: pytest.Item) -> bool:
    """Return whether a test asks for one of COSTLY_FIXTURES, itself or by another fixture."""
    return isinstance(item, pytest.Function) and bool(COSTLY_FIXTURES & set(item.fixturenames))


# Their default is to be ignored, so a handler would change nothing for a child.
HARMLESS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)


def hear_ignored_signals() -> None:
    """Handle every signal that the caller of the tests ignores, as `nohup` and `&` of a script do.

    An ignored signal stays ignored in every program that is started, a handled one does not: what
    the tests start then ends at Ctrl-C and at a closed terminal. This process still outlives both
    but Ctrl-C. Python ignores two more by itself, and its children do not inherit these.
    Not covered: signals that the caller blocks.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is not signal.SIG_IGN:
            continue
        if number in HARMLESS:
            signal.signal(number, signal.SIG_DFL)
        elif number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        else:
            signal.signal(number, lambda number, frame: None)


@pytest.fixture(autouse=True, scope="session")
def _signals() -> None:
    """Hear what the caller ignores, in each process that runs tests, before it starts another."""
    hear_ignored_signals()


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never use a key that happens to be set, nor a data folder."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")) or name == "ASSAY_DATA":
            monkeypatch.delenv(name)


def confined(kind: str, limits: ResourceLimits | None = None) -> Sandbox:
    """This sandbox, or a skipped test that says why there is none here."""
    try:
        return find_sandbox(kind, False, limits or ResourceLimits())
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def experiments_environment() -> Environment:
    """The real environment of experiments.

    Built on first need, as a user's is; or $ASSAY_TEST_PYTHON.
    """
    if python := os.environ.get("ASSAY_TEST_PYTHON"):
        return existing(Path(python))
    return ensure(DEFAULT_SCAFFOLD / REQUIREMENTS)


@pytest.fixture(scope="session")
def warm_server(experiments_environment: Environment) -> Iterator[ForkServer]:
    """The server that starts all trainings of this process but those of commands."""
    with ForkServer(experiments_environment.python, cores()) as server:
        yield server


@pytest.fixture(scope="session")
def bench(
    tmp_path_factory: pytest.TempPathFactory,
    experiments_environment: Environment,
    warm_server: ForkServer,
) -> Bench:
    """Experiments on the digits with one epoch and eight control seeds."""
    return Bench(tmp_path_factory.mktemp("bench"), experiments_environment, warm_server)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, for all tests of this process: none of them may run an event loop in its thread."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def real_queue(
    tmp_path_factory: pytest.TempPathFactory, experiments_environment: Environment
) -> Path:
    """runs/ with nine experiments and their pages (tests/real_queue.py), made once for all
    processes of the tests. Not to be changed.
    """
    from tests.real_queue import make_queue

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real_queue"
    with locked(folder.with_suffix(".lock"), wait=True):
        if not (folder / "made").exists():
            folder.mkdir()
            make_queue(folder, experiments_environment.python)
            (folder / "made").touch()
    return folder / "runs"


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A folder with an open scaffold that needs no torch, and an idea."""
    scaffold = tmp_path / "scaffold"
    scaffold.mkdir()
    (scaffold / "main.py").write_text(QUICK_MAIN)
    (scaffold / "requirements.txt").write_text("")
    (tmp_path / "higher.md").write_text("# Higher\n\nMake SCORE higher.\n")
    return tmp_path


@pytest.fixture
def session(tmp_path: Path) -> Callable[..., Path]:
    """Write replies as a recorded session."""

    def write(*replies: str, name: str = "session.jsonl") -> Path:
        path = tmp_path / name
        path.write_text(
            "".join(
                json.dumps({"reply": reply, "finish_reason": "stop"}) + "\n" for reply in replies
            )
        )
        return path

    return write


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as made:
        yield made


@dataclass(frozen=True)
class LaunchResult:
    """How `python launch.py ...` ended."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def archives(self) -> list[Archive]:
        return experiments(self.folder / "runs")

    def events(self, name: str) -> list[dict]:
        return [event for event in read_events(self.archives[-1].events) if event["event"] == name]

    @property
    def replies(self) -> list[str]:
        """Of the coder: answers to questions are none."""
        return [
            line["reply"]
            for line in read_events(self.archives[-1].session)
            if "reply" in line and "purpose" not in line
        ]

    @property
    def statuses(self) -> list[str]:
        return [event["status"] for event in self.events("attempt")]


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., LaunchResult]:
    """Run the command line in a process of its own, in tmp_path, with archives in tmp_path/runs."""

    def run(*arguments: object, timeout: float = 300, **environment: str) -> LaunchResult:
        command = [sys.executable, str(REPOSITORY / "launch.py"), *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return LaunchResult(done.returncode, done.stdout, done.stderr, tmp_path)

    return run


@pytest.fixture
def quick_arguments(quick: Path) -> list[str]:
    """Of the command line on the quick scaffold, run by this interpreter."""
    return [
        str(quick / "higher.md"),
        "--scaffold",
        str(quick / "scaffold"),
        "--python",
        sys.executable,
    ]


@pytest.fixture
def quick_launch(
    quick_arguments: list[str], launch: Callable[..., LaunchResult]
) -> Callable[..., LaunchResult]:
    """The command line on the quick scaffold."""
    return lambda *arguments, **environment: launch(*quick_arguments, *arguments, **environment)
