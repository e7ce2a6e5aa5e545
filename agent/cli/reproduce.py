"""`launch.py reproduce`: train one confirmed seed of each arm again and compare.

All is taken from what the archive records, and the answer is appended to it. bit-exact: the same
predictions; consistent: accuracies within three standard deviations of the control's seeds; failed:
neither. Not covered: the coder's turns, which are not asked for again.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.archive.lookup import find
from agent.archive.paths import Archive, RunFolder
from agent.archive.provenance import commit, device_name
from agent.archive.run import Budget, Metric
from agent.archive.score import load_score
from agent.cli.options import command_parser, experiment, places
from agent.cli.run_options import confinement
from agent.execution.environment.base import REQUIRED, Environment, ensure, existing, find_built
from agent.execution.sandbox.detect import find_sandbox
from agent.execution.sandbox.policy import ResourceLimits, Sandbox
from agent.execution.training import DEV_AND_TEST, Training, train_and_score
from agent.execution.workbench import Workbench
from agent.experiment.prepare import serving
from agent.report.terminal.console import progress, say
from agent.task.contract import REQUIREMENTS
from agent.task.dataset import prepare
from agent.task.scaffold import Scaffold
from agent.util.errors import Fault, UserError
from agent.util.files import append_line, read_events, read_json, write_json
from agent.util.stamped import new_stamped
from agent.verdict.decide import decide

DEVIATIONS = 3
OUTCOMES = ("failed", "consistent", "bit-exact")  # that of the worst run counts


@dataclass(frozen=True)
class Reproduction:
    """One run of one arm with one seed: as it was recorded, and now."""

    arm: str
    seed: int
    then: float  # accuracy on the hidden test
    now: float | None  # None: the run failed
    same_predictions: bool
    folder: str
    problem: str = ""

    def outcome(self, deviation: float) -> str:
        """Return how well the run was reproduced; deviation: the control's over seeds."""
        if self.now is None:
            return "failed"
        if self.same_predictions:
            return "bit-exact"
        if abs(self.now - self.then) <= DEVIATIONS * deviation:
            return "consistent"
        return "failed"


def command(arguments: list[str]) -> int:
    """Train one confirmed seed of each arm again, as the arguments say."""
    about = "Train one confirmed seed of each arm again and compare."
    parser = command_parser("reproduce", about, experiment, places, confinement)
    given = parser.parse_args(arguments)
    limits = ResourceLimits.given(given.memory, given.processes, given.disk)
    confining = find_sandbox(given.sandbox, given.network, limits)
    archive = find(given.run, given.runs_dir)
    return reproduce(archive, given.data_dir, given.python, confining)


def reproduce(
    archive: Archive,
    data_dir: Path | None,
    python: Path | None,
    sandbox: Sandbox,
) -> int:
    """Reproduce an experiment. 0: bit-exact or consistent; 1: failed.

    Raises UserError for an experiment that has nothing to reproduce.
    """
    config = read_json(archive.config)
    first = _first_confirmed(archive)
    workbench = _rebuild(archive, config, data_dir, python, sandbox)
    differences = _differences(config, workbench)
    for line in differences:
        say(f"  differs: {line}")
    stamp = new_stamped(archive.folder / "reproduce").name
    with serving(workbench) as server:
        workbench = replace(workbench, server=server)
        runs = [_train_again(workbench, archive, event, stamp) for event in first]
    deviation = decide(archive)["baseline"]["sd"] or 0.0
    outcomes = [run.outcome(deviation) for run in runs]
    outcome = next(word for word in OUTCOMES if word in outcomes)
    for run in runs:
        _print_run(run, deviation)
    say(f"{outcome}  (control's standard deviation over seeds: {deviation:.4f})")
    append_line(
        archive.reproductions,
        {
            "time": stamp,
            "outcome": outcome,
            "runs": [asdict(run) for run in runs],
            "differences": differences,
            "commit": commit(),
        },
    )
    return int(outcome == "failed")


def _first_confirmed(archive: Archive) -> list[dict[str, Any]]:
    """Return the events of the first confirmed run of each arm. Raises UserError without any."""
    events = read_events(archive.events)
    planned = any(event["event"] == "confirm" for event in events)
    confirmed = [event for event in events if event["event"] == "confirmed"]
    successes = [event for event in confirmed if event["status"] == "success"]
    if not planned or not successes:
        lack = "no run of it was confirmed, so there is nothing to reproduce"
        raise UserError(f"{archive.folder}: {lack}")
    first = dict[str, Any]()
    for event in successes:
        first.setdefault(event["arm"], event)
    return [first[arm] for arm in ("idea", "control") if arm in first]


