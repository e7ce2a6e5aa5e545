"""One training of main.py, from the request to a number that the harness graded itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.archive.paths import RunFolder
from agent.archive.run import Budget, Run, RunStatus
from agent.execution.environment.base import Environment
from agent.execution.grading import predict_and_grade
from agent.execution.local import execute
from agent.execution.result import implausible, read_run
from agent.execution.sandbox.policy import Sandbox
from agent.execution.workbench import Workbench
from agent.task.contract import MAIN, environment_variables, out_dir_arguments
from agent.task.dataset import check_intact
from agent.task.scaffold import Workspace
from agent.util.errors import Fault
from agent.util.files import copy_files, free_bytes, write_json

MIN_FREE_BYTES = 64 * 2**20
DEV, DEV_AND_TEST = ("val",), ("val", "test")


@dataclass(frozen=True)
class Training:
    """What is to be trained, and for which splits its predictions are graded."""

    folder: RunFolder  # its code is there already
    number: int  # of the run; 0 for the scaffold as it is
    arm: str
    seed: int
    wandb: tuple[str, str] | None = (
        None  # name and group of the run there; None: its curves are in metrics.csv alone
    )
    confirming: bool = False  # with validation data from which there is nothing new to learn
    splits: tuple[str, ...] = DEV  # a number of the test split goes into a verdict and nowhere else


def train_and_score(workbench: Workbench, training: Training) -> Run:
    """Never raises for what the program did. Raises Fault when disk or data are to blame."""
    scaffold = workbench.scaffold
    folder = training.folder
    budget = replace(workbench.budget, seed=training.seed)
    variables = environment_variables(
        workbench.dataset, budget, arm=training.arm, confirming=training.confirming
    )
    variables |= _wandb(training, workbench.sandbox)
    copy_files(folder.code, folder.work)
    environment = workbench.environment_of(folder)
    write_json(folder.environment, environment.record())
    variables |= environment.variables
    arguments: tuple[str, ...] = ()
    if scaffold.open:
        arguments = out_dir_arguments(folder.work / MAIN)
        if workbench.dataset and not (folder.work / "data").exists():
            (folder.work / "data").symlink_to(workbench.dataset.arrays, target_is_directory=True)
    request = workbench.request(
        folder.work, (folder.stdout, folder.stderr), budget.timeout, variables, arguments=arguments
    )
    execution = execute(request)
    if workbench.dataset:
        check_intact(workbench.dataset)
    if not execution.ok and free_bytes(folder.folder) < MIN_FREE_BYTES:
        raise Fault(
            "disk",
            f"{folder.folder}: less than {MIN_FREE_BYTES >> 20} MiB free, so the run says nothing about its code",
        )
    run = read_run(training.number, folder, execution, workbench.metric)
    network = workbench.sandbox.network or workbench.sandbox.kind == "none"
    run = replace(
        run,
        self_reported=scaffold.open,
        environment=environment.key,
        variables=variables,
        sandbox=workbench.sandbox.kind,
        network=network,
    )
    return (
        run
        if scaffold.open or not run.ok
        else _graded(workbench, training, environment, budget, run)
    )


def train_baseline(workbench: Workbench, folder: RunFolder, seed: int) -> Run:
    """The scaffold as it is, in an empty folder."""
    Workspace(folder.code).create(
        workbench.scaffold, workbench.dataset.info if workbench.dataset else None
    )
    return train_and_score(workbench, Training(folder, 0, "control", seed, splits=DEV_AND_TEST))


def _graded(
    workbench: Workbench, training: Training, environment: Environment, budget: Budget, run: Run
) -> Run:
    """The run with the value that its predictions earn; what it said of itself stays among its metrics."""
    assert workbench.dataset
    folder = training.folder
    if problem := implausible(run.metrics, budget):
        return replace(run, status=RunStatus.NO_RESULT, metrics={}, value=None, message=problem)
    variables = environment_variables(workbench.dataset, budget, arm=training.arm, stage="predict")
    variables |= environment.variables
    logs = folder.folder / "predict_stdout.log", folder.folder / "predict_stderr.log"
    request = workbench.request(folder.predict, logs, budget.timeout, variables)
    graded = predict_and_grade(folder, request, workbench.dataset, training.splits)
    run = replace(
        run, seconds=run.seconds + graded.seconds, cpu_seconds=run.cpu_seconds + graded.cpu_seconds
    )
    if graded.score is None:
        return replace(run, status=RunStatus.NO_RESULT, value=None, message=graded.problem)
    graded.score.save(folder)
    return replace(run, value=graded.score.accuracy("val"))


def _wandb(training: Training, sandbox: Sandbox) -> dict[str, str]:
    if (
        training.wandb is None or sandbox.kind == "landlock"
    ):  # W&B needs a loopback connection of its own
        return {"WANDB_MODE": "disabled"}
    return {
        "WANDB_PROJECT": "assay",
        "WANDB_NAME": training.wandb[0],
        "WANDB_RUN_GROUP": training.wandb[1],
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
    }
