"""Two processes on one experiment, or on one baseline: who holds the lock, who waits, who is told; a dead owner holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.archive import experiments
from agent.files import read_events
from tests.conftest import REPOSITORY
from tests.kills import processes
from tests.replies import edit

NOTES = '''"""An open scaffold that says in a file outside when it was trained."""
import json
import time

SCORE = 0.5

if __name__ == "__main__":
    time.sleep({seconds})
    with open({notes!r}, "a") as file:
        file.write(f"{{SCORE}}\\n")
    with open("final_info.json", "w") as file:
        json.dump({{"val_accuracy": SCORE}}, file)
'''


def start(folder: Path, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, REPOSITORY / "launch.py", *arguments, "--scaffold", folder / "scaffold", "--python", sys.executable]
    return subprocess.Popen(list(map(str, command)), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(folder: Path, pattern: str, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while not list(folder.glob(pattern)):
        assert process.poll() is None and time.monotonic() < until, process.stdout and process.stdout.read()
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
        wait_for(quick / "runs", "higher/*/run_1.interrupted_1", second)  # the dead one's run is under the second's hands
        wait_for(quick / "runs", "higher/*/run_1.pending/work/main.py", second)
        third = start(quick, *arguments)
        said, _ = third.communicate(timeout=60)
        assert third.returncode == 1 and "another process is working on this experiment" in said
        said, _ = second.communicate(timeout=60)
        assert second.returncode == 0, said
    finally:
        second.kill()
    (archive,) = experiments(quick / "runs")
    attempts = [(event["folder"], event["value"]) for event in read_events(archive.events) if event["event"] == "attempt"]
    assert attempts == [("run_1", 0.6)]
    assert processes(archive.folder) == []


@pytest.mark.parametrize("killed", [False, True])
def test_two_ideas_at_once_train_their_baseline_once(quick, session, killed):
    """Also where the one that trains it is killed, and the other waits for it."""
    notes = quick / "notes"
    (quick / "scaffold" / "main.py").write_text(NOTES.format(seconds=3, notes=str(notes)))
    model = f"replay:{session('I change nothing.')}"
    (quick / "other.md").write_text("# Other\n\nAnother idea.\n")
    first = start(quick, quick / "higher.md", "--model", model, "--sandbox", "none")
    wait_for(quick / "runs", "_baselines/*/seed_0.pending_1/work/main.py", first)
    second = start(quick, quick / "other.md", "--model", model, "--sandbox", "none")
    if killed:
        wait_for(quick / "runs", "other/*/events.jsonl", second)
        os.kill(first.pid, signal.SIGKILL)
    codes = [process.wait(120) for process in (first, second)]
    assert codes == [-signal.SIGKILL if killed else 0, 0], second.stdout and second.stdout.read()
    assert notes.read_text() == "0.5\n", "trained once, or not to its end"
    assert len(list((quick / "runs").glob("_baselines/*/seed_0/result.json"))) == 1
    if killed:
        again = start(quick, quick / "higher.md", "--model", model, "--sandbox", "none")
        assert again.wait(120) == 0 and notes.read_text() == "0.5\n"
    assert {archive.folder.parent.name for archive in experiments(quick / "runs")} == {"higher", "other"}
