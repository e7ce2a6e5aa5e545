"""A queue as one finds it in the morning.

Made by the command line, with its pages; what is under way is under way when they are made.

python -m tests.real_queue FOLDER [--python PATH]      makes FOLDER/runs, to look at
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.archive.lookup import experiments
from agent.archive.paths import Archive
from agent.execution.environment.base import ensure
from agent.task.contract import REQUIREMENTS
from agent.task.scaffold import DEFAULT_SCAFFOLD
from agent.util.files import append_event
from tests.conftest import QUICK_MAIN, REPOSITORY
from tests.replies import edit, scores

# What each idea's experiment is shown as.
STATES = {
    "frequency_domain_cnn": {"supported", "inconclusive", "not_supported"},
    "curriculum_learning_cnn": {"not_implemented"},
    "always_crashes": {"no_result"},
    "higher": {"inconclusive"},
    "slow": {"running"},
    "stopped": {"fault"},
    "left": {"unfinished"},
    "torn": {"damaged"},
    "earlier": {"old_format"},
}
DIGITS = (
    "--dataset",
    "digits",
    "--epochs",
    "2",
    "--runs",
    "2",
    "--baseline-seeds",
    "2",
    "--confirm-seeds",
    "3",
    "--max-failures",
    "2",
)


def make_queue(folder: Path, environment: Path) -> Path:
    """folder/runs with nine experiments and the pages of all.

    environment: the interpreter of experiments.
    """
    _digits(folder, environment)
    _quick(folder)
    _spoilt(folder)
    with _under_way(folder):
        _launch(folder, "report")
    return folder / "runs"


def archive_of(runs: Path, slug: str) -> Archive:
    return next(archive for archive in experiments(runs) if archive.folder.parent.name == slug)


def _launch(folder: Path, *arguments: object) -> int:
    command = [sys.executable, REPOSITORY / "launch.py", *arguments]
    log = folder / "launch.log"
    with log.open("a") as out:
        return subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=300,
        ).returncode


def _digits(folder: Path, environment: Path) -> None:
    """One idea as it ships, and one whose session only tunes the baseline.

    One command, real training.
    """
    ideas, sessions = folder / "ideas", folder / "ideas" / "sessions"
    sessions.mkdir(parents=True)
    for name in ("frequency_domain_cnn", "curriculum_learning_cnn"):
        shutil.copy(REPOSITORY / "ideas" / f"{name}.md", ideas)
    shutil.copy(REPOSITORY / "ideas" / "sessions" / "frequency_domain_cnn.jsonl", sessions)
    shutil.copy(
        REPOSITORY / "tests" / "sessions" / "curriculum_learning_cnn_tuned.jsonl",
        sessions / "curriculum_learning_cnn.jsonl",
    )
    _launch(folder, "ideas", *DIGITS, "--python", environment)


def _quick(folder: Path) -> None:
    """On an open scaffold that needs no torch: one that works, one whose every attempt crashes."""
    (folder / "scaffold").mkdir()
    (folder / "scaffold" / "main.py").write_text(QUICK_MAIN)
    (folder / "scaffold" / "requirements.txt").write_text("")
    _launch(folder, *_arguments(folder, "higher", *scores(0.6, 0.7)))
    crashes = edit("SCORE = 0.5", "SCORE = 1 / 0"), edit("SCORE = 1 / 0", "SCORE = [][1]")
    _launch(folder, *_arguments(folder, "always_crashes", *crashes), "--max-failures", "2")


def _spoilt(folder: Path) -> None:
    """Copies of a sound archive, each brought into another state: without a model, in no time."""
    made = {slug: _copy(folder, slug) for slug in ("torn", "earlier", "stopped", "left")}
    made["torn"].config.write_text("{")
    made["earlier"].verdict.write_text('{"schema": 1}')
    for slug in ("torn", "stopped", "left"):
        made[slug].verdict.unlink()
    for slug in ("stopped", "left"):
        lines = made[slug].events.read_text().splitlines(keepends=True)
        made[slug].events.write_text("".join(lines[:-3]))
    append_event(
        made["stopped"].events, "fault", kind="model", detail="the provider said 401: no such key"
    )


def _copy(folder: Path, slug: str) -> Archive:
    shutil.copytree(folder / "runs" / "higher", folder / "runs" / slug)
    return archive_of(folder / "runs", slug)


def _arguments(folder: Path, slug: str, *replies: str) -> list[str]:
    (folder / f"{slug}.md").write_text(
        f"# {slug.capitalize().replace('_', ' ')}\n\nMake SCORE higher.\n"
    )
    session = "".join(
        json.dumps({"reply": reply, "finish_reason": "stop"}) + "\n" for reply in replies
    )
    (folder / f"{slug}.jsonl").write_text(session)
    return [
        f"{slug}.md",
        "--scaffold",
        "scaffold",
        "--python",
        sys.executable,
        "--model",
        f"replay:{slug}.jsonl",
        "--runs",
        "2",
    ]


@contextmanager
def _under_way(folder: Path) -> Iterator[None]:
    """While this lasts, an experiment is in its first run."""
    arguments = _arguments(
        folder, "slow", edit("SCORE = 0.5", "import time; time.sleep(600)\nSCORE = 0.6")
    )
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "launch.py"), *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not list((folder / "runs").glob("slow/*/run_1.pending/work/main.py")):
            assert process.poll() is None and time.monotonic() < deadline, (
                "the slow experiment does not begin"
            )
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a small real queue with its pages.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", type=Path, default=os.environ.get("ASSAY_TEST_PYTHON"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True)
    print(make_queue(given.folder, given.python or ensure(DEFAULT_SCAFFOLD / REQUIREMENTS).python))
    return 0


if __name__ == "__main__":
    sys.exit(main())
