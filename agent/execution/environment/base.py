"""The interpreter that runs main.py, built from a requirements.txt.

It is never the harness's own: Aider pins about a hundred packages. An environment is built once by
uv, byte-compiled (importing torch uncompiled takes three times as long), and found again by the
hash of what it was built from. Wheels only: no code of a package runs while it is installed. What a
coder adds lies beside it and changes nothing of it (agent/execution/environment/additions.py).
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from agent.execution.environment.uv import check_room, uv
from agent.util.cache import cache_folder
from agent.util.errors import UserError
from agent.util.files import read_json, write_json, write_text
from agent.util.hashes import short_hash
from agent.util.locks import locked

REQUIRED = ("torch", "torchvision", "pytorch-lightning")
INSTALL_SECONDS = 3600
NEEDED_BYTES = 6 * 2**30  # torch with CUDA takes 5.5 GiB
RECORD = "environment.json"  # written last: without it the environment is not whole
_HOOK = Path(__file__).with_name("import_hook.py")
_VARIABLE = "ASSAY_PACKAGES"  # that import_hook.py reads


@dataclass(frozen=True)
class Environment:
    """An interpreter and exactly what is installed for it."""

    python: Path
    key: str
    packages: dict[str, str]  # name -> version
    fixed: bool = False  # the user's own: nothing is installed for it
    # The folder of the packages that a coder added; runs see it last on their path.
    folder: Path | None = None
    added: tuple[str, ...] = ()  # names of the added packages, which are in `packages` too

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that a run in it needs."""
        return {_VARIABLE: str(self.folder)} if self.folder else {}

    @property
    def identity(self) -> dict[str, Any]:
        """Return what tells it from every other, for config.json of an experiment."""
        return {
            "key": self.key,
            "python": str(self.python),
            "packages": self.packages,
        }

    def record(self) -> dict[str, Any]:
        """Return the content of a run folder's environment.json."""
        return {
            "key": self.key,
            "packages": self.packages,
            "added": {name: self.packages[name] for name in self.added},
        }


def find_built(requirements: Path) -> Environment | None:
    """Return the environment of a requirements file, if it is there already."""
    folder = _folder(requirements)
    if not (folder / RECORD).is_file():
        return None
    record = read_json(folder / RECORD)
    return Environment(_python(folder), folder.name, record["packages"])


def ensure(requirements: Path, announce: Callable[[str], None] = lambda text: None) -> Environment:
    """Return the environment of a requirements file, built on first need.

    Raises Fault("environment" or "disk", ...).
    """
    folder = _folder(requirements)
    if not find_built(requirements) or _hook_files(folder):
        with locked(folder.with_name(f"{folder.name}.lock"), wait=True):
            if not find_built(requirements):  # by the process that was waited for
                announce(
                    f"building the experiments' environment from {requirements.name} "
                    "(once; about 5 GB with CUDA)"
                )
                _build(folder, requirements)
                record = {
                    "requirements": requirements.read_text(encoding="utf-8"),
                    "platform": _platform(),
                    "packages": _packages(_python(folder)),
                }
                write_json(folder / RECORD, record)
            for path, text in _hook_files(folder).items():  # before any server starts there
                write_text(path, text)
    built = find_built(requirements)
    assert built
    return built


def existing(python: Path, required: tuple[str, ...] = REQUIRED) -> Environment:
    """Return an interpreter that the user has as an environment.

    Raises UserError when it lacks what a run imports.
    """
    if not python.is_file():
        raise UserError(f"--python {python}: no such file")
    packages = _packages(python)
    missing = ", ".join(name for name in required if name not in packages)
    if missing:
        advice = "install scaffold/requirements.txt there"
        raise UserError(f"--python {python}: lacks {missing}: {advice}")
    key = short_hash(json.dumps([packages, _platform()]), 12)
    return Environment(python.absolute(), key, packages, fixed=True)


def _packages(python: Path) -> dict[str, str]:
    command = ["pip", "list", "--quiet", "--format", "json", "--python", str(python)]
    listed = uv(*command, seconds=INSTALL_SECONDS).or_fault("listing packages")
    packages: dict[str, str] = {}
    for item in json.loads(listed):
        packages[canonicalize_name(item["name"])] = item["version"]
    return packages


def _folder(requirements: Path) -> Path:
    content = "\n".join([requirements.read_text(encoding="utf-8"), _platform()])
    return cache_folder() / "environments" / short_hash(content, 12)


def _build(folder: Path, requirements: Path) -> None:
    check_room(folder, NEEDED_BYTES)
    make = ["venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]
    uv(*make, seconds=INSTALL_SECONDS).or_fault("making an environment")
    install = [
        "pip",
        "install",
        "--quiet",
        "--only-binary",
        ":all:",
        "--compile-bytecode",
        "--python",
        str(_python(folder)),
        "--requirements",
        str(requirements),
    ]
    uv(*install, seconds=INSTALL_SECONDS).or_fault(f"installing {requirements.name}")


def _hook_files(folder: Path) -> dict[Path, str]:
    """Return the files that have yet to be written so that import_hook.py is in force."""
    (site,) = folder.glob("lib/python*/site-packages")
    files = {
        site / "assay_packages.py": _HOOK.read_text(),
        site / "assay_packages.pth": "import assay_packages\n",
    }
    missing = {}
    for path, text in files.items():
        if not path.is_file() or path.read_text() != text:
            missing[path] = text
    return missing


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _platform() -> str:
    major, minor, *_ = sys.version_info
    return f"{major}.{minor} {sys.platform} {platform.machine()}"
