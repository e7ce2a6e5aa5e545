"""The command line: what the user can get wrong, queues, exit codes, review, doctor, dry run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import launch as launch_module
from agent.cli import review
from tests.replies import edit, scores


@pytest.mark.slow
def test_wrong_usage_is_one_clear_line_and_exit_code_2_before_anything_is_spent(launch, tmp_path):
    good = tmp_path / "good.md"
    bad = tmp_path / "bad.md"
    good.write_text("# Good\n\nText.\n")
    bad.write_text("# Bad\n")
    replay = tmp_path / "s.jsonl"
    replay.write_text('{"reply": "x"}\n')
    for arguments, message in [
        ([], "IDEA"),
        (["absent.md"], "absent.md: cannot be read"),
        ([good, bad, "--model", f"replay:{replay}"], "bad.md:1: nothing follows the title"),
        ([good], "export ANTHROPIC_API_KEY="),
        ([good, "--runs", "0"], "--runs"),
        ([good, "--timeout", "nan"], "--timeout"),
        ([good, "--model", "replay:absent.jsonl"], "absent.jsonl: cannot be read"),
        (
            [good, "--model", f"replay:{replay}", "--dataset", "imagenet"],
            "unknown data set 'imagenet'",
        ),
        ([good, "--model", f"replay:{replay}", "--scaffold", tmp_path], "has no main.py"),
        (
            [good, "--model", f"replay:{replay}", "--python", "nowhere"],
            "--python nowhere: no such file",
        ),
        ([good, "--model", f"replay:{replay}", "--python", sys.executable], "lacks torch"),
        (["review"], "no experiment here yet"),
        (["review", "absent"], "absent: no experiment"),
    ]:
        done = launch(*arguments)
        assert done.code == 2, (arguments, done)
        assert message in done.err and "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()


def test_no_key_and_no_session_says_in_two_lines_how_to_set_one(launch, tmp_path):
    (tmp_path / "good.md").write_text("# Good\n\nText.\n")
    lines = launch("good.md").err.strip().splitlines()
    assert [line.strip().split()[0] for line in lines[1:]] == ["export", "python"]


def test_another_setting_or_another_text_is_another_experiment(quick_launch, session, quick):
    model = f"replay:{session(*scores(0.6, 0.7))}"
    quick_launch("--model", model, "--runs", "1")
    other = quick_launch("--model", model, "--runs", "1", "--seed", "1")
    assert len(other.archives) == 2
    (quick / "higher.md").write_text("# Higher\n\nAnother text.\n")
    assert len(quick_launch("--model", model, "--runs", "1").archives) == 3


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("mount"), reason="cannot make a small disk here"
)
def test_a_folder_that_cannot_be_written_and_a_full_disk_are_faults_that_name_it(
    quick_launch, session, tmp_path
):
    model = f"replay:{session(*scores(0.6))}"
    (tmp_path / "file").write_text("")
    done = quick_launch("--model", model, "--runs-dir", tmp_path / "file" / "runs")
    assert (
        done.code == 1
        and "disk: " in done.out + done.err
        and str(tmp_path / "file") in done.out + done.err
    )
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True, check=False
    ).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        full = quick_launch("--model", model, "--runs-dir", small / "runs")
        assert (
            full.code == 1
            and "No space left" in full.out + full.err
            and "Traceback" not in full.out + full.err
        )
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_full_disk_is_not_held_against_the_code_and_the_experiment_goes_on_later(
    quick_launch, session, tmp_path
):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        fill = "    open('big', 'wb').write(b'x' * (70 << 20))\n"
        opening = '    with open("final_info.json", "w") as file:'
        reply = edit(opening, fill + "    open('more', 'wb').write(b'x' * (70 << 20))\n" + opening)
        model = f"replay:{session(reply)}"
        full = quick_launch("--model", model, "--runs", "1", "--runs-dir", disk / "runs")
        assert (
            full.code == 1
            and "fault: disk: " in full.out
            and "Traceback" not in full.out + full.err
        )
        subprocess.run(["mount", "-o", "remount,size=600m", disk], check=True)
        assert quick_launch("--model", model, "--runs", "1", "--runs-dir", disk / "runs").code == 0
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
def test_open_scaffolds_see_their_data_and_their_out_dir_option(quick, launch, session):
    main = quick / "scaffold" / "main.py"
    main.write_text('''"""Writes where --out_dir says, from the data it finds."""
import argparse
import json
import os

SCORE = 0.5
parser = argparse.ArgumentParser()
parser.add_argument("--out_dir", default="elsewhere")
folder = parser.parse_args().out_dir
os.makedirs(folder, exist_ok=True)
found = sorted(os.listdir("data"))
with open(os.path.join(folder, "final_info.json"), "w") as file:
    json.dump({"digits": {"means": {"error": SCORE, "found": len(found)}}}, file)
''')
    (quick / "higher.md").write_text(
        "---\nmetric: error\ndirection: min\n---\n# Lower\n\nMake SCORE lower.\n"
    )
    done = launch(
        quick / "higher.md",
        "--scaffold",
        quick / "scaffold",
        "--python",
        sys.executable,
        "--dataset",
        "digits",
        "--model",
        f"replay:{session(*scores(0.4, 0.3, 0.2))}",
    )
    assert done.statuses == ["success"] * 3, done.out
    result = json.loads(done.archives[-1].run(1).result.read_text())
    assert (
        result["metrics"]["found"] == 5 and result["self_reported"] and "self-reported" in done.out
    )


@pytest.mark.quick
def test_review_is_plain_in_a_pipe_and_shows_tables_gate_and_diffs(quick_launch, launch, session):
    replies = [
        edit("SCORE = 0.5", "SCORE = 1 / 0"),
        edit("SCORE = 1 / 0", "SCORE = 0.6\nprint('\\x1b[31m[bold]red')"),
        *scores(0.7, start=0.6),
    ]
    done = quick_launch("--model", f"replay:{session(*replies)}", "--runs", "2")
    overview = launch("review")
    experiment = launch("review", "higher")
    folder = launch("review", done.archives[-1].folder)
    assert (
        overview.code == experiment.code == folder.code == 0
        and experiment.out.splitlines()[:-1] == folder.out.splitlines()[:-1]
    )
    assert "0.5000" in overview.out and "+0.2000" in overview.out and "run_limit" in overview.out
    assert "run_1.failed_1: crash" in experiment.out and "ZeroDivisionError" in experiment.out
    assert (
        "-SCORE = 0.5" in experiment.out
        and "+SCORE = 0.7" in experiment.out
        and "gate: guard passed, requirements passed, lint passed" in experiment.out
    )
    assert "\x1b" not in overview.out + experiment.out


@pytest.mark.quick
def test_dry_run_prints_the_prompt_and_the_plan_and_leaves_nothing(quick_launch, session, tmp_path):
    done = quick_launch("--model", f"replay:{session('x')}", "--dry-run")
    assert done.code == 0 and "Make SCORE higher." in done.out and "baseline and 3 runs" in done.out
    assert not (tmp_path / "runs").exists()


def test_doctor_says_what_is_there_and_fails_only_when_the_main_job_cannot_run(
    launch, tmp_path, monkeypatch, experiments_environment
):
    good = launch("doctor", "--python", experiments_environment.python)
    assert good.code == 0 and "torch" in good.out and "digits (bundled)" in good.out
    (tmp_path / "file").write_text("")
    bad = launch(
        "doctor", "--python", tmp_path / "nowhere", "--runs-dir", tmp_path / "file" / "runs"
    )
    assert bad.code == 1 and "cannot run: environment, runs" in bad.out


def test_a_bug_of_ours_leaves_its_traceback_in_a_file_not_on_the_terminal(monkeypatch, capsys):
    def broken(arguments):
        raise KeyError("a bug")

    monkeypatch.setattr(review, "command", broken)
    assert launch_module.main(["review"]) == 1
    output = capsys.readouterr().err
    assert "Traceback" not in output and "report it with" in output
    assert "KeyError: 'a bug'" in Path(output.split()[-1]).read_text()


def test_one_damaged_archive_hides_no_other(quick_launch, launch, session, tmp_path):
    quick_launch("--model", f"replay:{session(*scores(0.6))}", "--runs", "1")
    for name, config in (("foreign", "{}"), ("torn", "{"), ("empty", "")):
        (tmp_path / "runs" / name / "stamp").mkdir(parents=True)
        (tmp_path / "runs" / name / "stamp" / "config.json").write_text(config)
    done = launch("review")
    assert (
        done.code == 0
        and done.out.count("damaged: ") == 3
        and "run_limit" in done.out
        and "self-reported" in done.out
    )
    assert launch("review", "torn").code == 1
    archive = next(archive for archive in done.archives if archive.folder.parent.name == "higher")
    archive.verdict.write_text('{"schema": 1}')
    done = launch("review")
    assert done.code == 0 and done.out.count("damaged: ") == 3 and "self-reported" not in done.out
    assert "old format: verdict.json: not a verdict of this version" in done.out
    assert "not a verdict of this version" in launch("review", archive.folder).err
    assert (
        launch("verdict", archive.folder).code == 0 and launch("review").out.count("damaged: ") == 3
    )


def test_two_commands_that_want_the_same_baseline_at_once_train_it_once(
    launch, tmp_path, experiments_environment
):
    options = (
        "baseline",
        "--dataset",
        "digits",
        "--epochs",
        "1",
        "--baseline-seeds",
        "3",
        "--python",
        experiments_environment.python,
    )
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: launch(*options), range(2)))
    assert [done.code for done in both] == [0, 0], both
    assert all(
        "find a true effect of" in done.out and "0 duplicates across the splits dropped" in done.out
        for done in both
    )
    trained = sorted(
        path.parent.name for path in (tmp_path / "runs" / "_baselines").glob("*/*/result.json")
    )
    assert trained == ["seed_0", "seed_1", "seed_2"], "no seed twice, none half"
    again = launch(*options)
    assert again.code == 0 and "training" not in again.out


def test_verdict_and_reproduce_say_in_one_line_what_they_cannot_do(quick_launch, launch, session):
    quick_launch("--model", f"replay:{session(*scores(0.6))}", "--runs", "1")
    verdict = launch("verdict", "higher")
    assert (
        verdict.code == 0
        and "INCONCLUSIVE" in verdict.out
        and "self-reported" in verdict.out.splitlines()[0]
    )
    assert "verdict" in launch("review").out
    none = launch("reproduce", "higher")
    assert none.code == 2 and "nothing to reproduce" in none.err
    assert launch("verdict", "absent").code == launch("reproduce", "absent").code == 2
