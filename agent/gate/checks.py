"""The checks before a run is spent: guard (files), requirements, lint, code (what main.py may not
do), smoke, liveness. They cost seconds.

Each is a function from a Candidate to a Check; the first that fails is the last, and its message
goes to the coder. The judge is asked afterwards (agent/gate/judge.py): its doubts are printed and
passed on, and stop nothing.
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
from agent.gate.liveness import changed_recipe, compare, not_live
from agent.gate.syntax import unreadable
from agent.gate.trace import Trace, read_trace
from agent.task.contract import MAIN, REQUIREMENTS, environment_variables
from agent.task.scaffold import Workspace
from agent.util.files import copy_files, read_untrusted_text
from agent.util.flake8 import flake8
from agent.util.text import bound, clean

SMOKE_SECONDS = 180
SMOKE_EPOCHS = 3  # what begins at a part of EPOCHS begins within these

MAX_MAIN_BYTES = 2**18

MOST_BREACHES = 5  # in one message

ARMS = ("control", "idea")


@dataclass(frozen=True)
class Candidate:
    """The code that wants a run, and what it would run with."""

    workspace: Workspace
    pristine: RunFolder  # run_0: the workspace as it was before any edit, and its trace
    folder: RunFolder
    workbench: Workbench
    varies: tuple[str, ...] = ()  # parts of the training recipe that the idea says it changes

    def source(self) -> tuple[str, str]:
        """Return main.py before any edit, and now."""
        before = (self.pristine.code / MAIN).read_bytes()
        now = (self.workspace.folder / MAIN).read_bytes()
        return before.decode("utf-8", "replace"), now.decode("utf-8", "replace")


@dataclass(frozen=True)
class SmokedArm:
    """The outcome of one arm's smoke run."""

    trace: Trace | None
    problem: str  # what is wrong; '' where nothing is
    seconds: float


def inspect(candidate: Candidate) -> GateReport:
    """Make the checks in their order up to the first that fails, and write the report down."""
    checks: list[Check] = []
    facts: Facts | None = None
    for check in (only_editable_files, requirements, lint, allowed_code):
        checks.append(check(candidate))
        if checks[-1].status:
            break
    else:
        smoked, traces = smoke(candidate)
        checks.append(smoked)
        if traces:
            baseline = baseline_traces(candidate.pristine)
            facts = compare(*candidate.source(), baseline, *traces)
            checks.append(liveness(candidate, facts))
    report = GateReport(tuple(checks), facts)
    report.save(candidate.folder)
    return report


def only_editable_files(candidate: Candidate) -> Check:
    """Check that only the editable files differ from the scaffold, and that all are plain files."""
    workspace = candidate.workspace
    pristine = candidate.pristine.code
    touched = []
    for name in sorted(_file_names(workspace.folder) | _file_names(pristine)):
        if str(name) in workspace.editable or "__pycache__" in name.parts:
            continue
        if not _same_file(workspace.folder / name, pristine / name):
            touched.append(str(name))
    if touched:
        files = " and ".join(workspace.editable)
        message = f"{', '.join(touched)} may not be changed: put everything in {files}."
        return Check("guard", RunStatus.GUARD_FAILED, message)
    return Check("guard")


def _file_names(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}


def _same_file(file: Path, other: Path) -> bool:
    if file.is_symlink() or other.is_symlink():
        both = file.is_symlink() and other.is_symlink()
        return both and file.readlink() == other.readlink()
    if not file.is_file() or not other.is_file():
        return False
    if file.stat().st_size != other.stat().st_size:
        return False
    return file.read_bytes() == other.read_bytes()


def requirements(candidate: Candidate) -> Check:
    """Check that what the coder added to requirements.txt may be added, and install it."""
    started = time.monotonic()
    file = candidate.workspace.folder / REQUIREMENTS
    problem = candidate.workbench.provide(file, candidate.folder)
    seconds = round(time.monotonic() - started, 1)  # 0.0 where nothing is installed
    if problem:
        message = f"{REQUIREMENTS} cannot be installed:\n{clean(problem)}"
        return Check("requirements", RunStatus.REQUIREMENTS_FAILED, message, seconds)
    return Check("requirements", seconds=seconds)


def lint(candidate: Candidate) -> Check:
    """Check that main.py can be read by a person, by Python and by this gate, and would start."""
    main = candidate.workspace.folder / MAIN
    message = ""
    size = main.stat().st_size
    if size > MAX_MAIN_BYTES:
        most = f"{MAX_MAIN_BYTES:,} at most"
        message = f"{MAIN} has {size:,} bytes, more than a person can read: {most}."
    elif findings := flake8(main):
        message = f"flake8 finds what would stop the program:\n{bound(clean(findings))}"
    elif problem := unreadable(main.read_bytes()):
        message = f"{MAIN} cannot be checked: {clean(problem)}."
    if message:
        return Check("lint", RunStatus.LINT_FAILED, message)
    return Check("lint")


