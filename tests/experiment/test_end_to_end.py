"""The shipped ideas from their recorded sessions.

Real Aider, real gate, real training, on digits.
"""

from __future__ import annotations

import json
import shutil

import pytest

from agent.archive.session import load_replies
from tests.conftest import REPOSITORY

IMPLEMENTED = {
    "frequency_domain_cnn": "rfft2(",
    "curriculum_learning_cnn": "order=",
    "dynamic_depth_cnn": "gate",
}


@pytest.fixture
def shipped(tmp_path):
    shutil.copytree(REPOSITORY / "ideas", tmp_path / "ideas")
    return tmp_path / "ideas"


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_a_shipped_session_carries_its_idea_from_prompt_to_table(
    name, launch, shipped, experiments_environment
):
    done = launch(
        shipped / f"{name}.md",
        "--dataset",
        "digits",
        "--epochs",
        "1",
        "--python",
        experiments_environment.python,
    )
    assert done.code == 0, done.out + done.err
    assert (
        "replies were written for this repository, everything else is real"
        in done.out.splitlines()[1]
    )
    archive = done.archives[-1]
    statuses = done.statuses
    assert (
        statuses.count("success") == 3
        and set(statuses) - {"success"} <= {"smoke_failed", "crash"}
        and len(statuses) > 3
    )
    assert sum(event["repairs"] for event in done.events("edit")) >= 1, "one lint repair at least"
    diff = archive.run(1).diff.read_text()
    added = [line for line in diff.splitlines() if line.startswith("+")]
    assert any(IMPLEMENTED[name] in line for line in added) and any(
        "IDEA" in line for line in added
    )

    traces = {
        arm: [
            json.loads((archive.run(n).smoke(arm) / "trace.json").read_text())["losses"]
            for n in (1, 2, 3)
        ]
        for arm in ("control", "idea")
    }
    assert traces["control"][0] == traces["control"][1] == traces["control"][2], (
        "with the idea off it stays one program"
    )
    assert all(idea != traces["control"][0] for idea in traces["idea"]), (
        "with the idea on it is another"
    )
    for number in (1, 2, 3):
        run = json.loads(archive.run(number).result.read_text())
        assert run["metrics"]["samples"] == 1079 and run["variables"]["ASSAY_ARM"] == "idea"
        assert list(archive.run(number).work.glob("wandb/offline-run-*/*.wandb"))
    config = json.loads(archive.config.read_text())
    assert config["provenance"]["environment"]["packages"]["torch"] and config["dataset"]["split"]
    assert archive.attempts()[0].prompt.read_text().startswith(f"# {config['idea']}")


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_a_shipped_session_holds_a_lint_repair_a_crash_repair_and_a_change_after_a_result(name):
    path = REPOSITORY / "ideas" / "sessions" / f"{name}.jsonl"
    header = json.loads(path.read_text().splitlines()[0])
    assert "written for the Assay repository" in header["origin"]
    replies = [reply["reply"] for reply in load_replies(path)]
    assert len(replies) >= 6 and "ALL_COMPLETED" in replies[-1]
    assert sum("<<<<<<< SEARCH" in reply for reply in replies) >= 5


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_a_session_that_only_tunes_the_baseline_is_not_implemented_and_costs_no_run(
    name, launch, shipped, experiments_environment
):
    """More epochs, width and augmentation, and not a line of the idea.

    What the recorded sessions of our ancestor did.
    """
    session = REPOSITORY / "tests" / "sessions" / f"{name}_tuned.jsonl"
    done = launch(
        shipped / f"{name}.md",
        "--dataset",
        "digits",
        "--epochs",
        "1",
        "--baseline-seeds",
        "2",
        "--model",
        f"replay:{session}",
        "--python",
        experiments_environment.python,
    )
    assert done.code == 0, done.out + done.err
    archive = done.archives[-1]
    assert (
        done.statuses[0] == "guard_failed"
        and set(done.statuses[1:]) <= {"not_live", "no_edit"}
        and "not_live" in done.statuses
    )
    assert (
        not list(archive.folder.glob("run_[1-9]*/work"))
        and not (archive.folder / "confirm").exists()
    )
    assert (
        json.loads(archive.verdict.read_text())["verdict"] == "not_implemented"
        and "NOT IMPLEMENTED" in done.out
    )
    prompts = [archive.attempts()[k].prompt.read_text() for k in range(1, len(archive.attempts()))]
    assert any("never reads `IDEA`" in prompt for prompt in prompts), (
        "the coder was told within seconds what is missing"
    )
