"""This module runs flake8 for its fatal codes: what would stop a program, not its looks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FATAL = "E9,F821,F823,F831,F406,F407,F701,F702,F704,F706"
SECONDS = 60


def flake8(file: Path) -> str:
    """Return the findings with their source lines, '' for none. `# noqa` hides nothing."""
    # -I: without it Python would import flake8.py, argparse.py, ... lying beside the file, and so
    # execute them.
    command = [
        sys.executable,
        "-I",
        "-m",
        "flake8",
        "--isolated",
        "--disable-noqa",
        "--show-source",
        f"--select={FATAL}",
        file.name,
    ]
    try:
        done = subprocess.run(
            command,
            cwd=file.parent,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{file.name}: flake8 took more than {SECONDS} s"
    return (done.stdout + done.stderr).decode("utf-8", "replace")
