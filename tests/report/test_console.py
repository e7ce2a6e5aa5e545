"""What a terminal shows and a pipe does not."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from agent.archive.progress import share_done
from tests.conftest import REPOSITORY
from tests.replies import scores

SLOW_MAIN = """import json, time

SCORE = 0.5
for step in range(40):
    time.sleep(0.1)
    with open("progress.json", "w") as file:
        json.dump({"done": step / 40}, file)
with open("final_info.json", "w") as file:
    json.dump({"val_accuracy": SCORE}, file)
"""


def on_a_terminal(*arguments: object, folder) -> str:
    """Everything that launch.py writes to a pseudo-terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, str(REPOSITORY / "launch.py"), *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(theirs)
    output = b""
    try:
        while chunk := os.read(ours, 65536):
            output += chunk
    except OSError:  # the other end is closed
        pass
    assert process.wait(60) == 0, output
    os.close(ours)
    return output.decode()


def test_a_long_step_shows_a_bar_with_the_time_left_on_a_terminal_only(
    quick, quick_launch, session
):
    (quick / "scaffold" / "main.py").write_text(SLOW_MAIN)
    options = (
        quick / "higher.md",
        "--scaffold",
        quick / "scaffold",
        "--python",
        sys.executable,
        "--model",
        f"replay:{session(*scores(0.6))}",
    )
    shown = on_a_terminal(*options, "--runs", "1", folder=quick)
    assert "run 1: training" in shown and " left" in shown
    assert "\x1b[32m" in on_a_terminal("review", "higher", folder=quick), "diffs are coloured"
    piped = quick_launch(*options[5:], "--runs", "1", "--fresh")
    assert "training" not in piped.out + piped.err and "\x1b" not in piped.out
    assert "run_1: success, val_accuracy 0.6000" in piped.out


def test_progress_is_what_the_program_says_within_bounds(tmp_path):
    path = tmp_path / "progress.json"
    for text, share in [
        ('{"done": 0.5}', 0.5),
        ('{"done": 9}', 1.0),
        ('{"done": "x"}', 0.0),
        ("{", 0.0),
        ("[]", 0.0),
        ('{"done": NaN}', 0.0),
    ]:
        path.write_text(text)
        assert share_done(path) == share, text
