"""Upload the W&B files of finished runs, when the user has a key. The runs themselves log offline and never see it.

A run left these files, so no link is followed; what was uploaded is noted in the archive, beside them. Not covered: what a run tells
W&B in a file of W&B's own format; two commands that upload the same run at once (W&B keeps one of it).
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
    """One line for every run that could not be uploaded; [] when all were, or there is no key. Raises Fault("disk", ...)."""
    problems = list[str]()
    for path in waiting(archive) if os.environ.get(KEY) else []:
        if problem := _foreign(path, archive) or _sync(path, python):
            problems.append(problem)
        else:
            append_line(
                archive.uploads, {"time": round(time.time(), 3), "run": _name(path, archive)}
            )
    return problems


def left(archive: Archive) -> list[Path]:
    """The W&B folders that its finished attempts left. Raises Fault("archive", ...) for a damaged archive."""
    return [
        path
        for folder in archive.attempts()
        for path in sorted(folder.work.glob("wandb/offline-run-*"))
    ]


def waiting(archive: Archive) -> list[Path]:
    """Those of them that were not uploaded yet."""
    known = {line.get("run") for line in read_events(archive.uploads)}
    return [path for path in left(archive) if _name(path, archive) not in known]


def _name(path: Path, archive: Archive) -> str:
    return path.relative_to(archive.folder).as_posix()


def _foreign(run: Path, archive: Archive) -> str:
    """Why this folder is not uploaded, or '': a link in it, or on the way to it, would take along a file of the user's."""
    way = [
        path
        for path in run.parents
        if path.is_relative_to(archive.folder) and path != archive.folder
    ]
    for path in chain(way, [run], run.rglob("*")):
        mode = path.lstat().st_mode
        if (
            not stat.S_ISDIR(mode)
            and not stat.S_ISREG(mode)
            and run / LOGS not in (path, *path.parents)
        ):
            return clean(
                f"W&B: {run} was not uploaded: {path} is a link, or no plain file"
            ).replace("\n", " ")
    return ""


def _sync(path: Path, python: Path) -> str:
    """Upload a copy: the archive stays as it is, and W&B's own debug logs, which hold a link to its cache, stay behind."""
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / path.name
        command = [str(python), "-I", "-m", "wandb", "sync", str(copy)]
        try:
            shutil.copytree(
                path,
                copy,
                symlinks=True,
                ignore=lambda folder, _: [LOGS] if Path(folder) == path else [],
            )
            done = subprocess.run(
                command,
                cwd=home,
                env=clean_environment(HOME=home, **variables),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"W&B: {path} was not uploaded within {SECONDS} s"
        except OSError as error:
            return clean(f"W&B: {path} was not uploaded: it could not be copied: {error}").replace(
                "\n", " "
            )[:300]
        if list(copy.glob("*.wandb.synced")):  # its exit code is 0 in any case
            return ""
    said = clean(f"{done.stdout}\n{done.stderr}").split("\n")
    errors = (
        [line for line in said if "error" in line.lower()]
        or [line for line in said if line.strip()]
        or ["it said nothing"]
    )
    return f"W&B: {path} was not uploaded: {errors[-1][:300]}"
