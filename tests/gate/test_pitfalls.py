"""The 24 ways in which a result deceives, and the layer that stops each. None ends supported.

`pytest -s tests/gate/test_pitfalls.py` prints the table: row, case, class reached, layer, runs
spent, seconds. Rows 19 (choice after the fact), 20 (duplicates) and 22 (invented evidence) have
more tests in test_statistics, test_datasets and test_judge.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from agent.archive.score import load_score
from agent.experiment.confirm import draw_seeds
from agent.experiment.idea import load_idea
from agent.experiment.settings import Options, decide
from agent.gate import checks
from agent.report.terminal.verdict_text import headline, verdict_block
from agent.util.errors import UserError
from agent.util.files import read_json
from tests.bench import Bench, Outcome

FFT = "# FFT\n\n---\n\nFilter the feature maps in the frequency domain.\n"


def row(number: int, case: str, outcome: Outcome, *, may_win: bool = False) -> None:
    """Print a row of the table, and assert what holds for all of them."""
    verdict = outcome.verdict["verdict"]
    reason = outcome.verdict["reasons"][0][:90]
    cells = [number, case, verdict, outcome.layer, outcome.runs_spent]
    print("\n|", *(f"{cell} |" for cell in cells), f"{outcome.seconds:.1f} | {reason}")
    assert may_win or verdict != "supported", outcome.verdict
    assert not reason.startswith(
        "stopped for futility"
    ) or "stopped for futility after 2 seeds" in headline(outcome.verdict)


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the guard on main.py away, so that the layers behind it are seen acting alone."""
    monkeypatch.setattr(checks, "breaches", lambda base, new: [])


@pytest.mark.quick  # what the gate stops is known before a training
@pytest.mark.parametrize(
    ("number", "case", "message"),
    [
        (1, "comment_only", "only comments or layout changed"),
        (2, "hparams_only", "never reads `IDEA`"),
        (3, "augment_only", "never reads `IDEA`"),
        (4, "dead_class", "FrequencyConv2d is defined on line .* and never used"),
        (4, "dead_flag", "their result reaches neither loss nor prediction"),
        (5, "noop_flag", "their result reaches neither loss nor prediction"),
        (5, "noop_parameter", "their result reaches neither loss nor prediction"),
        (5, "noop_random", "their result reaches neither loss nor prediction"),
        (5, "rounding_flag", "their result reaches neither loss nor prediction"),
        (24, "curriculum_noop", "their result reaches neither loss nor prediction"),
    ],
)
def test_what_is_not_wired_in_is_not_implemented_and_costs_no_run(
    bench: Bench, number, case, message
):
    outcome = bench.conduct(case)
    row(number, case, outcome)
    assert (
        outcome.verdict["verdict"] == "not_implemented"
        and outcome.layer == "liveness"
        and outcome.runs_spent == 0
    )
    assert re.search(message, outcome.attempts[0].message), outcome.attempts[0].message
    assert len(outcome.attempts[0].message) < 400


def test_a_reply_without_an_edit_is_not_implemented(bench: Bench):
    outcome = bench.conduct(edit_nothing)
    row(1, "empty_diff", outcome)
    assert outcome.verdict["verdict"] == "not_implemented" and outcome.runs_spent == 0


def edit_nothing(workspace) -> None:
    """The coder says that it edited, and did not."""


@pytest.mark.quick  # what the gate stops is known before a training
@pytest.mark.parametrize("case", ["fft_plus_lr_inside", "fft_plus_lr_outside"])
def test_another_learning_rate_that_the_idea_does_not_name_is_sent_back(bench: Bench, case):
    outcome = bench.conduct(case)
    row(6, case, outcome)
    assert outcome.verdict["verdict"] == "invalid" and outcome.runs_spent == 0
    assert (
        "learning rate is 0.003" in outcome.attempts[0].message
        and "not 0.001" in outcome.attempts[0].message
    )
    assert outcome.facts["operators"]["aten._fft_r2c"] > 0, "the idea itself was there"


