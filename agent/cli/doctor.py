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
from agent.task.catalogue import CATALOGUE
from agent.task.contract import REQUIREMENTS
from agent.task.scaffold import DEFAULT_SCAFFOLD
from agent.util.cache import cache_folder
from agent.util.errors import Fault, UserError
from agent.util.secrets import clean_environment

DISK_GIB = 8.0  # an environment with CUDA, a data set, and room for archives


@dataclass(frozen=True)
class Diagnosis:
    """One line of the examination."""

    name: str
    ok: bool
    text: str
    needed: bool = True  # without it no experiment runs

    @property
    def mark(self) -> str:
        """The word at the beginning of the line."""
        if self.ok:
            return "ok"
        return "MISSING" if self.needed else "note"


def command(arguments: list[str]) -> int:
    """Examine this machine, as the arguments say."""
    about = "What is there and what is missing."
    given = command_parser("doctor", about, places, sandbox).parse_args(arguments)
    return examine(given.runs_dir, given.data_dir, given.python, given.sandbox)


def examine(
    runs: Path,
    data_dir: Path | None,
    python: Path | None,
    sandbox: str,
) -> int:
    """Print every finding; 0 when the main job can run, 1 when it cannot."""
    findings = [
        _interpreter(),
        _packages(),
        *_experiments_interpreter(python),
        *_confinement(sandbox),
        _data(data_dir),
        _model(),
        _disk("runs", runs, 1.0),
        _disk("cache", cache_folder(), DISK_GIB),
    ]
    for finding in findings:
        say(f"{finding.mark:<7}  {finding.name:<12} {finding.text}")
    failed = [finding.name for finding in findings if finding.needed and not finding.ok]
    if failed:
        say(f"cannot run: {', '.join(failed)}")
        return 1
    say("ready: python launch.py ideas/frequency_domain_cnn.md --dataset digits")
    return 0


def _interpreter() -> Diagnosis:
    version = sys.version_info
    text = f"Python {version.major}.{version.minor}.{version.micro}"
    if (3, 10) <= version[:2] < (3, 13):
        return Diagnosis("interpreter", True, text)
    return Diagnosis("interpreter", False, f"{text}: Aider needs 3.10 to 3.12")


def _packages() -> Diagnosis:
    versions = {name: version_of(name) for name in HARNESS_PACKAGES}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        text = f"lacks {', '.join(missing)}: pip install -e . -c constraints.txt"
        return Diagnosis("packages", False, text)
    return Diagnosis("packages", True, f"aider-chat {versions['aider-chat']}")


def _experiments_interpreter(python: Path | None) -> list[Diagnosis]:
    """Examine the interpreter of main.py, and the device that it sees."""
    try:
        environment = existing(python) if python else find_built(DEFAULT_SCAFFOLD / REQUIREMENTS)
    except (UserError, Fault) as error:
        return [Diagnosis("environment", False, str(error))]
    if environment is None:
        text = "not built yet: the first experiment builds it, about 5 GB"
        return [Diagnosis("environment", True, text, needed=False)]
    versions = []
    for name in REQUIRED:
        versions.append(f"{name} {environment.packages.get(name, 'missing')}")
    complete = all(name in environment.packages for name in REQUIRED)
    return [
        Diagnosis("environment", complete, ", ".join(versions)),
        _device(environment.python),
    ]


def _confinement(choice: str) -> list[Diagnosis]:
    """Examine the sandbox in force, with three programs that try to get out of it."""
    try:
        sandbox = find_sandbox(choice, False, ResourceLimits())
    except UserError as error:
        return [Diagnosis("sandbox", False, str(error))]
    confined = sandbox.kind != "none"
    findings = [Diagnosis("sandbox", confined, sandbox.described, needed=False)]
    for name, stopped_by in proofs(sandbox).items():
        ok = bool(stopped_by) or not confined
        findings.append(Diagnosis("  escape", ok, f"{name}: {stopped_by or 'NOT stopped'}"))
    return findings


def _device(python: Path) -> Diagnosis:
    name = "torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'cpu'"
    done = subprocess.run(
        [str(python), "-I", "-c", f"import torch; print({name})"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["?"]
        return Diagnosis("device", False, f"torch cannot be imported: {lines[-1]}")
    return Diagnosis("device", True, f"{done.stdout.strip()}, {cores()} cores")


def _data(data_dir: Path | None) -> Diagnosis:
    root = data_dir
    if root is None and "ASSAY_DATA" in os.environ:
        root = Path(os.environ["ASSAY_DATA"])
    if root is None:
        text = "others are downloaded on first use, or found with --data-dir or ASSAY_DATA"
        return Diagnosis("data", True, f"digits (bundled); {text}")
    if not root.is_dir():
        return Diagnosis("data", False, f"{root}: no such folder")
    names = ["digits (bundled)"]
    for dataset in CATALOGUE.values():
        if dataset.folder and (root / dataset.folder).is_dir():
            names.append(dataset.name)
    return Diagnosis("data", True, ", ".join(names))


def _model() -> Diagnosis:
    for key, model in MODELS_BY_KEY.items():
        if os.environ.get(key):
            return Diagnosis("model", True, f"{model} ({key} is set)", needed=False)
    text = "no key is set: ideas with a recorded session are replayed, others need a key"
    return Diagnosis("model", False, text, needed=False)


def _disk(name: str, folder: Path, gib: float) -> Diagnosis:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Diagnosis(name, False, f"{place} cannot be written")
    text = f"{folder}: {free:.0f} GiB free"
    if free >= gib:
        return Diagnosis(name, True, text)
    return Diagnosis(name, False, f"{text}, {gib:.0f} are needed")
