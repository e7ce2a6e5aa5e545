"""Where an archive's numbers come from: commit, uncommitted changes, versions, machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
HARNESS_PACKAGES = (
    "aider-chat",
    "litellm",
    "openai",
    "jinja2",
    "numpy",
    "scikit-learn",
    "flake8",
    "packaging",
    "uv",
)


def provenance(environment: dict[str, Any]) -> dict[str, Any]:
    """Return where numbers come from, for config.json; environment: the identity of the experiments' interpreter.

    commit is None where Assay does not run from a git checkout.
    """
    return {
        "commit": commit(),
        "uncommitted": _git("diff", "HEAD"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "harness_packages": {name: version_of(name) for name in HARNESS_PACKAGES},
        "environment": environment,
    }


def device_name(device: str) -> str:
    """What the runs compute on, as far as it decides a number: the GPU where there may be one, and the processor."""
    gpu = ""
    if device != "cpu" and (tool := shutil.which("nvidia-smi")):
        done = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        gpu = done.stdout.split("\n")[0].strip() if done.returncode == 0 else ""
    return f"{device}: {gpu + ', ' if gpu else ''}{_processor()}, {cores()} cores"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    named = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""
    )
    return named or platform.processor() or platform.machine()


def commit() -> str | None:
    return _git("rev-parse", "HEAD").strip() or None


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
