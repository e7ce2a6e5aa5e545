"""Upload the W&B files of finished runs, when the user has a key.

The runs themselves log offline and never see it. A run left these files, so no link is followed;
what was uploaded is noted in the archive, beside them. Not covered: what a run tells W&B in a file
of W&B's own format; two commands that upload the same run at once (W&B keeps one of it).
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from itertools import chain
from pathlib import Path

from agent.archive.paths import Archive
from agent.util.files import append_line, read_events
from agent.util.secrets import clean_environment
from agent.util.text import clean

KEY = "WANDB_API_KEY"
SECONDS = 120  # for one run; a server that is away must not hold up the queue
LOGS = "logs"  # in a run's folder
MOST_CHARACTERS = 300  # of what kept a run from being uploaded
_PASSED_ON = (
    KEY,
    "WANDB_BASE_URL",
    "WANDB_ENTITY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
)


def upload(archive: Archive, python: Path) -> list[str]:
    """Upload the W&B folders that were not uploaded yet, when there is a key.

    Returns one line for every run that could not be uploaded. Raises Fault("disk", ...).
    """
    if not os.environ.get(KEY):
        return []
    problems = []
    for path in waiting(archive):
        problem = _foreign(path, archive) or _sync(path, python)
        if problem:
            problems.append(problem)
        else:
            line = {
                "time": round(time.time(), 3),
                "run": _name(path, archive),
            }
            append_line(archive.uploads, line)
    return problems


def left(archive: Archive) -> list[Path]:
    """Return the W&B folders that the experiment's finished attempts left.

    Raises Fault("archive", ...) for a damaged archive.
    """
    paths = []
    for folder in archive.attempts():
        paths += sorted(folder.work.glob("wandb/offline-run-*"))
    return paths


def waiting(archive: Archive) -> list[Path]:
    """Return the W&B folders that were left and not uploaded yet."""
    uploaded = {line.get("run") for line in read_events(archive.uploads)}
    return [path for path in left(archive) if _name(path, archive) not in uploaded]


def _name(path: Path, archive: Archive) -> str:
    return path.relative_to(archive.folder).as_posix()


def _foreign(run: Path, archive: Archive) -> str:
    """Return why a folder is not uploaded, or ''.

    A link in it, or on the way to it, would take along a file of the user's.
    """
    way = [path for path in run.parents if archive.folder in path.parents]
    for path in chain(way, [run], run.rglob("*")):  # a link on the way is not walked through
        mode = path.lstat().st_mode
        is_plain = stat.S_ISDIR(mode) or stat.S_ISREG(mode)
        is_log = run / LOGS in (path, *path.parents)
        if not is_plain and not is_log:
            problem = f"W&B: {run} was not uploaded: {path} is a link, or no plain file"
            return clean(problem).replace("\n", " ")
    return ""


def _sync(path: Path, python: Path) -> str:
    """Upload a copy of a W&B folder. Returns '' or what kept it from being uploaded.

    The archive stays as it is, and W&B's own debug logs, which hold a link to its cache, stay
    behind.
    """

    def left_behind(folder: str, _: list[str]) -> list[str]:
        if Path(folder) == path:
            return [LOGS]
        return []

    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / path.name
        try:
            shutil.copytree(path, copy, symlinks=True, ignore=left_behind)
            done = _run_wandb(python, copy)
        except subprocess.TimeoutExpired:
            return f"W&B: {path} was not uploaded within {SECONDS} s"
        except OSError as error:
            problem = clean(f"W&B: {path} was not uploaded: it could not be copied: {error}")
            return problem.replace("\n", " ")[:MOST_CHARACTERS]
        if list(copy.glob("*.wandb.synced")):  # its exit code is 0 in any case
            return ""
    output = clean(f"{done.stdout}\n{done.stderr}")
    return f"W&B: {path} was not uploaded: {_last_error(output)[:MOST_CHARACTERS]}"


def _run_wandb(python: Path, run: Path) -> subprocess.CompletedProcess[str]:
    """Run `wandb sync` on a folder, in the folder that holds it."""
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    home = str(run.parent)
    return subprocess.run(
        [str(python), "-I", "-m", "wandb", "sync", str(run)],
        cwd=home,
        env=clean_environment(HOME=home, **variables),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )


def _last_error(output: str) -> str:
    """Return the last line that speaks of an error; without one, the last that says anything."""
    lines = [line for line in output.split("\n") if line.strip()]
    if not lines:
        return "it said nothing"
    for line in reversed(lines):
        if "error" in line.lower():
            return line
    return lines[-1]
