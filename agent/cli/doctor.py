"""`launch.py doctor`: what is there, what is missing, and whether the main job can run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from agent.archive.provenance import HARNESS_PACKAGES, cores, version_of
from agent.cli.options import command_parser, places, sandbox
from agent.execution.environment.base import REQUIRED, existing, find_built
from agent.execution.sandbox.detect import find_sandbox, proofs
from agent.execution.sandbox.policy import ResourceLimits
from agent.experiment.settings import MODELS_BY_KEY
from agent.report.terminal.console import say
from agent.task.contract import REQUIREMENTS
from agent.task.scaffold import DEFAULT_SCAFFOLD
from agent.util.cache import cache_folder
from agent.util.errors import Fault, UserError
from agent.util.secrets import clean_environment

DISK_GIB = 8.0  # an environment with CUDA, a data set, and room for archives
FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
}


@dataclass(frozen=True)
class Diagnosis:
    """One line of the examination. needed: without it no experiment runs."""

    name: str
    ok: bool
    text: str
    needed: bool = True


def command(arguments: list[str]) -> int:
    """Examine this machine, as the arguments say."""
    about = "What is there and what is missing."
    given = command_parser("doctor", about, places, sandbox).parse_args(arguments)
    return examine(given.runs_dir, given.data_dir, given.python, given.sandbox)


def examine(runs: Path, data_dir: Path | None, python: Path | None, sandbox: str) -> int:
    """Print every finding; 0 when the main job can run, 1 when it cannot."""
    findings = [
        _interpreter(),
        _packages(),
        *_experiments_interpreter(python),
        *_confinement(sandbox),
        _data(data_dir),
        _model(),
        *_disk(runs),
    ]
    for finding in findings:
        mark = "ok     " if finding.ok else "MISSING" if finding.needed else "note   "
        say(f"{mark}  {finding.name:<12} {finding.text}")
    failed = [finding.name for finding in findings if finding.needed and not finding.ok]
    say(
        f"cannot run: {', '.join(failed)}"
        if failed
        else "ready: python launch.py ideas/frequency_domain_cnn.md --dataset digits"
    )
    return 1 if failed else 0


def _interpreter() -> Diagnosis:
    version = sys.version_info
    ok = (3, 10) <= version[:2] < (3, 13)
    return Diagnosis(
        "interpreter",
        ok,
        f"Python {version.major}.{version.minor}.{version.micro}"
        + ("" if ok else ": Aider needs 3.10 to 3.12"),
    )


def _packages() -> Diagnosis:
    versions = {name: version_of(name) for name in HARNESS_PACKAGES}
    missing = [name for name, version in versions.items() if version is None]
    text = (
        f"lacks {', '.join(missing)}: pip install -e . -c constraints.txt"
        if missing
        else f"aider-chat {versions['aider-chat']}"
    )
    return Diagnosis("packages", not missing, text)


def _experiments_interpreter(python: Path | None) -> list[Diagnosis]:
    """The interpreter of main.py, and the device that it sees."""
    try:
        environment = existing(python) if python else find_built(DEFAULT_SCAFFOLD / REQUIREMENTS)
    except (UserError, Fault) as error:
        return [Diagnosis("environment", False, str(error))]
    if environment is None:
        return [
            Diagnosis(
                "environment",
                True,
                "not built yet: the first experiment builds it, about 5 GB",
                needed=False,
            )
        ]
    versions = ", ".join(f"{name} {environment.packages.get(name, 'missing')}" for name in REQUIRED)
    found = Diagnosis(
        "environment", all(name in environment.packages for name in REQUIRED), versions
    )
    return [found, _device(environment.python)]


def _confinement(asked: str) -> list[Diagnosis]:
    """The sandbox in force, and three programs that try to get out of it."""
    try:
        sandbox = find_sandbox(asked, False, ResourceLimits())
    except UserError as error:
        return [Diagnosis("sandbox", False, str(error))]
    tried = [
        Diagnosis(
            "  escape", bool(why) or sandbox.kind == "none", f"{name}: {why or 'NOT stopped'}"
        )
        for name, why in proofs(sandbox).items()
    ]
    return [Diagnosis("sandbox", sandbox.kind != "none", sandbox.described, needed=False), *tried]


def _device(python: Path) -> Diagnosis:
    code = (
        "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'cpu')"
    )
    done = subprocess.run(
        [str(python), "-I", "-c", code],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    if done.returncode:
        return Diagnosis(
            "device",
            False,
            f"torch cannot be imported: {(done.stderr.strip().splitlines() or ['?'])[-1]}",
        )
    return Diagnosis("device", True, f"{done.stdout.strip()}, {cores()} cores")


def _data(data_dir: Path | None) -> Diagnosis:
    root = data_dir or (Path(os.environ["ASSAY_DATA"]) if "ASSAY_DATA" in os.environ else None)
    found = [name for name, folder in FOLDERS.items() if root and (root / folder).is_dir()]
    text = f"digits (bundled){''.join(f', {name}' for name in found)}"
    if root is None:
        text += "; others are downloaded on first use, or found with --data-dir or ASSAY_DATA"
    return Diagnosis(
        "data",
        root is None or root.is_dir(),
        text if root is None or root.is_dir() else f"{root}: no such folder",
    )


def _model() -> Diagnosis:
    keys = [key for key in MODELS_BY_KEY if os.environ.get(key)]
    text = (
        f"{MODELS_BY_KEY[keys[0]]} ({keys[0]} is set)"
        if keys
        else "no key is set: ideas with a recorded session are replayed, others need a key"
    )
    return Diagnosis("model", bool(keys), text, needed=False)


def _disk(runs: Path) -> list[Diagnosis]:
    return [_room("runs", runs, 1.0), _room("cache", cache_folder(), DISK_GIB)]


def _room(name: str, folder: Path, gib: float) -> Diagnosis:
    place = next(
        parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists()
    )
    free = shutil.disk_usage(place).free / 2**30
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Diagnosis(name, False, f"{place} cannot be written")
    return Diagnosis(
        name,
        free >= gib,
        f"{folder}: {free:.0f} GiB free" + ("" if free >= gib else f", {gib:.0f} are needed"),
    )
