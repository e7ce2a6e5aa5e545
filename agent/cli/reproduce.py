"""Train one confirmed seed of each arm again from what the archive records, and say whether the same came out.

bit-exact: the same predictions; consistent: accuracies within three standard deviations of the control's seeds; failed:
neither. The answer is appended to the archive. Not covered: the coder's turns, which are not asked for again.
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
from agent.util.files import append_line, new_stamped, read_events, read_json, write_json
from agent.verdict.decide import decide

DEVIATIONS = 3


@dataclass(frozen=True)
class Reproduction:
    """One arm, one seed: then and now."""

    arm: str
    seed: int
    then: float  # accuracy on the hidden test
    now: float | None  # None: the run failed
    same_predictions: bool
    folder: str
    problem: str = ""

    def outcome(self, deviation: float) -> str:
        if self.now is None:
            return "failed"
        if self.same_predictions:
            return "bit-exact"
        return "consistent" if abs(self.now - self.then) <= DEVIATIONS * deviation else "failed"


def command(arguments: list[str]) -> int:
    """Train one confirmed seed of each arm again, as the arguments say."""
    about = "Train one confirmed seed of each arm again and compare."
    parser = command_parser("reproduce", about, experiment, places, confinement)
    given = parser.parse_args(arguments)
    limits = ResourceLimits.given(given.memory, given.processes, given.disk)
    box = find_sandbox(given.sandbox, given.network, limits)
    return reproduce(find(given.run, given.runs_dir), given.data_dir, given.python, box)


def reproduce(
    archive: Archive, data_dir: Path | None, python: Path | None, sandbox: Sandbox
) -> int:
    """0: bit-exact or consistent; 1: failed. Raises UserError for an experiment that has nothing to reproduce."""
    config, events = read_json(archive.config), read_events(archive.events)
    order = next((event for event in events if event["event"] == "confirm"), None)
    confirmed = [
        event for event in events if event["event"] == "confirmed" and event["status"] == "success"
    ]
    if order is None or not confirmed:
        raise UserError(
            f"{archive.folder}: no run of it was confirmed, so there is nothing to reproduce"
        )
    workbench = _rebuild(archive, config, data_dir, python, sandbox)
    differences = _differences(config, workbench)
    for line in differences:
        say(f"  differs: {line}")
    first = {
        arm: next((event for event in confirmed if event["arm"] == arm), None)
        for arm in ("idea", "control")
    }
    stamp = new_stamped(archive.folder / "reproduce").name
    with serving(workbench) as server:
        workbench = replace(workbench, server=server)
        done = [_again(workbench, archive, event, stamp) for event in first.values() if event]
    deviation = decide(archive)["baseline"]["sd"] or 0.0
    outcomes = [one.outcome(deviation) for one in done]
    outcome = next(word for word in ("failed", "consistent", "bit-exact") if word in outcomes)
    for one in done:
        now = f"{one.now:.4f}" if one.now is not None else one.problem
        say(
            f"  {one.arm}, seed {one.seed}: hidden test {one.then:.4f} then, {now} now: {one.outcome(deviation)}"
        )
    say(f"{outcome}  (control's standard deviation over seeds: {deviation:.4f})")
    append_line(
        archive.reproductions,
        {
            "time": stamp,
            "outcome": outcome,
            "runs": [asdict(one) for one in done],
            "differences": differences,
            "commit": commit(),
        },
    )
    return int(outcome == "failed")


def _again(
    workbench: Workbench, archive: Archive, event: dict[str, Any], stamp: str
) -> Reproduction:
    arm, seed, recorded = event["arm"], event["seed"], archive.named(event["folder"])
    folder = RunFolder(archive.folder / "reproduce" / stamp / recorded.folder.name)
    recorded.copy_code(folder)
    training = Training(folder, 0, arm, seed, confirming=True, splits=DEV_AND_TEST)
    with progress(f"{arm}, seed {seed}: training", folder.work):
        run = train_and_score(workbench, training)
    write_json(folder.result, run.save())
    then, name = load_score(recorded), str(folder.folder.relative_to(archive.folder))
    if not run.ok:
        return Reproduction(
            arm, seed, then.accuracy("test"), None, False, name, run.message.split("\n")[-1][:200]
        )
    now = load_score(folder)
    return Reproduction(
        arm,
        seed,
        then.accuracy("test"),
        now.accuracy("test"),
        then.fingerprint == now.fingerprint,
        name,
    )


def _rebuild(
    archive: Archive,
    config: dict[str, Any],
    data_dir: Path | None,
    python: Path | None,
    sandbox: Sandbox,
) -> Workbench:
    """Environment, data and budget as recorded. Raises Fault where the data are not those of the record."""
    asked, code = config["asked"], archive.run(0).code
    environment = _environment(
        code / REQUIREMENTS, config["provenance"]["environment"]["packages"], python
    )
    folder = data_dir or (Path(asked["data_dir"]) if asked["data_dir"] else None)
    dataset = prepare(asked["dataset"], environment.python, folder, asked["train_size"])
    if dataset.info["split"] != config["dataset"]["split"]:
        raise Fault(
            "data",
            f"the split is {dataset.info['split']}, not the recorded {config['dataset']['split']}: other data",
        )
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
    """The one that is there if it has the recorded versions, else one built from exactly them, else what is there."""
    if python:
        return existing(python, REQUIRED)
    built = find_built(requirements)
    if built and built.packages == recorded:
        return built
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / REQUIREMENTS
        pinned.write_text(
            "".join(f"{name}=={version}\n" for name, version in sorted(recorded.items())),
            encoding="utf-8",
        )
        try:
            return ensure(pinned, say)
        except Fault as fault:
            say(
                f"  the recorded versions cannot be installed here ({fault.detail[:200]}); going on with what can"
            )
    return ensure(requirements, say)


def _differences(config: dict[str, Any], workbench: Workbench) -> list[str]:
    """What is not as it was: versions, device, commit."""
    then, now = config["provenance"]["environment"]["packages"], workbench.environment.packages
    found = [
        f"{name} {then.get(name, 'absent')} then, {now.get(name, 'absent')} now"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    device = device_name(workbench.budget.device)
    if device != config["baseline_key"]["device"]:
        found.append(f"device {config['baseline_key']['device']} then, {device} now")
    if commit() != config["provenance"]["commit"]:
        found.append(f"Assay's commit {config['provenance']['commit']} then, {commit()} now")
    return found