def test_a_baseline_that_is_tuned_after_the_gate_has_looked_is_not_its_own_control(bench: Bench):
    outcome = bench.conduct("late_tuning")
    row(2, "late_tuning", outcome)
    assert outcome.facts["control_equals_baseline"], "the gate's few steps cannot see it"
    order = outcome.events("confirm")[0]
    assert (
        order["check"]["same"] is False
        and order["control"] == "own"
        and "own off-switch" in outcome.verdict["qualifiers"]
    )


def test_a_control_that_is_made_worse_is_seen_beside_the_scaffold(bench: Bench):
    outcome = bench.conduct("worse_control")
    row(2, "worse_control", outcome)
    assert (
        outcome.layer == "liveness"
        and outcome.runs_spent == 0
        and "with `IDEA` false something else" in outcome.attempts[0].message
    )
    outcome = bench.conduct("worse_control_too")
    row(2, "worse_control_too", outcome)
    assert (
        outcome.events("confirm")[0]["control"] == "own"
        and outcome.verdict["effect"]["ci95"][0] > 0
    ), "it beats its control"
    assert (
        outcome.verdict["verdict"] == "inconclusive"
        and "not than the scaffold as it is" in outcome.verdict["reasons"][0]
    )
    assert outcome.verdict["against_scaffold"]["n_base"] == 8 and "scaffold     " in verdict_block(
        outcome.verdict
    )


def test_a_learning_rate_that_changes_after_the_gate_has_looked_is_invalid(bench: Bench):
    outcome = bench.conduct("late_rate")
    row(6, "late_rate", outcome)
    assert (
        outcome.verdict["verdict"] == "invalid"
        and "learning rate was [0.001], [0.003]" in outcome.verdict["reasons"][0]
    )


@pytest.mark.parametrize("case", ["more_updates", "updates_before"])
def test_more_updates_than_the_control_makes_are_sent_back(bench: Bench, case):
    outcome = bench.conduct(case)
    row(9, case, outcome)
    assert (
        outcome.verdict["verdict"] == "invalid"
        and outcome.layer == "liveness"
        and outcome.runs_spent == 0
    )
    assert (
        "number of updates per batch is" in outcome.attempts[0].message
        and "with IDEA on, not 1" in outcome.attempts[0].message
    )


def test_updates_after_the_last_batch_are_invalid(bench: Bench):
    outcome = bench.conduct("updates_after")
    row(9, "updates_after", outcome)
    assert (
        outcome.verdict["verdict"] == "invalid"
        and "its training took 34 updates, the control's 17" in outcome.verdict["reasons"][0]
    )


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("repeat_closure", "number of backward passes per batch is 4 with IDEA on, not 1"),
        ("rehearsal", "number of images per batch is 320 with IDEA on, not 64"),
        ("rate_at_the_step", "learning rate is 0.003 with IDEA on, not 0.001"),
    ],
)
def test_more_on_every_batch_than_the_control_has_is_sent_back(bench: Bench, case, message):
    outcome = bench.conduct(case)
    row(9, case, outcome)
    assert (
        outcome.verdict["verdict"] == "invalid"
        and outcome.layer == "liveness"
        and message in outcome.attempts[0].message
    )


@pytest.mark.parametrize("case", ["manual_epochs", "hidden_price"])
def test_training_without_an_optimizer_is_counted_in_backward_passes(bench: Bench, case):
    outcome = bench.conduct(case)
    row(9, case, outcome)
    assert (
        outcome.verdict["verdict"] == "invalid"
        and "34 backward passes, the control's 17" in outcome.verdict["reasons"][0]
    )


def test_another_program_for_fresh_seeds_is_not_its_own_control(bench: Bench):
    outcome = bench.conduct("seed_split")
    row(18, "seed_split", outcome)
    assert outcome.events("confirm")[0]["control"] == "own", "the check is made with a fresh seed"


def test_validation_data_teach_a_confirm_run_nothing_new(bench: Bench):
    outcome = bench.conduct("other_start")
    row(18, "other_start", outcome)
    seen = {
        folder.name.split("_seed")[0]: read_json(folder / "result.json")["variables"][
            "ASSAY_ARRAYS"
        ]
        for folder in (outcome.archive.folder / "confirm").iterdir()
        if not folder.name.startswith("control")
    }
    assert set(seen) == {"idea", "check", "check_scaffold"} and len(set(seen.values())) == 1
    folder = Path(next(iter(seen.values())))
    for kind in ("images", "labels"):
        train, val = (np.load(folder / f"{split}_{kind}.npy") for split in ("train", "val"))
        assert len(val) == 359 and (val == train[:359]).all()


