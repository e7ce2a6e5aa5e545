"""One training of main.py, from the request to a number that the harness graded itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.archive.paths import RunFolder
from agent.archive.run import Budget, Run, RunStatus
from agent.execution.environment.base import Environment
from agent.execution.grading import predict_and_grade
from agent.execution.local import execute
from agent.execution.request import Request
from agent.execution.result import implausible, read_run
from agent.execution.sandbox.policy import Sandbox
from agent.execution.workbench import Workbench
from agent.task.contract import MAIN, environment_variables, out_dir_arguments
from agent.task.dataset import check_intact
from agent.task.scaffold import Workspace
from agent.util.errors import Fault
from agent.util.files import copy_files, free_bytes, write_json

MIN_FREE_BYTES = 64 * 2**20
DEV = ("val",)
DEV_AND_TEST = ("val", "test")


@dataclass(frozen=True)
class Training:
    """A training to be made, and the splits for which its predictions are graded."""

    folder: RunFolder  # its code is there already
    number: int  # of the run; 0 for the scaffold as it is
    arm: str
    seed: int
    # Name and group of the run in W&B; None: its curves are in metrics.csv alone.
    wandb: tuple[str, str] | None = None
    confirming: bool = False  # with validation data from which there is nothing new to learn
    splits: tuple[str, ...] = DEV  # a number of the test split goes into a verdict and nowhere else


def train_and_score(workbench: Workbench, training: Training) -> Run:
    """Train the code in a run folder, grade what it learned, and return the run.

    Never raises for what the program did. Raises Fault when disk or data are to blame.
    """
    folder = training.folder
    budget = replace(workbench.budget, seed=training.seed)
    copy_files(folder.code, folder.work)
    environment = workbench.environment_of(folder)
    write_json(folder.environment, environment.record())
    request = _request(workbench, training, environment, budget)
    execution = execute(request)
    if workbench.dataset:
        check_intact(workbench.dataset)
    if not execution.ok and free_bytes(folder.folder) < MIN_FREE_BYTES:
        free = f"less than {MIN_FREE_BYTES >> 20} MiB free"
        raise Fault("disk", f"{folder.folder}: {free}, so the run says nothing about its code")
    run = replace(
        read_run(training.number, folder, execution, workbench.metric),
        self_reported=workbench.scaffold.open,
        environment=environment.key,
        variables=request.environment,
        sandbox=workbench.sandbox.kind,
        network=workbench.sandbox.network or workbench.sandbox.kind == "none",
    )
    if workbench.scaffold.open or not run.ok:
        return run
    return _graded(workbench, training, environment, run)


def train_baseline(workbench: Workbench, folder: RunFolder, seed: int) -> Run:
    """Train the scaffold as it is, in an empty folder."""
    info = workbench.dataset.info if workbench.dataset else None
    Workspace(folder.code).create(workbench.scaffold, info)
    training = Training(
        folder=folder,
        number=0,
        arm="control",
        seed=seed,
        splits=DEV_AND_TEST,
    )
    return train_and_score(workbench, training)


def _request(
    workbench: Workbench, training: Training, environment: Environment, budget: Budget
) -> Request:
    """Return the request for the training, and show an open scaffold its data."""
    folder = training.folder
    variables = environment_variables(
        workbench.dataset, budget, arm=training.arm, confirming=training.confirming
    )
    variables |= _wandb(training, workbench.sandbox)
    variables |= environment.variables
    logs = (folder.stdout, folder.stderr)
    request = workbench.request(folder.work, logs, budget.timeout, variables)
    if not workbench.scaffold.open:
        return request
    data = folder.work / "data"
    if workbench.dataset and not data.exists():
        data.symlink_to(workbench.dataset.arrays, target_is_directory=True)
    return replace(request, arguments=out_dir_arguments(folder.work / MAIN))


def _graded(workbench: Workbench, training: Training, environment: Environment, run: Run) -> Run:
    """Return the run with the value that its predictions earn.

    What it reported of itself stays among its metrics.
    """
    assert workbench.dataset
    folder = training.folder
    budget = replace(workbench.budget, seed=training.seed)
    problem = implausible(run.metrics, budget)
    if problem:
        return replace(_without_result(run, problem), metrics={})
    variables = environment_variables(workbench.dataset, budget, arm=training.arm, stage="predict")
    variables |= environment.variables
    logs = (folder.folder / "predict_stdout.log", folder.folder / "predict_stderr.log")
    request = workbench.request(folder.predict, logs, budget.timeout, variables)
    grade = predict_and_grade(folder, request, workbench.dataset, training.splits)
    run = replace(
        run,
        seconds=run.seconds + grade.seconds,
        cpu_seconds=run.cpu_seconds + grade.cpu_seconds,
    )
    if grade.score is None:
        return _without_result(run, grade.problem)
    grade.score.save(folder)
    return replace(run, value=grade.score.accuracy("val"))


def _without_result(run: Run, problem: str) -> Run:
    return replace(run, status=RunStatus.NO_RESULT, value=None, message=problem)


def _wandb(training: Training, sandbox: Sandbox) -> dict[str, str]:
    # Under Landlock it is off: W&B needs a loopback connection of its own.
    if training.wandb is None or sandbox.kind == "landlock":
        return {"WANDB_MODE": "disabled"}
    name, group = training.wandb
    return {
        "WANDB_PROJECT": "assay",
        "WANDB_NAME": name,
        "WANDB_RUN_GROUP": group,
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
    }
