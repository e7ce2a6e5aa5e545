"""Two processes on one experiment, or on one baseline.

Who holds the lock, who waits, who is told; a dead owner holds nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.archive.lookup import experiments
from agent.util.files import read_events
from tests.conftest import REPOSITORY
from tests.kills import processes
from tests.replies import edit

pytestmark = pytest.mark.slow  # each test runs commands with Aider's process and real training


def start(folder: Path, *arguments: object) -> subprocess.Popen:
    command = [
        sys.executable,
        REPOSITORY / "launch.py",
        *arguments,
        "--scaffold",
        folder / "scaffold",
        "--python",
        sys.executable,
    ]
    return subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(folder: Path, pattern: str, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while not list(folder.glob(pattern)):
        assert process.poll() is None and time.monotonic() < until, (
            process.stdout and process.stdout.read()
        )
        time.sleep(0.01)


def test_the_lock_of_a_killed_owner_is_free_at_once_and_a_third_command_is_told(quick, session):
    slow = edit("SCORE = 0.5", "import time; time.sleep(8)\nSCORE = 0.6")
    arguments = quick / "higher.md", "--model", f"replay:{session(slow)}", "--runs", "1"
    first = start(quick, *arguments)
    wait_for(quick / "runs", "higher/*/run_1.pending/work/main.py", first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = start(quick, *arguments)
    try:
        # The dead one's run is under the second's hands.
        wait_for(quick / "runs", "higher/*/run_1.interrupted_1", second)
        wait_for(quick / "runs", "higher/*/run_1.pending/work/main.py", second)
        third = start(quick, *arguments)
        output, _ = third.communicate(timeout=60)
        assert third.returncode == 1 and "another process is working on this experiment" in output
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 0, output
    finally:
        second.kill()
    (archive,) = experiments(quick / "runs")
    attempts = [
        (event["folder"], event["value"])
        for event in read_events(archive.events)
        if event["event"] == "attempt"
    ]
    assert attempts == [("run_1", 0.6)]
    assert processes(archive.folder) == []


@pytest.mark.parametrize("killed", [False, True])
def test_two_ideas_at_once_train_their_baseline_once(quick, session, killed):
    """Also where the one that trains it is killed while the other waits for it."""
    main = quick / "scaffold" / "main.py"
    main.write_text(
        main.read_text().replace("SCORE = 0.5", "import time; time.sleep(6)\nSCORE = 0.5")
    )
    model = f"replay:{session('I change nothing.')}"
    (quick / "other.md").write_text("# Other\n\nAnother idea.\n")
    first = start(quick, quick / "higher.md", "--model", model)
    wait_for(quick / "runs", "_baselines/*/seed_0.pending_1/work/main.py", first)
    second = start(quick, quick / "other.md", "--model", model)
    wait_for(quick / "runs", "other/*/events.jsonl", second)
    if killed:
        os.kill(first.pid, signal.SIGKILL)
    output = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [-signal.SIGKILL if killed else 0, 0], output
    (key,) = (quick / "runs" / "_baselines").iterdir()
    assert {path.name for path in key.glob("seed_*")} == {"seed_0"} | (
        {"seed_0.pending_1"} if killed else set()
    )
    trained = json.loads((key / "seed_0" / "result.json").read_bytes())
    if killed:
        again = start(quick, quick / "higher.md", "--model", model)
        output = again.communicate(timeout=120)
        assert again.returncode == 0, output
    shared = {
        archive.folder.parent.name: json.loads(archive.run(0).result.read_bytes())
        for archive in experiments(quick / "runs")
    }
    assert shared == {"higher": trained, "other": trained}
