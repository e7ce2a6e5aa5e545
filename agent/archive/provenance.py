"""This module tells where an archive's numbers come from: commit, changes, versions, machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from agent.util.repository import REPOSITORY

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
    """Return where numbers come from, for config.json.

    environment: the identity of the experiments' interpreter.
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
    """Return what the runs compute on, as far as it decides a number.

    That is the GPU where there may be one, and the processor.
    """
    parts = [_processor(), f"{cores()} cores"]
    gpu = "" if device == "cpu" else _gpu()
    if gpu:
        parts.insert(0, gpu)
    return f"{device}: {', '.join(parts)}"


def _gpu() -> str:
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    done = subprocess.run(
        [tool, "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        return ""
    return done.stdout.split("\n")[0].strip()


def _processor() -> str:
    name = _model_name(Path("/proc/cpuinfo"))
    return name or platform.processor() or platform.machine()


def _model_name(cpuinfo: Path) -> str:
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""


def commit() -> str | None:
    """Return the commit of the checkout that Assay runs from, None outside of one."""
    return _git("rev-parse", "HEAD").strip() or None


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def version_of(name: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
