"""The checks before a run is spent: guard (files), requirements, lint, code (what main.py may not do), smoke, liveness. They cost seconds.

Each is a function from a Candidate to a Check; the first that fails is the last, and its message goes to the coder. The
judge is asked afterwards (agent/gate/judge.py): its doubts are told and printed, and stop nothing.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from agent.archive.gate_report import Check, Facts, GateReport
from agent.archive.paths import RunFolder
from agent.archive.run import RunStatus
from agent.execution.environment.base import Environment
from agent.execution.failure import explain
from agent.execution.local import execute
from agent.execution.workbench import Workbench
from agent.gate.forbidden_code import breaches
from agent.gate.liveness import Trace, changed_recipe, compare, not_live, read_trace
from agent.gate.syntax import unreadable
from agent.task.contract import MAIN, REQUIREMENTS, environment_variables
from agent.task.scaffold import Workspace
from agent.util.files import copy_files, read_untrusted_text
from agent.util.flake8 import flake8
from agent.util.text import bound, clean

SMOKE_SECONDS, SMOKE_EPOCHS = 180, 3

MAX_MAIN_BYTES = 2**18

ARMS = ("control", "idea")


@dataclass(frozen=True)
class Candidate:
    """The code that wants a run, and what it would run with."""

    workspace: Workspace
    pristine: RunFolder  # run_0: the workspace as it was before any edit, and its trace
    folder: RunFolder
    workbench: Workbench
    varies: tuple[
        str, ...
    ] = ()  # of the training recipe, what the idea itself says that it changes

    def source(self) -> tuple[str, str]:
        """main.py before any edit, and now."""
        before, now = self.pristine.code / MAIN, self.workspace.folder / MAIN
        return before.read_bytes().decode("utf-8", "replace"), now.read_bytes().decode(
            "utf-8", "replace"
        )


def inspect(candidate: Candidate) -> GateReport:
    """Guard, requirements, lint, code, smoke, liveness; stops at the first that fails."""
    checks: list[Check] = []
    facts: Facts | None = None
    for check in (guard, requirements, lint, forbidden):
        checks.append(check(candidate))
        if checks[-1].status:
            break
    else:
        smoked, traces = smoke(candidate)
        checks.append(smoked)
        if traces:
            facts = compare(*candidate.source(), baseline_traces(candidate.pristine), *traces)
            checks.append(liveness(candidate, facts))
    report = GateReport(tuple(checks), facts)
    report.save(candidate.folder)
    return report


def guard(candidate: Candidate) -> Check:
    """Only the editable files may differ from the scaffold, and they must be plain files."""
    workspace, pristine = candidate.workspace, candidate.pristine.code
    names = {
        path.relative_to(root)
        for root in (workspace.folder, pristine)
        for path in root.rglob("*")
        if not path.is_dir()
    }
    touched = [
        str(name)
        for name in sorted(names)
        if str(name) not in workspace.editable
        and "__pycache__" not in name.parts
        and not _same(workspace.folder / name, pristine / name)
    ]
    if touched:
        files = " and ".join(workspace.editable)
        return Check(
            "guard",
            RunStatus.GUARD_FAILED,
            f"{', '.join(touched)} may not be changed: put everything in {files}.",
        )
    return Check("guard")


def requirements(candidate: Candidate) -> Check:
    """What the coder added to requirements.txt may be added, and is installed."""
    started = time.monotonic()
    problem = candidate.workbench.provide(
        candidate.workspace.folder / REQUIREMENTS, candidate.folder
    )
    seconds = round(time.monotonic() - started, 1)  # nothing to say of where nothing is installed
    if problem:
        return Check(
            "requirements",
            RunStatus.REQUIREMENTS_FAILED,
            f"{REQUIREMENTS} cannot be installed:\n{clean(problem)}",
            seconds,
        )
    return Check("requirements", seconds=seconds)


def lint(candidate: Candidate) -> Check:
    main = candidate.workspace.folder / MAIN
    if (size := main.stat().st_size) > MAX_MAIN_BYTES:
        return Check(
            "lint",
            RunStatus.LINT_FAILED,
            f"{MAIN} has {size:,} bytes, more than a person can read: {MAX_MAIN_BYTES:,} at most.",
        )
    findings = flake8(main)
    if findings:
        return Check(
            "lint",
            RunStatus.LINT_FAILED,
            f"flake8 finds what would stop the program:\n{bound(clean(findings))}",
        )
    if problem := unreadable(main.read_bytes()):
        return Check("lint", RunStatus.LINT_FAILED, f"{MAIN} cannot be checked: {clean(problem)}.")
    return Check("lint")


def forbidden(candidate: Candidate) -> Check:
    """What main.py must leave to protocol.py; an open scaffold has none to leave it to."""
    if candidate.workbench.scaffold.open:
        return Check("code", message="skipped: an open scaffold may do what it likes")
    found = breaches(*candidate.source())
    if found:
        listed = "\n".join(f"- {breach}" for breach in found[:5])
        return Check(
            "code",
            RunStatus.GUARD_FAILED,
            f"main.py does what it may not:\n{clean(listed)}\nTake it out.",
        )
    return Check("code")


def smoke(candidate: Candidate) -> tuple[Check, tuple[Trace, Trace] | None]:
    """A few steps of every early epoch and a prediction, in both arms, side by side."""
    if candidate.workbench.scaffold.open or candidate.workbench.dataset is None:
        return Check(
            "smoke",
            message="skipped: an open scaffold has no protocol to stop it after a few steps",
        ), None
    workbench, code, folder = candidate.workbench, candidate.workspace.folder, candidate.folder
    environment = workbench.environment_of(folder)
    with ThreadPoolExecutor(len(ARMS)) as pool:
        results = list(
            pool.map(
                lambda arm: smoke_arm(workbench, environment, code, folder.smoke(arm), arm), ARMS
            )
        )
    seconds = max(seconds for _, _, seconds in results)
    for arm, (_, problem, _) in zip(ARMS, results, strict=True):
        if problem:
            switched = "on" if arm == "idea" else "off"
            text = f"After a few steps with IDEA {switched}, before any full run:\n{problem}"
            return Check("smoke", RunStatus.SMOKE_FAILED, text, seconds), None
    control, idea = results[0][0], results[1][0]
    return Check("smoke", seconds=seconds), (control, idea) if control and idea else None


def liveness(candidate: Candidate, facts: Facts) -> Check:
    """Switching the idea on must change the training, and nothing of its recipe that the idea does not name."""
    if message := not_live(*candidate.source(), facts):
        return Check("liveness", RunStatus.NOT_LIVE, message)
    if message := changed_recipe(facts, candidate.varies):
        return Check("liveness", RunStatus.RECIPE_CHANGED, message)
    return Check("liveness")


def smoke_arm(
    workbench: Workbench, environment: Environment, code: Path, folder: Path, arm: str
) -> tuple[Trace | None, str, float]:
    """The trace of one arm of this code, what is wrong with it ('' for nothing), and the seconds it took."""
    threads = max(1, workbench.budget.threads // 2)
    epochs = min(
        workbench.budget.epochs, SMOKE_EPOCHS
    )  # what begins at a part of EPOCHS begins within these
    copy_files(code, folder)
    logs = folder / "stdout.log", folder / "stderr.log"
    variables = environment_variables(
        workbench.dataset,
        replace(workbench.budget, threads=threads, epochs=epochs),
        arm=arm,
        stage="smoke",
    )
    variables |= environment.variables
    execution = execute(workbench.request(folder, logs, SMOKE_SECONDS, variables, threads))
    if not execution.ok:
        stdout, stderr = map(read_untrusted_text, logs)
        return None, explain(execution, stdout, stderr), execution.seconds
    return *read_trace(folder / "trace.json"), execution.seconds


def smoke_baseline(workbench: Workbench, run_0: RunFolder) -> str:
    """Leave the trace of the scaffold as it is beside run_0; twice where the device may not repeat itself. What went wrong, or ''."""
    environment = workbench.environment_of(run_0)
    trace, problem, _ = smoke_arm(
        workbench, environment, run_0.code, run_0.smoke("control"), "control"
    )
    if trace and trace.device != "cpu":
        _, problem, _ = smoke_arm(
            workbench, environment, run_0.code, run_0.smoke("control_again"), "control"
        )
    return problem


def baseline_traces(run_0: RunFolder) -> list[Trace]:
    found = [
        read_trace(run_0.smoke(name) / "trace.json")[0] for name in ("control", "control_again")
    ]
    return [trace for trace in found if trace]


def _same(one: Path, other: Path) -> bool:
    plain = all(path.is_file() and not path.is_symlink() for path in (one, other))
    if not plain:
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
