"""requirements.txt -> the interpreter that runs main.py. Never the harness's own: Aider pins about a hundred packages.

An environment is built once by uv, byte-compiled (importing torch uncompiled takes three times as long), and found
again by the hash of what it was built from. Wheels only: no code of a package runs while it is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from agent.datasets import cache_folder
from agent.errors import Fault, UserError
from agent.files import disk_faults, locked, read_json, write_json
from agent.secrets import clean_environment

REQUIRED = ("torch", "torchvision", "pytorch-lightning")
INSTALL_SECONDS = 3600
RECORD = "environment.json"  # written last: without it the environment is not whole
# What uv itself listens to; a mirror or a proxy is the user's business, a key is not uv's.
_UV_VARIABLES = ("HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Environment:
    """An interpreter and exactly what is installed for it."""

    python: Path
    key: str
    packages: dict[str, str]  # name -> version


def find_built(requirements: Path) -> Environment | None:
    """The environment of a requirements file, if it is there already."""
    folder = _folder(requirements)
    if not (folder / RECORD).is_file():
        return None
    return Environment(_python(folder), folder.name, read_json(folder / RECORD)["packages"])


def ensure(requirements: Path, announce: Callable[[str], None] = lambda text: None) -> Environment:
    """The environment of a requirements file, built on first need. Raises Fault("environment", ...)."""
    if built := find_built(requirements):
        return built
    folder = _folder(requirements)
    with locked(folder.with_name(f"{folder.name}.lock"), wait=True):
        if built := find_built(requirements):  # by the process that was waited for
            return built
        announce(f"building the experiments' environment from {requirements.name} (once; about 5 GB with CUDA)")
        _build(folder, requirements)
        record = {"requirements": requirements.read_text(encoding="utf-8"), "platform": _platform()}
        write_json(folder / RECORD, record | {"packages": _packages(_python(folder))})
    built = find_built(requirements)
    assert built
    return built


def existing(python: Path, required: tuple[str, ...] = REQUIRED) -> Environment:
    """An interpreter that the user has. Raises UserError when it lacks what a run imports."""
    if not python.is_file():
        raise UserError(f"--python {python}: no such file")
    packages = _packages(python)
    if missing := [name for name in required if name not in packages]:
        raise UserError(f"--python {python}: lacks {', '.join(missing)}: install scaffold/requirements.txt there")
    digest = hashlib.sha256(json.dumps([packages, _platform()]).encode()).hexdigest()[:12]
    return Environment(python.absolute(), digest, packages)


def _folder(requirements: Path) -> Path:
    content = "\n".join([requirements.read_text(encoding="utf-8"), _platform()])
    return cache_folder() / "environments" / hashlib.sha256(content.encode()).hexdigest()[:12]


def _build(folder: Path, requirements: Path) -> None:
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--quiet", "--only-binary", ":all:", "--compile-bytecode",
        "--python", str(_python(folder)), "--requirements", str(requirements))  # fmt: skip


def _packages(python: Path) -> dict[str, str]:
    listed = json.loads(_uv("pip", "list", "--quiet", "--format", "json", "--python", str(python)))
    return {item["name"].lower(): item["version"] for item in listed}


def _uv(*arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name in _UV_VARIABLES or name.startswith("UV_")}
    if "PIP_INDEX_URL" in os.environ:  # uv does not read pip's settings
        kept.setdefault("UV_DEFAULT_INDEX", os.environ["PIP_INDEX_URL"])
    try:
        done = subprocess.run([find_uv_bin(), *arguments], capture_output=True, text=True, check=False,
                              env=clean_environment(**kept), timeout=INSTALL_SECONDS)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Fault("environment", f"uv {arguments[0]} took more than {INSTALL_SECONDS} s") from error
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise Fault("environment", f"uv {' '.join(arguments[:2])} failed: {reason[:600]}")
    return done.stdout


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _platform() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor} {sys.platform} {platform.machine()}"