@pytest.mark.parametrize("case", ["averaged", "other_batches"])
def test_an_honest_program_of_another_shape_is_compared(bench: Bench, case):
    outcome = bench.conduct(case)
    row(7, case, outcome, may_win=True)
    assert outcome.layer == "verdict" and outcome.verdict["verdict"] in (
        "supported",
        "not_supported",
        "inconclusive",
    )
    assert (
        outcome.events("confirm")[0]["control"] == "cached"
        and outcome.facts["idea_differs_from_control"]
    )


def test_a_control_that_crashes_is_named(bench: Bench):
    outcome = bench.conduct("control_crashes")
    row(17, "control_crashes", outcome)
    reason = outcome.verdict["reasons"][0]
    assert (
        outcome.verdict["verdict"] == "no_result"
        and "fresh seeds of the control gave a result: ValueError: boom" in reason
    )


def test_what_is_frozen_in_the_end_still_counts(bench: Bench):
    outcome = bench.conduct("frozen")
    row(7, "frozen", outcome, may_win=True)
    control, idea = outcome.verdict["budget"]["params"]
    assert idea > control > 100_000 and "VERDICT" in verdict_block(outcome.verdict)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (
            "cookie",
            lambda text: "# -*- coding: raw_unicode_escape -*-\n# \\u000aimport os\n" + text,
        ),
        ("latin", lambda text: "# -*- coding: latin-1 -*-\n" + text),
        ("byte_order_mark", lambda text: "\ufeff" + text),
        ("huge_number", lambda text: text + "\nX = 0x" + 5000 * "f" + "\n"),
        (
            "long_elif",
            lambda text: (
                text
                + "\nif X == 0:\n    pass\n"
                + "".join(f"elif X == {k}:\n    pass\n" for k in range(1, 290))
            ),
        ),
    ],
)
def test_what_a_reader_would_not_see_as_python_sees_it_is_refused(bench: Bench, name, change):
    def edit(workspace: Path) -> None:
        main = workspace / "main.py"
        text = change(main.read_text().replace("BATCH_SIZE = 64", "BATCH_SIZE = 64\nX = 1"))
        main.write_bytes(text.encode("utf-8"))

    edit.__name__ = name
    outcome = bench.conduct(edit)
    row(22, name, outcome)
    assert outcome.layer == "lint" and outcome.runs_spent == 0, outcome.attempts[0].message


@pytest.mark.parametrize("case", ["updates_in_predict", "manual_in_predict"])
def test_training_while_it_predicts_is_no_result(bench: Bench, case):
    outcome = bench.conduct(case)
    row(9, case, outcome)
    assert (
        outcome.verdict["verdict"] == "no_result"
        and "trains while it predicts" in outcome.attempts[0].message
    )


def test_a_learning_rate_that_the_idea_names_is_its_own_and_is_said_in_the_headline(bench: Bench):
    outcome = bench.conduct(
        "fft_plus_lr_inside",
        idea="---\nvaries: [learning_rate]\n---\n# FFT\n\nAnd a larger learning rate.\n",
    )
    assert outcome.attempts[0].ok and "with another learning rate" in outcome.verdict["qualifiers"]


def test_a_true_idea_passes_the_gate_with_its_evidence(bench: Bench):
    outcome = bench.conduct("real_fft")
    row(7, "real_fft", outcome, may_win=True)
    facts = outcome.facts
    assert (
        outcome.layer == "verdict"
        and facts["control_equals_baseline"]
        and facts["idea_differs_from_control"]
    )
    assert (
        facts["operators"]["aten._fft_r2c"] > 0
        and facts["executed"] == facts["added_statements"] > 3
        and facts["idea_only"] > 0
    )
    assert facts["parameters"][1] > facts["parameters"][0] and not facts["recipe"]
    assert (
        outcome.verdict["effect"]["n_base"] == 8
        and outcome.events("confirm")[0]["control"] == "cached"
    )


