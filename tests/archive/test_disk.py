"""A disk that is full or out of inodes, a folder that is read-only or not ours.

One clear line, and the same command goes on once that is mended, to the same end as undisturbed.

ASSAY_LEVELS sets how many fill levels of a disk are tried (default: a few). Small
disks are mounted, which root alone may do.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.archive.lookup import experiments
from agent.util.files import read_events
from tests.archive.test_damage import kill_after
from tests.conftest import LaunchResult
from tests.kills import damage
from tests.replies import edit, scores

pytestmark = pytest.mark.slow  # each test runs commands with Aider's process

LEVELS = int(os.environ.get("ASSAY_LEVELS", "2"))
AMPLE = "size=600m,nr_inodes=100000"
REPLIES = [
    scores(0.6)[0],
    "I change nothing.",
    edit("SCORE = 0.6", "SCORE = undefined"),
    # The repair of lint.
    edit("SCORE = undefined", "SCORE = 0.7" + "".join(f"\nUNUSED_{n} = {n}" for n in range(300))),
    scores(0.8, start=0.7)[0],
]


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    folder.mkdir()
    if subprocess.run(["mount", *options, folder], capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def outcome(done: LaunchResult, runs: Path) -> dict:
    """What must be the same as in an experiment that nothing disturbed."""
    (archive,) = experiments(runs)
    events = read_events(archive.events)
    attempts = [
        (event["folder"], event["status"], event["value"])
        for event in events
        if event["event"] == "attempt"
    ]
    stopped = next(event["reason"] for event in events if event["event"] == "stopped")
    replies = [line["reply"] for line in read_events(archive.session) if "reply" in line]
    codes = [(run.code / "main.py").read_text() for run in archive.attempts()]
    verdict = json.loads(archive.verdict.read_bytes())["verdict"]
    return {
        "code": done.code,
        "attempts": attempts,
        "stopped": stopped,
        "replies": replies,
        "codes": codes,
        "verdict": verdict,
        "main": (archive.workspace / "main.py").read_text(),
    }


def assert_told(done: LaunchResult, *phrases: str) -> None:
    """One clear line about the disk, and nothing that looks like a bug of ours."""
    lines = [line for line in (done.out + done.err).splitlines() if "disk: " in line]
    assert done.code == 1 and len(lines) == 1, done
    assert any(word in lines[0] for word in phrases), lines
    assert "Traceback" not in done.out + done.err and "fault of Assay" not in done.out + done.err, (
        done
    )


@pytest.fixture
def command(quick_arguments, session) -> list[str]:
    return [*quick_arguments, "--model", f"replay:{session(*REPLIES)}"]


@pytest.fixture
def run(launch, command) -> Callable[..., LaunchResult]:
    return lambda runs, further=(), **environment: launch(
        *command, "--runs-dir", runs, *further, **environment
    )


@pytest.mark.parametrize("temporary", ["elsewhere", "on the same disk"])
def test_a_disk_that_fills_up_at_any_point_is_told_and_the_same_command_goes_on_later(
    run, tmp_path, temporary
):
    whole = tmp_path / "whole"
    expected = outcome(run(whole), whole)
    # Without the pages: where only these do not fit, the experiment has come to its end.
    files = [path for path in whole.rglob("*") if not path.is_dir() and path.name != "report.html"]
    used = sum(-(-path.lstat().st_size // 4096) * 4096 for path in files) // 1024
    statuses = [status for _, status, _ in expected["attempts"]]
    assert expected["stopped"] == "run_limit" and statuses == [
        "success",
        "no_edit",
        "success",
        "success",
    ]
    for level in range(LEVELS):
        size = 8 + 4 * ((level * (used - 8) // LEVELS + used // LEVELS // 2) // 4)
        disk = tmp_path / "disk"
        with mounted(disk, "-t", "tmpfs", "-o", f"size={size}k", "tmpfs"):
            environment = {}
            if temporary == "on the same disk":
                (disk / "tmp").mkdir()
                environment["TMPDIR"] = str(disk / "tmp")
            full = run(disk / "runs", **environment)
            assert_told(full, "No space left", "MiB free")
            assert damage(disk / "runs") == []
            subprocess.run(["mount", "-o", f"remount,{AMPLE}", disk], check=True)
            assert outcome(run(disk / "runs", **environment), disk / "runs") == expected, (
                f"after {size} kB: {full}"
            )


def test_a_disk_without_free_inodes_is_told_and_the_same_command_goes_on_later(run, tmp_path):
    whole = tmp_path / "whole"
    disk = tmp_path / "disk"
    expected = outcome(run(whole), whole)
    inodes = sum(1 for _ in whole.rglob("*"))
    for share in (0.2, 0.5, 0.9):
        with mounted(
            disk, "-t", "tmpfs", "-o", f"size=600m,nr_inodes={int(share * inodes)}", "tmpfs"
        ):
            full = run(disk / "runs")
            assert_told(full, "No space left", "MiB free")
            assert damage(disk / "runs") == []
            subprocess.run(["mount", "-o", f"remount,{AMPLE}", disk], check=True)
            assert outcome(run(disk / "runs"), disk / "runs") == expected, f"after {share}: {full}"


def test_a_read_only_folder_is_told_and_the_same_command_goes_on_later(
    run, launch, command, tmp_path
):
    """Read-only for root, too.

    An experiment that a kill interrupted, and one that was never begun.
    """
    whole = tmp_path / "whole"
    runs = tmp_path / "runs"
    store = tmp_path / "store"
    expected = outcome(run(whole), whole)
    store.mkdir()
    with mounted(runs, "--bind", store):
        kill_after("attempt", 2, [*command, "--runs-dir", "runs"], tmp_path)
        until = time.monotonic() + 60
        # The killed coder still ends.
        while subprocess.run(
            ["mount", "-o", "remount,ro,bind", runs], capture_output=True
        ).returncode:
            assert time.monotonic() < until
            time.sleep(0.2)
        before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
        for further in ([], ["--seed", "1"]):
            assert_told(run("runs", further), "Read-only file system")
        assert launch("review").code == 0, "what is there can be read"
        assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
        subprocess.run(["mount", "-o", "remount,rw,bind", runs], check=True)
        assert outcome(run("runs"), runs) == expected


def test_a_folder_that_belongs_to_somebody_else_is_told(run, tmp_path):
    """Rights bind an ordinary user alone."""
    runs = tmp_path / "runs"
    runs.mkdir(mode=0o500)
    if os.access(runs, os.W_OK):
        pytest.skip("root may write everywhere")
    assert_told(run(runs), "Permission denied")
