"""kill -9 at random moments, then the same command: every experiment finishes, nothing finished is made again.

ASSAY_KILLS sets how many kills the digits experiment gets.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil

from agent.archive import Archive, experiments
from agent.files import read_events
from tests.conftest import REPOSITORY
from tests.replies import edit, scores

SEED = 20


def survive(command: list[str], folder: Path, kills: int, longest: float) -> Archive:
    """Kill `command` `kills` times, then let it end; check the archive after each kill. Returns the archive."""
    choose, kept = random.Random(SEED), dict[Path, tuple]()
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(choose.uniform(0.5, longest))
        process.kill()
        process.wait()
        check_whole(folder / "runs")
        for result in (folder / "runs").rglob("run_[0-9]*/result.json"):
            if ".pending" not in result.parent.name and ".interrupted" not in result.parent.name:
                kept.setdefault(result, _identity(result))
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    check_whole(folder / "runs")
    assert {path: _identity(path) for path in kept} == kept, "a finished run was made again"
    assert len(experiments(folder / "runs")) == 1
    return experiments(folder / "runs")[0]


def _identity(path: Path) -> tuple:
    return path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()


def check_whole(runs: Path) -> None:
    """Every file under its final name can be read to its end."""
    for path in runs.rglob("*.json"):
        if path.parent.name != "work":  # the run's own
            json.loads(path.read_bytes())
    for path in runs.rglob("*.jsonl"):
        read_events(path)


def replies_of(archive: Archive) -> list[str]:
    return [line["reply"] for line in read_events(archive.session) if "reply" in line]


def test_kill_9_at_random_moments_of_a_quick_experiment(quick, session):
    replies = [
        scores(0.6)[0],
        edit("SCORE = 0.6", "SCORE = 1 / 0"),
        edit("SCORE = 1 / 0", "SCORE = undefined"),
        edit("SCORE = undefined", "SCORE = 0.7"),
        scores(0.8, start=0.7)[0],
    ]
    command = [sys.executable, str(REPOSITORY / "launch.py"), str(quick / "higher.md"), "--model", f"replay:{session(*replies)}",
               "--scaffold", str(quick / "scaffold"), "--python", sys.executable]  # fmt: skip
    archive = survive(command, quick, kills=6, longest=6)
    attempts = [(event["number"], event["status"]) for event in read_events(archive.events) if event["event"] == "attempt"]
    assert attempts == [(1, "success"), (2, "crash"), (2, "success"), (3, "success")]
    assert replies_of(archive) == replies, "a reply was taken twice or lost"


def test_kill_9_at_random_moments_of_a_digits_experiment(tmp_path, session, experiments_environment):
    replies = [
        edit(f"        x = self.pool(F.relu(self.conv{n}(x)))", f"        x = self.pool((F.gelu if IDEA else F.relu)(self.conv{n}(x)))")
        for n in (1, 2, 3)
    ]
    (tmp_path / "gelu.md").write_text("# GELU\n\nUse GELU.\n")
    command = [sys.executable, str(REPOSITORY / "launch.py"), "gelu.md", "--model", f"replay:{session(*replies)}", "--dataset", "digits",
               "--epochs", "1", "--python", str(experiments_environment.python)]  # fmt: skip
    archive = survive(command, tmp_path, kills=int(os.environ.get("ASSAY_KILLS", "3")), longest=20)
    assert [event["status"] for event in read_events(archive.events) if event["event"] == "attempt"] == ["success"] * 3
    assert replies_of(archive) == replies
    left = [process for process in psutil.process_iter() if str(tmp_path) in " ".join(_command(process))]
    assert left == [], "a process outlived its experiment"


def _command(process: psutil.Process) -> list[str]:
    try:
        return [*process.cmdline(), process.cwd()]
    except (psutil.Error, OSError):
        return []