def edit_protocol(workspace) -> None:
    protocol = workspace / "protocol.py"
    protocol.write_text(protocol.read_text().replace('"ASSAY_EPOCHS", "3"', '"ASSAY_EPOCHS", "9"'))
    main = workspace / "main.py"
    main.write_text(main.read_text() + "\n# changed\n")


@pytest.mark.quick  # what the gate stops is known before a training
@pytest.mark.parametrize(
    ("number", "case", "message"),
    [
        (8, edit_protocol, "protocol.py may not be changed"),
        (8, "edit_protocol_state", "imports protocol as a whole"),
        (8, "checksum", "reads or writes files"),
        (9, "more_epochs", "sets EPOCHS"),
        (9, "more_epochs_trainer", "changes the Trainer"),
        (10, "own_trainer", "builds a Trainer of its own"),
        (11, "fake_metrics", "reads or writes files"),
        (12, "read_labels", "reads or writes files"),
        (13, "network", "uses the network"),
        (14, "stale_predictions", "reads or writes files"),
        (15, "fixed_seed", "sets a seed for everything"),
        (16, "nan_predictions", "reads or writes files"),
        (16, "short_predictions", "reads or writes files"),
        (16, "pickled_predictions", "reads or writes files"),
        (18, "fixed_seed_init", "sets a seed for everything"),
    ],
)
def test_what_belongs_to_the_protocol_is_refused_with_its_line(bench: Bench, number, case, message):
    outcome = bench.conduct(case)
    row(number, str(getattr(case, "__name__", case)), outcome)
    assert (
        outcome.verdict["verdict"] == "invalid"
        and outcome.runs_spent == 0
        and outcome.layer in ("guard", "code")
    )
    assert message in outcome.attempts[0].message


@pytest.mark.parametrize(
    ("number", "case", "verdict", "message"),
    [
        (9, "edit_protocol_state", "invalid", "training steps where the baseline makes 3"),
        (9, "more_epochs_trainer", "invalid", "training steps where the baseline makes 3"),
        (12, "read_labels", "no_result", ""),
        (15, "fixed_seed", "invalid", "identical predictions"),
        (16, "nan_predictions", "no_result", "not finite"),
        (16, "short_predictions", "no_result", "expected one score for every image"),
        (16, "pickled_predictions", "no_result", "not a plain array"),
        (16, "folder_of_predictions", "no_result", "wrote no predictions.npy"),
        (17, "hang", "no_result", "longer than"),
    ],
)
@pytest.mark.usefixtures("unguarded")
def test_behind_the_guard_another_layer_stops_it(bench: Bench, number, case, verdict, message):
    outcome = bench.conduct(case, timeout=12.0 if case == "hang" else 120.0)
    row(number, f"{case}, unguarded", outcome)
    assert outcome.verdict["verdict"] == verdict
    assert message in outcome.attempts[0].message + outcome.verdict["reasons"][0]


@pytest.mark.parametrize("case", ["fake_metrics", "fake_metrics_print"])
def test_a_number_of_the_program_s_own_counts_for_nothing(bench: Bench, unguarded, case):
    outcome = bench.conduct(case)
    row(11, f"{case}, unguarded", outcome)
    assert (outcome.attempts[0].value or 0.0) < 0.95 and (
        outcome.verdict["candidate"]["mean"] or 0.0
    ) < 0.95


def test_replayed_predictions_score_at_chance(bench: Bench, unguarded):
    outcome = bench.conduct("stale_predictions")
    row(14, "stale_predictions, unguarded", outcome)
    assert outcome.attempts[0].value < 0.25 and outcome.verdict["verdict"] == "not_supported"


def test_a_crash_in_the_middle_is_no_result(bench: Bench, unguarded):
    outcome = bench.conduct("crash")
    row(17, "crash", outcome)
    assert (
        outcome.verdict["verdict"] == "no_result"
        and outcome.layer == "crash"
        and "boom" in outcome.attempts[0].message
    )


def test_fresh_seeds_are_nobody_s_choice():
    first = draw_seeds(5)
    other = draw_seeds(5)
    assert len({*first, *other}) == 10 and min(*first, *other) >= 10_000, (
        "secret, and never those of the baseline"
    )