def _train_again(
    workbench: Workbench,
    archive: Archive,
    event: dict[str, Any],
    stamp: str,
) -> Reproduction:
    recorded = archive.named(event["folder"])
    folder = RunFolder(archive.folder / "reproduce" / stamp / recorded.folder.name)
    recorded.copy_code(folder)
    training = Training(
        folder=folder,
        number=0,
        arm=event["arm"],
        seed=event["seed"],
        confirming=True,
        splits=DEV_AND_TEST,
    )
    with progress(f"{training.arm}, seed {training.seed}: training", folder.work):
        run = train_and_score(workbench, training)
    write_json(folder.result, run.save())
    then = load_score(recorded)
    reproduction = Reproduction(
        arm=training.arm,
        seed=training.seed,
        then=then.accuracy("test"),
        now=None,
        same_predictions=False,
        folder=str(folder.folder.relative_to(archive.folder)),
    )
    if not run.ok:
        last_line = run.message.split("\n")[-1]
        return replace(reproduction, problem=last_line[:200])
    now = load_score(folder)
    return replace(
        reproduction,
        now=now.accuracy("test"),
        same_predictions=then.fingerprint == now.fingerprint,
    )


def _print_run(run: Reproduction, deviation: float) -> None:
    now = run.problem if run.now is None else f"{run.now:.4f}"
    accuracies = f"hidden test {run.then:.4f} then, {now} now"
    say(f"  {run.arm}, seed {run.seed}: {accuracies}: {run.outcome(deviation)}")


def _rebuild(
    archive: Archive,
    config: dict[str, Any],
    data_dir: Path | None,
    python: Path | None,
    sandbox: Sandbox,
) -> Workbench:
    """Prepare environment, data and budget as recorded.

    Raises Fault where the data are not those of the record.
    """
    request = config["asked"]
    code = archive.run(0).code
    packages = config["provenance"]["environment"]["packages"]
    environment = _environment(code / REQUIREMENTS, packages, python)
    if data_dir is None and request["data_dir"]:
        data_dir = Path(request["data_dir"])
    dataset = prepare(
        request["dataset"],
        environment.python,
        data_dir,
        request["train_size"],
    )
    split = dataset.info["split"]
    recorded = config["dataset"]["split"]
    if split != recorded:
        raise Fault("data", f"the split is {split}, not the recorded {recorded}: other data")
    return Workbench(
        scaffold=Scaffold(code),
        budget=Budget(**config["budget"]),
        metric=Metric(**config["metric"]),
        environment=environment,
        dataset=dataset,
        baseline_key=config["baseline_key"],
        sandbox=sandbox,
    )


def _environment(requirements: Path, recorded: dict[str, str], python: Path | None) -> Environment:
    """Return the environment that has the recorded versions, built where there is none.

    Where they cannot be installed it is the one that is there, whatever its versions.
    """
    if python:
        return existing(python, REQUIRED)
    built = find_built(requirements)
    if built and built.packages == recorded:
        return built
    pins = [f"{name}=={version}\n" for name, version in sorted(recorded.items())]
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / REQUIREMENTS
        pinned.write_text("".join(pins), encoding="utf-8")
        try:
            return ensure(pinned, say)
        except Fault as fault:
            problem = f"the recorded versions cannot be installed here ({fault.detail[:200]})"
            say(f"  {problem}; going on with what can")
    return ensure(requirements, say)


def _differences(config: dict[str, Any], workbench: Workbench) -> list[str]:
    """Return what is not as it was: versions, device, commit."""
    recorded = config["provenance"]
    then = recorded["environment"]["packages"]
    now = workbench.environment.packages
    differences = []
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            versions = f"{then.get(name, 'absent')} then, {now.get(name, 'absent')} now"
            differences.append(f"{name} {versions}")
    recorded_device = config["baseline_key"]["device"]
    device = device_name(workbench.budget.device)
    if device != recorded_device:
        differences.append(f"device {recorded_device} then, {device} now")
    if commit() != recorded["commit"]:
        differences.append(f"Assay's commit {recorded['commit']} then, {commit()} now")
    return differences
