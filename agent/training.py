"""One training of main.py, from the request to a number that the harness graded itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.archive import RunFolder
from agent.datasets import check_intact
from agent.environment import Environment
from agent.errors import Fault
from agent.files import copy_files, free_bytes, write_json
from agent.plan import Setup
from agent.run import Budget, Run, RunStatus, environment_variables, implausible, out_dir_arguments, read_run
from agent.runner import execute
from agent.sandbox import Sandbox
from agent.scoring import predict_and_grade
from agent.workspace import MAIN, Workspace

MIN_FREE_BYTES = 64 * 2**20
DEV, DEV_AND_TEST = ("val",), ("val", "test")


@dataclass(frozen=True)
class Training:
    """What is to be trained, and for which splits its predictions are graded."""

    folder: RunFolder  # its code is there already
    number: int  # of the run; 0 for the scaffold as it is
    arm: str
    seed: int
    wandb: tuple[str, str] | None = None  # name and group of the run there; None: its curves are in metrics.csv alone
    confirming: bool = False  # with validation data from which there is nothing new to learn
    splits: tuple[str, ...] = DEV  # a number of the test split goes into a verdict and nowhere else


def train_and_score(setup: Setup, training: Training) -> Run:
    """Never raises for what the program did. Raises Fault when disk or data are to blame."""
    plan, folder = setup.plan, training.folder
    budget = replace(plan.budget, seed=training.seed)
    variables = environment_variables(setup.dataset, budget, arm=training.arm, confirming=training.confirming)
    variables |= _wandb(training, setup.sandbox)
    copy_files(folder.code, folder.work)
    environment = setup.environment_of(folder)
    write_json(folder.environment, environment.record())
    variables |= environment.variables
    arguments: tuple[str, ...] = ()
    if plan.scaffold.open:
        arguments = out_dir_arguments(folder.work / MAIN)
        if setup.dataset and not (folder.work / "data").exists():
            (folder.work / "data").symlink_to(setup.dataset.arrays, target_is_directory=True)
    request = setup.request(folder.work, (folder.stdout, folder.stderr), budget.timeout, variables, arguments=arguments)
    execution = execute(request)
    if setup.dataset:
        check_intact(setup.dataset)
    if not execution.ok and free_bytes(folder.folder) < MIN_FREE_BYTES:
        raise Fault("disk", f"{folder.folder}: less than {MIN_FREE_BYTES >> 20} MiB free, so the run says nothing about its code")
    run = read_run(training.number, folder, execution, plan.metric)
    network = setup.sandbox.network or setup.sandbox.kind == "none"
    run = replace(run, self_reported=plan.scaffold.open, environment=environment.key, variables=variables, sandbox=setup.sandbox.kind,
                  network=network)  # fmt: skip
    return run if plan.scaffold.open or not run.ok else _graded(setup, training, environment, budget, run)


def train_baseline(setup: Setup, folder: RunFolder, seed: int) -> Run:
    """The scaffold as it is, in an empty folder."""
    Workspace(folder.code).create(setup.plan.scaffold, setup.dataset.info if setup.dataset else None)
    return train_and_score(setup, Training(folder, 0, "control", seed, splits=DEV_AND_TEST))


def _graded(setup: Setup, training: Training, environment: Environment, budget: Budget, run: Run) -> Run:
    """The run with the value that its predictions earn; what it said of itself stays among its metrics."""
    assert setup.dataset
    folder = training.folder
    if problem := implausible(run.metrics, budget):
        return replace(run, status=RunStatus.NO_RESULT, metrics={}, value=None, message=problem)
    variables = environment_variables(setup.dataset, budget, arm=training.arm, stage="predict")
    variables |= environment.variables
    logs = folder.folder / "predict_stdout.log", folder.folder / "predict_stderr.log"
    request = setup.request(folder.predict, logs, budget.timeout, variables)
    graded = predict_and_grade(folder, request, setup.dataset, training.splits)
    run = replace(run, seconds=run.seconds + graded.seconds, cpu_seconds=run.cpu_seconds + graded.cpu_seconds)
    if graded.score is None:
        return replace(run, status=RunStatus.NO_RESULT, value=None, message=graded.problem)
    graded.score.save(folder)
    return replace(run, value=graded.score.accuracy("val"))


def _wandb(training: Training, sandbox: Sandbox) -> dict[str, str]:
    if training.wandb is None or sandbox.kind == "landlock":  # W&B needs a loopback connection of its own
        return {"WANDB_MODE": "disabled"}
    return {"WANDB_PROJECT": "assay", "WANDB_NAME": training.wandb[0], "WANDB_RUN_GROUP": training.wandb[1],
            "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}  # fmt: skip
