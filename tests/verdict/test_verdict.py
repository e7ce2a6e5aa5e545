"""From whole experiments to verdicts.

A real effect, ten without one, the same bytes elsewhere, and the runs had again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.archive.paths import Archive, RunFolder
from agent.archive.score import load_score
from agent.archive.verdict import CLASSES
from agent.cli.reproduce import reproduce
from agent.experiment.confirm import Confirmation
from agent.experiment.idea import load_idea
from agent.experiment.prepare import control_seeds_of, make_plan, make_workbench
from agent.experiment.settings import decide as settle
from agent.report.export.rows import ordered
from agent.report.summary import corrected, summarise
from agent.report.terminal.tables import verdict_table
from agent.report.terminal.verdict_text import headline, verdict_block
from agent.util.errors import Fault, UserError
from agent.util.files import append_event, read_events, read_json, write_json
from agent.util.observer import SilentObserver
from agent.verdict.decide import decide
from tests.bench import Bench, Outcome
from tests.conftest import REPOSITORY, confined


@pytest.fixture(scope="module")
def helpful(bench: Bench) -> Outcome:
    """Batch normalisation at one epoch: said in advance to help."""
    return bench.conduct("good_idea")


@pytest.fixture
def copied(helpful: Outcome, tmp_path: Path) -> Archive:
    """Its archive in another folder, free to be damaged."""
    return Archive(
        Path(shutil.copytree(helpful.archive.folder, tmp_path / "elsewhere" / "x", symlinks=True))
    )


def rewrite_score(folder: RunFolder, **splits: object) -> None:
    stored = read_json(folder.score)
    write_json(folder.score, stored | splits)


def confirmed(archive: Archive, arm: str) -> list[RunFolder]:
    events = [
        event
        for event in read_events(archive.events)
        if event["event"] == "confirmed" and event["arm"] == arm
    ]
    return [RunFolder(archive.folder / event["folder"]) for event in events]


@pytest.mark.quick
def test_an_idea_that_truly_helps_is_supported_with_its_price(helpful: Outcome):
    verdict = helpful.verdict
    block = verdict_block(verdict)
    print(f"\n{block}")
    assert verdict["verdict"] == "supported" and verdict["effect"]["ci95"][0] > 0
    assert verdict["effect"]["n_cand"] == 5 and verdict["effect"]["n_base"] == 8
    first = block.splitlines()[0]
    assert (
        "SUPPORTED +" in first
        and "x time" in first
        and "unsandboxed" not in first
        and "judge absent" in first
    )


def test_ten_ideas_that_change_nothing_but_the_seed_are_never_supported(
    bench: Bench, helpful: Outcome
):
    outcomes = [bench.conduct("other_start").verdict for _ in range(10)]
    for verdict in outcomes:
        print(f"\n{headline(verdict)}  {verdict['reasons'][0]}")
        assert verdict["implemented"]["idea_differs_from_control"], (
            "live, so only the statistics can refuse it"
        )
    assert [verdict["verdict"] for verdict in outcomes if verdict["verdict"] == "supported"] == []


def test_the_verdict_of_a_copied_archive_is_the_same_bytes(helpful: Outcome, copied: Archive):
    copied.verdict.unlink()
    command = [sys.executable, str(REPOSITORY / "launch.py"), "verdict", str(copied.folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=copied.folder.parent, check=False
    )
    assert done.returncode == 0 and done.stdout.strip() == verdict_block(helpful.verdict).strip()
    assert copied.verdict.read_bytes() == helpful.archive.verdict.read_bytes()


def test_the_file_has_the_parts_of_its_schema(helpful: Outcome):
    verdict = helpful.verdict
    parts = (
        "schema idea verdict reasons qualifiers effect against_scaffold baseline candidate "
        "implemented budget integrity selection"
    )
    assert list(verdict) == [*parts.split(), "repro", "cost", "experiment"]
    assert verdict["verdict"] in CLASSES and verdict["selection"]["test_shown_to_coder"] == 0
    assert len(verdict["baseline"]["acc"]) == 8 and len(set(verdict["candidate"]["pred_sha"])) == 5
    assert (
        verdict["budget"]["samples"][0] == verdict["budget"]["samples"][1]
        and verdict["repro"]["split_sha"]
    )


def test_more_samples_than_the_control_are_invalid(copied: Archive):
    folder = confirmed(copied, "idea")[0]
    result = read_json(folder.result)
    result["metrics"]["samples"] *= 2
    write_json(folder.result, result)
    assert decide(copied)["verdict"] == "invalid" and "samples" in decide(copied)["reasons"][0]


def test_two_seeds_with_the_same_predictions_are_invalid(copied: Archive):
    first, second = confirmed(copied, "idea")[:2]
    rewrite_score(second, fingerprint=load_score(first).fingerprint)
    assert (
        decide(copied)["verdict"] == "invalid"
        and "identical predictions" in decide(copied)["reasons"][0]
    )


@pytest.mark.parametrize(
    ("lost", "status", "verdict"),
    [(1, "crash", "supported"), (2, "crash", "no_result"), (2, "no_result", "invalid")],
)
def test_one_lost_seed_is_borne_and_two_are_not(copied: Archive, lost, status, verdict):
    for folder in confirmed(copied, "idea")[:lost]:
        write_json(folder.result, read_json(folder.result) | {"status": status, "message": "gone"})
    decided = decide(copied)
    assert decided["verdict"] == verdict and f"{lost} fresh seeds without a result" in headline(
        decided
    )


def test_a_price_is_in_the_headline(copied: Archive):
    for folder in confirmed(copied, "idea"):
        result = read_json(folder.result)
        write_json(folder.result, result | {"cpu_seconds": 100 * result["cpu_seconds"]})
    verdict = decide(copied)
    assert verdict["budget"]["time_ratio"] > 20 and any(
        qualifier.endswith("x time") for qualifier in verdict["qualifiers"]
    )
    assert f"{verdict['budget']['time_ratio']:.1f}x time" in headline(
        verdict
    ) and "(!)" in verdict_block(verdict)


def test_on_a_gpu_the_price_is_the_seconds_for_which_a_run_held_it(copied: Archive):
    for folder in confirmed(copied, "idea"):
        result = read_json(folder.result)
        write_json(folder.result, result | {"seconds": 100 * result["seconds"]})
    assert decide(copied)["budget"]["time_ratio"] < 20 and decide(copied)["cost"]["gpu_s"] == 0
    scaffold = read_json(copied.run(0).result)
    scaffold["metrics"]["device"] = "cuda:0"
    write_json(copied.run(0).result, scaffold)
    verdict = decide(copied)
    assert (
        verdict["budget"]["time_ratio"] > 20
        and verdict["cost"]["gpu_s"] == verdict["cost"]["wall_s"] > 0
    )


def test_the_verdict_takes_the_weakest_sandbox_of_all_runs_of_the_coder_s_code(copied: Archive):
    assert decide(copied)["integrity"]["sandbox"] == confined(
        "auto"
    ).kind and "network open" not in headline(decide(copied))
    folder = confirmed(copied, "idea")[1]
    write_json(folder.result, read_json(folder.result) | {"network": True})
    assert "network open" in decide(copied)["qualifiers"]
    write_json(folder.result, read_json(folder.result) | {"sandbox": "none"})
    assert "unsandboxed" in decide(copied)["qualifiers"]
    for shared in confirmed(copied, "control"):
        write_json(shared.result, read_json(shared.result) | {"sandbox": "none"})
    write_json(folder.result, read_json(folder.result) | {"sandbox": "landlock", "network": False})
    assert (
        decide(copied)["integrity"]["sandbox"] == "landlock"
        and "unsandboxed" not in decide(copied)["qualifiers"]
    )


def test_the_cost_counts_every_training_that_was_made_for_the_idea(copied: Archive):
    results = [path for path in copied.folder.glob("*/result.json")] + [
        path for path in copied.folder.glob("confirm/*/result.json")
    ]
    shared = [
        path
        for path in results
        if path.parent.name == "run_0" or path.parent.name.startswith("control_")
    ]
    assert decide(copied)["cost"]["runs"] == len(results) - len(shared)


def test_an_effect_below_the_smallest_of_interest_is_not_supported(copied: Archive):
    control = {
        folder.folder.name: read_json(folder.score) for folder in confirmed(copied, "control")
    }
    for folder, score in zip(confirmed(copied, "idea"), control.values(), strict=False):
        write_json(folder.score, score | {"fingerprint": folder.folder.name})
    config = read_json(copied.config)
    write_json(copied.config, config | {"front_matter": {"smallest_effect": 50.0}})
    assert decide(copied)["verdict"] == "not_supported"
    write_json(copied.config, config | {"front_matter": {"smallest_effect": 0.1}})
    verdict = decide(copied)
    assert verdict["verdict"] == "inconclusive" and "more seeds" in verdict["reasons"][0]


def test_a_damaged_archive_is_a_fault_that_names_the_file(copied: Archive):
    confirmed(copied, "idea")[0].score.write_text("{")
    with pytest.raises(Fault, match=r"score\.json"):
        decide(copied)


def test_the_table_of_many_is_sorted_by_the_lower_end_with_q_values(
    bench: Bench, helpful: Outcome, tmp_path: Path
):
    null = bench.conduct("augment_inside")
    dead = bench.conduct("dead_class")
    summaries = corrected([summarise(outcome.archive) for outcome in (dead, null, helpful)])
    table = verdict_table(ordered(summaries, "low"), summaries)
    assert table is not None
    names = list(table.columns[0].cells)
    assert [name.split("/")[0] for name in names] == ["good_idea", "augment_inside", "dead_class"]
    q_values = [float(cell) for cell in table.columns[4].cells if cell]
    assert (
        len(q_values) == 2
        and q_values == sorted(q_values)
        and "0.05 wins are to be expected by chance" in str(table.caption)
    )


def test_a_control_that_is_not_the_baseline_is_trained_with_the_idea_off(bench: Bench):
    def edit_both(workspace: Path) -> None:
        main = workspace / "main.py"
        text = main.read_text().replace("nn.Dropout(0.25)", "nn.Dropout(0.3)")
        main.write_text(
            text.replace(
                "x = self.pool(F.relu(self.conv2(x)))",
                "x = self.pool((F.gelu if IDEA else F.relu)(self.conv2(x)))",
            )
        )

    outcome = bench.conduct(edit_both)
    assert (
        outcome.events("confirm")[0]["control"] == "own"
        and "own off-switch" in outcome.verdict["qualifiers"]
    )
    idea, control = (outcome.verdict[part]["seeds"] for part in ("candidate", "baseline"))
    assert idea == control and len(idea) in (2, 5) and min(idea) >= 10_000


def test_a_lost_seed_is_no_reason_to_stop_on_the_other_alone(bench: Bench, copied: Archive):
    events = [
        event for event in read_events(copied.events) if event["event"] not in ("futile", "verdict")
    ]
    first, second, *rest = [
        event["seed"]
        for event in events
        if event["event"] == "confirmed" and event["arm"] == "idea"
    ]
    rewrite_score(
        copied.confirmation("idea", first),
        splits={"test": {"count": 359, "accuracy": 0.0, "correct": "00" * 45}},
    )
    copied.events.unlink()
    for event in events:
        if event.get("seed") not in rest:
            lost = {"status": "crash"} if event.get("seed") == second else {}
            append_event(
                copied.events,
                **{name: value for name, value in (event | lost).items() if name != "time"},
            )
    settings = settle(load_idea(bench.folder / "good_idea.md"), bench.options)
    plan = make_plan(settings)
    workbench = make_workbench(settings, SilentObserver())
    confirmation = Confirmation(
        workbench,
        copied,
        control_seeds_of(plan, workbench, bench.options.runs_dir),
        plan.seeds.confirm,
        SilentObserver(),
        lambda run: None,
    )
    assert confirmation._futile() is False


def test_reproducing_on_the_same_machine_is_bit_exact_and_is_recorded(
    helpful: Outcome, bench: Bench, capsys
):
    assert reproduce(helpful.archive, None, bench.options.python, confined("auto")) == 0
    output = capsys.readouterr().out
    record = json.loads(helpful.archive.reproductions.read_text().splitlines()[-1])
    assert record["outcome"] == "bit-exact" and [
        run["same_predictions"] for run in record["runs"]
    ] == [True, True]
    assert "bit-exact" in output and "differs" not in output


def test_reproducing_names_another_version_and_other_code_is_no_longer_exact(
    copied: Archive, bench: Bench, capsys
):
    config = read_json(copied.config)
    config["provenance"]["environment"]["packages"]["torch"] = "2.0.99"
    write_json(copied.config, config)
    main = confirmed(copied, "idea")[0].code / "main.py"
    main.write_text(main.read_text().replace("nn.Dropout(0.25)", "nn.Dropout(0.26)"))
    reproduce(copied, None, bench.options.python, confined("auto"))
    output = capsys.readouterr().out
    assert "differs: torch 2.0.99 then," in output
    record = json.loads(copied.reproductions.read_text().splitlines()[-1])
    assert (
        record["outcome"] in ("consistent", "failed")
        and record["differences"]
        and not record["runs"][0]["same_predictions"]
    )


def test_what_was_never_confirmed_cannot_be_reproduced(bench: Bench):
    with pytest.raises(UserError, match="nothing to reproduce"):
        reproduce(bench.conduct("dead_class").archive, None, bench.options.python, confined("auto"))


def test_a_confirmation_that_was_killed_goes_on_with_its_seeds(
    bench: Bench, helpful: Outcome, tmp_path: Path
):
    """What was said stays; what was finished and not yet said is taken.

    What has no result is set aside, whoever put it there.
    """
    settings = settle(load_idea(bench.folder / "good_idea.md"), bench.options)
    plan = make_plan(settings)
    workbench = replace(make_workbench(settings, SilentObserver()), server=bench.server)
    archive = Archive(
        Path(shutil.copytree(helpful.archive.folder, tmp_path / "killed", symlinks=True))
    )
    events = read_events(archive.events)
    order = next(event for event in events if event["event"] == "confirm")
    kept = [
        event
        for event in events
        if not (event["event"] == "confirmed" and event.get("seed") in order["seeds"][3:])
    ]
    archive.events.unlink()
    for event in kept:
        if event["event"] not in ("verdict",):
            append_event(
                archive.events,
                event["event"],
                **{name: value for name, value in event.items() if name not in ("event", "time")},
            )
    finished, unfinished = (archive.confirmation("idea", seed) for seed in order["seeds"][3:])
    unfinished.result.unlink()
    before = {
        folder.folder.name: folder.result.stat().st_mtime_ns
        for folder in [*confirmed(archive, "idea"), finished]
    }
    Confirmation(
        workbench,
        archive,
        control_seeds_of(plan, workbench, bench.options.runs_dir),
        plan.seeds.confirm,
        SilentObserver(),
        lambda run: None,
    ).conduct()
    after = {
        folder.folder.name: folder.result.stat().st_mtime_ns
        for folder in confirmed(archive, "idea")
    }
    assert (
        set(after) == {f"idea_seed_{seed}" for seed in order["seeds"]}
        and {name: after[name] for name in before} == before
    )
    assert [path.name for path in archive.folder.glob("confirm/*.interrupted_1")] == [
        f"{unfinished.folder.name}.interrupted_1"
    ]
    verdict = decide(archive)
    assert verdict["candidate"]["pred_sha"] == helpful.verdict["candidate"]["pred_sha"], (
        "the same seeds give the same runs"
    )
    assert verdict["effect"]["n_base"] == 8, "and a copied control counts once"