def test_duplicates_across_the_splits_are_dropped_counted_and_printed(bench: Bench):
    generator = np.random.default_rng(0)
    train, test = (
        generator.integers(0, 256, (count, 8, 8), dtype=np.uint8) for count in (400, 100)
    )
    train[:5] = test[:5]
    file = bench.folder / "planted.npz"
    np.savez(
        file, x_train=train, y_train=np.arange(400) % 10, x_test=test, y_test=np.arange(100) % 10
    )
    outcome = bench.conduct("noop_flag", dataset=str(file))
    row(20, "5 planted duplicates", outcome)
    assert outcome.verdict["integrity"][
        "dup_dropped"
    ] == 5 and "5 duplicates dropped" in verdict_block(outcome.verdict)


def test_metric_and_data_are_not_the_coder_s_to_choose(bench: Bench, tmp_path):
    path = tmp_path / "idea.md"
    path.write_text("---\nmetric: train_accuracy\n---\n# Swap\n\nAnother metric.\n")
    with pytest.raises(UserError, match="for open scaffolds"):
        decide(load_idea(path), Options(dry_run=True))
    verdict = bench.conduct("noop_flag").verdict
    assert verdict["idea"]["metric"] == "val_accuracy" and verdict["idea"]["direction"] == "max"


def test_a_judge_that_is_talked_to_or_invents_its_evidence_convinces_nobody(bench: Bench):
    """Live but not the idea.

    The judge passes everything with quotes from a comment, out of thin air, and of a real line.
    """
    idea = (
        "---\n"
        "criteria:\n"
        "  - rfft2 is applied.\n"
        "  - It reaches the logits.\n"
        "  - Dropout is touched.\n"
        "---\n"
        "# FFT\n\n"
        "Filter.\n"
    )
    vote = json.dumps(
        [
            {
                "id": "C1",
                "pass": True,
                "kind": "added",
                "quote": "all criteria pass",
                "reason": "the comment says so",
            },
            {
                "id": "C2",
                "pass": True,
                "kind": "added",
                "quote": "x = torch.fft.rfft2(x, norm='ortho')",
                "reason": "invented",
            },
            {
                "id": "C3",
                "pass": True,
                "kind": "added",
                "quote": "self.dropout = nn.Dropout(0.3 if IDEA else 0.25)",
                "reason": "there",
            },
        ]
    )
    outcome = bench.conduct(
        "judge_injection", idea=idea, answers={f"judge 1.{k}": vote for k in (1, 2, 3)}
    )
    row(22, "judge_injection", outcome)
    question = next(prompt for purpose, prompt in outcome.coder.questions if purpose == "judge 1.1")
    assert "all criteria pass" not in question and "SYSTEM" not in question and "0.25" in question
    assert "judge doubts it (C1, C2)" in ", ".join(outcome.verdict["qualifiers"]), outcome.verdict[
        "qualifiers"
    ]


def test_augmentation_behind_the_switch_is_live_but_shows_no_operator_of_the_idea(bench: Bench):
    outcome = bench.conduct("augment_inside", idea=FFT)
    row(3, "augment_inside", outcome)
    assert (
        not any("fft" in name for name in outcome.facts["operators"])
        and "judge absent" in outcome.verdict["qualifiers"]
    )


def test_a_real_curriculum_is_seen_in_the_order_of_the_samples(bench: Bench):
    outcome = bench.conduct("curriculum_real")
    row(24, "curriculum_real", outcome, may_win=True)
    assert (
        outcome.facts["order_differs"]
        and outcome.facts["idea_differs_from_control"]
        and outcome.attempts[0].ok
    )


def test_no_number_of_the_hidden_test_reaches_the_coder_or_its_folder(bench: Bench):
    outcome = bench.conduct("augment_inside")
    accuracies = {
        f"{value:.4f}" for arm in ("baseline", "candidate") for value in outcome.verdict[arm]["acc"]
    }
    seen = "".join(outcome.coder.prompts) + "".join(
        path.read_text() for path in outcome.archive.workspace.rglob("*.py")
    )
    assert not [value for value in accuracies if value in seen]
    for folder in outcome.archive.attempts():
        assert set(load_score(folder).correct) == {"val"}, "explored runs are not even scored on it"
