"""The checks before a run is spent: guard, lint, smoke. They cost seconds; a run costs minutes.

Liveness and the judge join this list: a check is a function from a Candidate to a Check.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.archive import RunFolder
from agent.datasets import Dataset
from agent.environment import Environment
from agent.failure import explain
from agent.files import copy_files, read_untrusted, write_json
from agent.lint import flake8
from agent.run import Budget, RunStatus, environment_variables
from agent.runner import Request, execute
from agent.text import bound, clean, finite
from agent.workspace import MAIN, Scaffold, Workspace

SMOKE_SECONDS = 180
MAX_MAIN_BYTES = 2**18
ARMS = ("control", "idea")


@dataclass(frozen=True)
class Check:
    """What one check found. status says which kind of failed attempt it makes; None: passed."""

    name: str
    status: RunStatus | None = None
    message: str = ""  # what to do about it, for the coder
    seconds: float = 0.0


@dataclass(frozen=True)
class GateReport:
    """All checks that were made; the first that fails is the last."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> Check | None:
        return next((check for check in self.checks if check.status), None)

    @property
    def seconds(self) -> float:
        return sum(check.seconds for check in self.checks)

    def save(self, folder: RunFolder) -> None:
        write_json(folder.gate, {"checks": [asdict(check) for check in self.checks]})


@dataclass(frozen=True)
class Candidate:
    """The code that wants a run, and what it would run with."""

    workspace: Workspace
    scaffold: Scaffold
    pristine: Path  # the workspace as it was before any edit
    folder: RunFolder
    environment: Environment
    dataset: Dataset | None
    budget: Budget


def inspect(candidate: Candidate) -> GateReport:
    """Guard, lint, smoke; stops at the first that fails."""
    checks: list[Check] = []
    for check in (guard, lint, smoke):
        checks.append(check(candidate))
        if checks[-1].status:
            break
    report = GateReport(tuple(checks))
    report.save(candidate.folder)
    return report


def guard(candidate: Candidate) -> Check:
    """Only the editable files may differ from the scaffold, and they must be plain files."""
    workspace, pristine = candidate.workspace, candidate.pristine
    names = {path.relative_to(root) for root in (workspace.folder, pristine) for path in root.rglob("*") if not path.is_dir()}
    touched = [str(name) for name in sorted(names) if str(name) not in workspace.editable
               and "__pycache__" not in name.parts and not _same(workspace.folder / name, pristine / name)]  # fmt: skip
    if touched:
        files = " and ".join(workspace.editable)
        return Check("guard", RunStatus.GUARD_FAILED, f"{', '.join(touched)} may not be changed: put everything in {files}.")
    return Check("guard")


def lint(candidate: Candidate) -> Check:
    size = (candidate.workspace.folder / MAIN).stat().st_size
    if size > MAX_MAIN_BYTES:
        return Check("lint", RunStatus.LINT_FAILED, f"{MAIN} has {size:,} bytes, more than a person can read: {MAX_MAIN_BYTES:,} at most.")
    findings = flake8(candidate.workspace.folder / MAIN)
    if findings:
        return Check("lint", RunStatus.LINT_FAILED, f"flake8 finds what would stop the program:\n{bound(clean(findings))}")
    return Check("lint")


def smoke(candidate: Candidate) -> Check:
    """A few steps of every early epoch and a prediction, in both arms, side by side."""
    if candidate.scaffold.open or candidate.dataset is None:
        return Check("smoke", message="skipped: an open scaffold has no protocol to stop it after a few steps")
    with ThreadPoolExecutor(len(ARMS)) as pool:
        results = list(pool.map(lambda arm: _smoke_arm(candidate, arm), ARMS))
    seconds = max(seconds for _, seconds in results)
    for arm, (problem, _) in zip(ARMS, results, strict=True):
        if problem:
            switched = "on" if arm == "idea" else "off"
            text = f"After a few steps with IDEA {switched}, before any full run:\n{problem}"
            return Check("smoke", RunStatus.SMOKE_FAILED, text, seconds)
    return Check("smoke", seconds=seconds)


def _smoke_arm(candidate: Candidate, arm: str) -> tuple[str, float]:
    """What is wrong with one arm ('' for nothing), and the seconds it took."""
    folder, threads = candidate.folder.smoke(arm), max(1, candidate.budget.threads // 2)
    budget = replace(candidate.budget, threads=threads)
    copy_files(candidate.workspace.folder, folder)
    logs = folder / "stdout.log", folder / "stderr.log"
    variables = environment_variables(candidate.dataset, budget, arm=arm, stage="smoke")
    execution = execute(Request((str(candidate.environment.python), MAIN), folder, *logs, SMOKE_SECONDS, variables, threads))
    if not execution.ok:
        output = [(read_untrusted(log) or b"").decode("utf-8", "replace") for log in logs]
        return explain(execution, output[0], output[1], SMOKE_SECONDS), execution.seconds
    return _trace_problem(folder / "trace.json"), execution.seconds


def _trace_problem(path: Path) -> str:
    try:
        losses = json.loads(read_untrusted(path) or b"")["losses"]
        fine = [finite(loss) is not None for loss in losses]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "It ended without an error, but protocol.run(Model) was not reached: call it last, as the scaffold does."
    if not losses:
        return "It made no training step."
    if not all(fine):
        return f"The training loss at step {fine.index(False) + 1} is {losses[fine.index(False)]}: it must stay finite."
    return ""


def _same(one: Path, other: Path) -> bool:
    plain = all(path.is_file() and not path.is_symlink() for path in (one, other))
    if not plain:
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
