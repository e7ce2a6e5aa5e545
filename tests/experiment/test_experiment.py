"""The loop on a scaffold that needs no torch, with a scripted coder.

What counts, what stops, what is kept.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from agent.archive.control_seeds import ControlSeeds
from agent.archive.paths import new_experiment
from agent.archive.run import Budget, Metric
from agent.coder.base import Reply, ScriptedCoder
from agent.execution.environment.base import Environment
from agent.execution.sandbox.detect import find_sandbox
from agent.execution.sandbox.policy import ResourceLimits
from agent.execution.training import train_baseline
from agent.execution.workbench import Workbench
from agent.experiment.controls import ensure_trained
from agent.experiment.idea import load_idea
from agent.experiment.loop import Experiment
from agent.experiment.plan import Plan, StopLimits, StopReason
from agent.task.scaffold import Scaffold, Workspace
from agent.util.errors import Fault
from agent.util.files import append_event, read_events, write_json
from agent.util.observer import SilentObserver

KEY = {"scaffold": "test", "device": "cpu"}
CONFIG = {
    "slug": "higher",
    "idea": "Higher",
    "idea_sha": "",
    "front_matter": {},
    "open": True,
    "model": "scripted",
    "dataset": None,
    "baseline_key": KEY,
    "budget": {"epochs": 1},
    "provenance": {
        "commit": None,
        "uncommitted": "",
        "python": "",
        "environment": {"key": "test", "packages": {}},
    },
}
GOOD = "import json\njson.dump({'val_accuracy': %s}, open('final_info.json', 'w'))\n"


@pytest.fixture
def experiment(quick):
    """Make an experiment whose coder writes one text after the other into main.py.

    None writes nothing.
    """

    def make(
        *mains: str | Reply | None,
        limits: StopLimits | None = None,
        timeout: float = 20,
        metric: Metric | None = None,
        archive=None,
    ):
        archive = archive or new_experiment(quick / "runs", "higher")
        workspace = Workspace(archive.workspace)
        if not read_events(archive.events):
            workspace.create(Scaffold(quick / "scaffold"), None)
            append_event(archive.events, "workspace", files=workspace.read())

        def step(text):
            def write() -> str:
                if text is None or text == "ALL_COMPLETED":
                    return text or "no edit"
                (workspace.folder / "main.py").write_text(text)
                return "edited"

            return write

        plan = Plan(
            load_idea(quick / "higher.md"),
            Scaffold(quick / "scaffold"),
            Budget(1, 0, timeout, "cpu", 1),
            metric or Metric(),
            limits or StopLimits(),
        )
        workbench = Workbench(
            scaffold=plan.scaffold,
            budget=plan.budget,
            metric=plan.metric,
            environment=Environment(Path(sys.executable), "test", {}),
            dataset=None,
            baseline_key=KEY,
            sandbox=find_sandbox("auto", False, ResourceLimits()),
        )
        write_json(archive.config, CONFIG | {"metric": asdict(plan.metric)})
        baseline = ControlSeeds(quick / "runs", KEY, (0,))
        ensure_trained(baseline, lambda folder, seed: train_baseline(workbench, folder, seed))
        notices: list = []
        coder = ScriptedCoder([step(text) for text in mains])
        return Experiment(
            plan,
            workbench,
            archive,
            baseline,
            coder,
            SilentObserver(),
            lambda: None,
            notices.append,
        )

    return make


def outcomes(experiment: Experiment) -> list[tuple[str, str]]:
    return [
        (event["folder"], event["status"])
        for event in read_events(experiment.archive.events)
        if event["event"] == "attempt"
    ]


def test_three_runs_and_no_more(experiment):
    current = experiment(*[GOOD % value for value in (0.6, 0.7, 0.8, 0.9)])
    assert current.conduct() is StopReason.RUN_LIMIT
    assert outcomes(current) == [("run_1", "success"), ("run_2", "success"), ("run_3", "success")]
    assert len(current.coder.prompts) == 3


def test_failures_are_kept_do_not_count_and_are_explained_to_the_coder(experiment):
    current = experiment(
        "raise KeyError('gone')\n", "pass\n", GOOD % 0.6, "x = (\n", GOOD % 0.7, GOOD % 0.8
    )
    assert current.conduct() is StopReason.RUN_LIMIT
    assert outcomes(current) == [
        ("run_1.failed_1", "crash"),
        ("run_1.failed_2", "no_result"),
        ("run_1", "success"),
        ("run_2.failed_1", "lint_failed"),
        ("run_2", "success"),
        ("run_3", "success"),
    ]
    assert (
        "KeyError: 'gone'" in current.coder.prompts[1]
        and "wrote no final_info.json" in current.coder.prompts[2]
    )
    assert "0.6000" in current.coder.prompts[3] and "0.8000" not in "".join(current.coder.prompts)
    assert (
        (current.archive.folder / "run_1.failed_1" / "code" / "main.py")
        .read_text()
        .startswith("raise KeyError")
    )


def test_failures_in_a_row_end_it_and_a_success_between_starts_the_count_anew(experiment):
    current = experiment(
        "1 / 0\n",
        GOOD % 0.6,
        "2 / 0\n",
        "3 / 0\n",
        GOOD % 0.9,
        limits=StopLimits(runs=3, failures=2),
    )
    assert current.conduct() is StopReason.FAILURE_LIMIT
    assert [status for _, status in outcomes(current)] == ["crash", "success", "crash", "crash"]


def test_all_completed_counts_only_after_a_run_and_needs_a_line_of_its_own(experiment):
    current = experiment("ALL_COMPLETED", GOOD % 0.6, "ALL_COMPLETED")
    assert current.conduct() is StopReason.COMPLETED
    assert outcomes(current) == [("run_1.failed_1", "no_edit"), ("run_1", "success")]
    assert (
        not Reply("I will say ALL_COMPLETED later").completed
        and Reply("Done.\n**ALL_COMPLETED**\n").completed
    )


def test_two_replies_in_a_row_that_change_nothing_end_it(experiment):
    current = experiment(GOOD % 0.6, None, None, GOOD % 0.9)
    assert current.conduct() is StopReason.NO_EDIT


@pytest.mark.slow
def test_a_run_that_never_ends_is_a_timeout(experiment):
    current = experiment(
        "import time\ntime.sleep(60)\n", GOOD % 0.6, limits=StopLimits(runs=1), timeout=2
    )
    current.conduct()
    assert [status for _, status in outcomes(current)] == ["timeout", "success"]
    assert "longer than 2 s" in current.coder.prompts[1]


def test_the_baseline_is_trained_once_for_one_key_and_copied_whole(experiment, quick):
    first = experiment(GOOD % 0.6, limits=StopLimits(runs=1))
    second = experiment(GOOD % 0.7, limits=StopLimits(runs=1))
    first.conduct()
    baseline = quick / "runs" / "_baselines"
    written = [path.stat().st_mtime_ns for path in baseline.rglob("result.json")]
    second.conduct()
    assert [path.stat().st_mtime_ns for path in baseline.rglob("result.json")] == written and len(
        written
    ) == 1
    assert json.loads(second.archive.run(0).result.read_text())["value"] == 0.5
    assert (second.archive.run(0).code / "main.py").is_file()


def test_a_scaffold_that_cannot_run_is_a_fault_and_is_kept(experiment, quick):
    (quick / "scaffold" / "main.py").write_text("raise SystemExit('broken scaffold')\n")
    with pytest.raises(Fault, match="broken scaffold"):
        experiment(GOOD % 0.6).conduct()
    assert list((quick / "runs" / "_baselines").glob("*/seed_0.failed_1/result.json"))


def test_the_gate_stops_a_change_outside_the_editable_files(experiment):
    current = experiment(limits=StopLimits(runs=1))
    helper = current.archive.workspace / "helper.py"
    main = current.archive.workspace / "main.py"

    def sneak() -> str:
        helper.write_text("x = 1\n")
        main.write_text(GOOD % 0.6)
        return "edited"

    def tidy() -> str:
        helper.unlink()
        main.write_text(GOOD % 0.7)
        return "edited"

    current.coder.steps += [sneak, tidy]
    current.conduct()
    assert [status for _, status in outcomes(current)] == ["guard_failed", "success"]
    assert "helper.py may not be changed" in current.coder.prompts[1]


def test_a_metric_to_be_minimised_is_compared_the_other_way():
    assert (
        Metric("loss", "min").best([0.2, 0.1]) == 0.1
        and Metric().best([0.2, 0.1]) == 0.2
        and Metric().best([]) is None
    )


def test_an_unfinished_run_is_kept_as_interrupted_and_made_again_without_the_coder(experiment):
    current = experiment(GOOD % 0.6, limits=StopLimits(runs=1))
    edit = current._prepare() or current._edit()
    pending = current.attempts.set_up(edit)
    (pending.folder / "half").write_text("what a killed process left")
    again = experiment(archive=current.archive, limits=StopLimits(runs=1))
    assert again.conduct() is StopReason.RUN_LIMIT
    assert again.coder.prompts == [] and outcomes(again) == [("run_1", "success")]
    assert (current.archive.folder / "run_1.interrupted_1" / "half").exists()


def test_a_finished_run_that_was_not_yet_said_is_not_repeated(experiment):
    current = experiment(GOOD % 0.6, limits=StopLimits(runs=1))
    current._prepare()
    edit = current._edit()
    run = current._attempt(edit)
    write_json(
        current.archive.pending(1).result, run.save() | {"value": 0.61}
    )  # marks this very run
    again = experiment(archive=current.archive, limits=StopLimits(runs=1))
    again.conduct()
    assert [
        event["value"] for event in read_events(again.archive.events) if event["event"] == "attempt"
    ] == [0.61]


def test_diffs_are_against_the_run_before_and_prompts_and_replies_are_kept(experiment):
    current = experiment(GOOD % 0.6, GOOD % 0.7, limits=StopLimits(runs=2))
    current.conduct()
    second = current.archive.run(2)
    assert (
        "-json.dump({'val_accuracy': 0.6}" in second.diff.read_text()
        and "+json.dump({'val_accuracy': 0.7}" in second.diff.read_text()
    )
    assert "SCORE" in current.archive.run(1).diff.read_text()