def allowed_code(candidate: Candidate) -> Check:
    """Check that main.py leaves to protocol.py what belongs to it; an open scaffold has no such."""
    if candidate.workbench.scaffold.open:
        return Check("code", message="skipped: an open scaffold may do what it likes")
    refused = breaches(*candidate.source())
    if refused:
        lines = [f"- {breach}" for breach in refused[:MOST_BREACHES]]
        text = clean("\n".join(lines))
        message = f"main.py does what it may not:\n{text}\nTake it out."
        return Check("code", RunStatus.GUARD_FAILED, message)
    return Check("code")


def smoke(candidate: Candidate) -> tuple[Check, tuple[Trace, Trace] | None]:
    """Run a few steps of every early epoch and a prediction, in both arms, side by side.

    Return the check, and the traces of control and idea where it passed.
    """
    workbench = candidate.workbench
    if workbench.scaffold.open or workbench.dataset is None:
        message = "skipped: an open scaffold has no protocol to stop it after a few steps"
        return Check("smoke", message=message), None
    code = candidate.workspace.folder
    environment = workbench.environment_of(candidate.folder)

    def run_arm(arm: str) -> SmokedArm:
        folder = candidate.folder.smoke(arm)
        return smoke_arm(workbench, environment, code, folder, arm)

    with ThreadPoolExecutor(len(ARMS)) as pool:
        control, idea = pool.map(run_arm, ARMS)
    seconds = max(control.seconds, idea.seconds)
    for switched, arm in (("off", control), ("on", idea)):
        if arm.problem:
            before = f"After a few steps with IDEA {switched}, before any full run"
            message = f"{before}:\n{arm.problem}"
            return Check("smoke", RunStatus.SMOKE_FAILED, message, seconds), None
    passed = Check("smoke", seconds=seconds)
    if control.trace and idea.trace:
        return passed, (control.trace, idea.trace)
    return passed, None


def liveness(candidate: Candidate, facts: Facts) -> Check:
    """Check that the idea changes the training, and of its recipe only what it names."""
    message = not_live(*candidate.source(), facts)
    if message:
        return Check("liveness", RunStatus.NOT_LIVE, message)
    message = changed_recipe(facts, candidate.varies)
    if message:
        return Check("liveness", RunStatus.RECIPE_CHANGED, message)
    return Check("liveness")


def smoke_arm(
    workbench: Workbench,
    environment: Environment,
    code: Path,
    folder: Path,
    arm: str,
) -> SmokedArm:
    """Run a few steps of one arm of this code in a folder, and read the trace that it leaves."""
    threads = max(1, workbench.budget.threads // 2)
    epochs = min(workbench.budget.epochs, SMOKE_EPOCHS)
    budget = replace(workbench.budget, threads=threads, epochs=epochs)
    copy_files(code, folder)
    logs = (folder / "stdout.log", folder / "stderr.log")
    variables = environment_variables(workbench.dataset, budget, arm=arm, stage="smoke")
    variables |= environment.variables
    request = workbench.request(folder, logs, SMOKE_SECONDS, variables, threads)
    execution = execute(request)
    if execution.ok:
        trace, problem = read_trace(folder / "trace.json")
        return SmokedArm(trace, problem, execution.seconds)
    output, errors = map(read_untrusted_text, logs)
    return SmokedArm(None, explain(execution, output, errors), execution.seconds)


def smoke_baseline(workbench: Workbench, run_0: RunFolder) -> str:
    """Leave the trace of the scaffold as it is beside run_0, and return what went wrong, or ''.

    Where the device may not repeat itself exactly, two traces are left.
    """
    environment = workbench.environment_of(run_0)

    def leave(name: str) -> SmokedArm:
        folder = run_0.smoke(name)
        return smoke_arm(workbench, environment, run_0.code, folder, "control")

    smoked = leave("control")
    if smoked.trace and smoked.trace.device != "cpu":
        smoked = leave("control_again")
    return smoked.problem


def baseline_traces(run_0: RunFolder) -> list[Trace]:
    """Read the traces that smoke_baseline() left."""
    traces = []
    for name in ("control", "control_again"):
        trace, _ = read_trace(run_0.smoke(name) / "trace.json")
        if trace:
            traces.append(trace)
    return traces
