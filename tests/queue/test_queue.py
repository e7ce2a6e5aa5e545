"""Many ideas in one command: one that fails stops no other."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.replies import edit, scores


@pytest.mark.slow
def test_a_queue_goes_on_after_a_fault_and_skips_what_is_finished(quick, launch, session, tmp_path):
    ideas = tmp_path / "ideas"
    ideas.mkdir()
    (ideas / "a.md").write_text("---\ndataset: mine.npz\n---\n# A\n\nIts data is damaged.\n")
    (ideas / "mine.npz").write_bytes(b"damaged")
    (ideas / "b.md").write_text("# B\n\nText.\n")
    options = (
        "--scaffold",
        quick / "scaffold",
        "--python",
        sys.executable,
        "--model",
        f"replay:{session(*scores(0.6))}",
        "--runs",
        "1",
    )
    first = launch(ideas, *options)
    assert first.code == 1 and "a.md: stopped by a fault: data: " in first.out
    assert [archive.folder.parent.name for archive in first.archives] == ["b"]
    again = launch(ideas, *options)
    assert again.code == 1 and "finished earlier" in again.out and len(again.archives) == 1
    fresh = launch(ideas / "b.md", *options, "--fresh")
    assert fresh.code == 0 and len(fresh.archives) == 2


def test_a_second_process_on_the_same_experiment_is_told_so(quick_launch, quick, session):
    slow = edit("SCORE = 0.5", "import time; time.sleep(20)\nSCORE = 0.6")
    model = f"replay:{session(slow)}"
    command = [
        sys.executable,
        REPOSITORY / "launch.py",
        quick / "higher.md",
        "--scaffold",
        quick / "scaffold",
        "--python",
        sys.executable,
        "--model",
        model,
        "--runs",
        "1",
    ]
    first = subprocess.Popen(list(map(str, command)), cwd=quick, stdout=subprocess.DEVNULL)
    try:
        while not list((quick / "runs").glob("higher/*/run_1.pending/work/main.py")):
            assert first.poll() is None
        second = quick_launch("--model", model, "--runs", "1")
        assert second.code == 1 and "another process is working on" in second.out
    finally:
        first.terminate()
        assert first.wait(30) == 130  # SIGTERM ends as Ctrl-C does


@pytest.mark.slow
def test_what_one_idea_got_wrong_does_not_stop_the_queue(quick, launch, session, tmp_path):
    np.savez(
        tmp_path / "small.npz",
        images=np.arange(60 * 16, dtype=np.uint8).reshape(60, 4, 4),
        labels=np.arange(60) % 2,
    )
    for name, front in (("a", ""), ("b", "---\ndataset: small.npz\n---\n"), ("c", "")):
        (tmp_path / f"{name}.md").write_text(f"{front}# {name}\n\nText.\n")
    options = (
        "--scaffold",
        quick / "scaffold",
        "--python",
        sys.executable,
        "--model",
        f"replay:{session(*scores(0.6))}",
        "--runs",
        "1",
    )
    done = launch("a.md", "b.md", "c.md", *options, "--train-size", "500")
    assert done.code == 1 and "b.md: --train-size 500: " in done.err
    assert {archive.folder.parent.name for archive in done.archives} == {"a", "c"}
