"""runs/DIARY.md and report.md.

Written once from the archive, whole or not at all, never a reason to fail.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from agent.archive.lookup import experiments
from agent.archive.paths import Archive
from agent.archive.verdict import load_verdict
from agent.report import write
from agent.report.terminal.verdict_text import headline
from agent.report.text import diary
from agent.report.text.markdown import code, escape
from agent.report.write import write_reports
from agent.util import files
from tests.replies import edit, scores
from tests.scripted import conduct


def marks(runs: Path) -> list[str]:
    return re.findall(r"^<!-- experiment (.*) -->$", (runs / "DIARY.md").read_text(), re.M)


@pytest.fixture
def archive(quick) -> Archive:
    """A finished experiment of which nothing is written yet: a crash, then a run."""
    return conduct(quick, "1 / 0", 0.6)


@pytest.fixture
def runs(archive) -> Path:
    return archive.folder.parents[1]


def test_a_command_that_ends_leaves_an_entry_and_a_write_up_made_of_the_archive(
    quick_launch, session, tmp_path
):
    done = quick_launch(
        "--model",
        f"replay:{session(edit('SCORE = 0.5', 'SCORE = 1 / 0'), *scores(0.6, start='1 / 0'))}",
        "--runs",
        "1",
    )
    archive = done.archives[-1]
    runs = tmp_path / "runs"
    verdict = load_verdict(archive)
    text = (runs / "DIARY.md").read_text()
    assert done.code == 0 and marks(runs) == [f"higher/{archive.folder.name}"] and verdict
    assert (
        escape(headline(verdict)) in text
        and "self-reported, one run each: baseline 0.5000, best 0.6000" in text
    )
    assert re.search(
        r'  - run_1\.failed_1: crash: .*ZeroDivisionError.*; the coder\'s words: "I change it\."',
        text,
    )
    assert "  - run_1: success, val_accuracy 0.6000" in text and re.search(
        r"^## 20\d\d-\d\d-\d\d \d\d:\d\d UTC: Higher$", text, re.M
    )
    links = [
        target
        for target in re.findall(r"\]\(([^)]+)\)", text)
        if not target.endswith("report.html")
    ]
    assert len(links) == 2 and all((runs / target).exists() for target in links)
    write_up = archive.write_up.read_text()
    for part in (
        "# Higher",
        "Make SCORE higher.",
        "| run_1 | success | 0.6000 |",
        "| run_1.failed_1 | crash |",
        "INCONCLUSIVE",
        "(self-reported).",
        f"launch.py verdict higher/{archive.folder.name}",
        "[report.html](report.html)",
    ):
        assert part in write_up, part
    before = text, write_up
    assert (
        "finished earlier"
        in quick_launch("--model", f"replay:{tmp_path / 'session.jsonl'}", "--runs", "1").out
    )
    assert ((runs / "DIARY.md").read_text(), archive.write_up.read_text()) == before, "entered once"


def test_the_real_scaffold_s_confirmation_diff_and_seeds_stand_in_it(bench):
    def gelu(workspace: Path) -> None:
        main = workspace / "main.py"
        main.write_text(
            main.read_text().replace(
                "F.relu(self.conv2(x))", "(F.gelu if IDEA else F.relu)(self.conv2(x))"
            )
        )

    outcome = bench.conduct(gelu)
    runs = outcome.archive.folder.parents[1]
    assert write_reports(outcome.archive, runs) == []
    write_up = outcome.archive.write_up.read_text()
    verdict = outcome.verdict
    assert (
        f"fresh ones of the idea {', '.join(map(str, verdict['candidate']['seeds']))}" in write_up
        and "digits, 1,079 images" in write_up
    )
    assert (
        "```diff" in write_up
        and "+        x = self.pool((F.gelu if IDEA else F.relu)(self.conv2(x)))" in write_up
    )
    assert (
        f"launch.py reproduce gelu/{outcome.archive.folder.name}" in write_up
        and "torch 2" in write_up
    )
    means = [f"{100 * verdict[arm]['mean']:.2f} %" for arm in ("baseline", "candidate")]
    assert f"control {means[0]}, idea {means[1]}, on 359 images" in (runs / "DIARY.md").read_text()
    assert (
        f"a true effect of {100 * verdict['effect']['mde80']:.2f} pp is found in 4 of 5 cases"
        in write_up
    )


def test_the_user_s_own_words_and_a_link_to_another_place_stay(archive, runs, tmp_path):
    elsewhere = tmp_path / "notes.md"
    elsewhere.write_bytes(b"Mine.\r\n\xff not UTF-8, no newline")
    (runs / "DIARY.md").symlink_to(elsewhere)
    archive.write_up.write_text("My paper.\n")
    assert write_reports(archive, runs) == [], "a write-up says that all was written"
    archive.write_up.unlink()
    assert write_reports(archive, runs) == [] and (runs / "DIARY.md").is_symlink()
    assert elsewhere.read_bytes().startswith(
        b"Mine.\r\n\xff not UTF-8, no newline\n\n<!-- experiment higher/"
    )
    (runs / "DIARY.md").write_text("# I took the entry out\n")
    assert (
        write_reports(archive, runs) == []
        and (runs / "DIARY.md").read_text() == "# I took the entry out\n"
    )


def _killed(archive: Archive, runs: Path, place: str) -> None:
    """Write, and die at this place: after the entry is made, or before the file gets its name."""
    if place == "before":
        files.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
    else:
        write.write_up = lambda _, verdict: os.kill(os.getpid(), signal.SIGKILL)
    write_reports(archive, runs)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_kill_while_it_writes_leaves_it_whole_and_the_next_command_enters_it_once(
    archive, runs, place
):
    process = multiprocessing.get_context("fork").Process(
        target=_killed, args=(archive, runs, place)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL and not archive.write_up.exists()
    assert (runs / "DIARY.md").exists() == (place == "after")
    assert (
        write_reports(archive, runs) == [] and len(marks(runs)) == 1 and archive.write_up.exists()
    )


def _enter(archive: Archive, runs: Path) -> None:
    problems = write_reports(archive, runs)
    print(*problems, file=sys.stderr, flush=True)
    os._exit(int(problems != []))


def test_commands_that_finish_at_once_lose_no_entry(archive, runs):
    copies = [
        Archive(shutil.copytree(archive.folder, runs / f"idea_{k}" / "20260101T000000Z"))
        for k in range(8)
    ]
    processes = [
        multiprocessing.get_context("fork").Process(target=_enter, args=(copy, runs))
        for copy in [*copies, *copies]
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 16
    assert sorted(marks(runs)) == [f"idea_{k}/20260101T000000Z" for k in range(8)]


def test_what_cannot_be_written_is_a_line_and_is_written_later(archive, runs):
    (runs / "DIARY.md").mkdir()
    assert ["DIARY.md was not written" in line for line in write_reports(archive, runs)] == [True]
    assert not archive.write_up.exists(), "it would say that the entry is there"
    (runs / "DIARY.md").rmdir()
    assert write_reports(archive, runs) == [] and len(marks(runs)) == 1


def test_archives_without_a_verdict_and_damaged_ones_make_no_entry_and_no_crash(archive, runs):
    whole = archive.folder
    for number, (name, content) in enumerate(
        [
            ("verdict.json", "{"),
            ("verdict.json", '{"schema": 1}'),
            ("config.json", "{}"),
            ("events.jsonl", ""),
            ("run_1/result.json", "{}"),
            ("run_1/result.json", None),
            ("idea.md", None),
            ("run_1/reply.md", None),
            ("config.json", None),
        ]
    ):
        copy = Archive(shutil.copytree(whole, runs / "damaged" / f"20260101T00000{number}Z"))
        (copy.folder / name).unlink() if content is None else (copy.folder / name).write_text(
            content
        )
        problems = write_reports(copy, runs)
        assert len(problems) <= 1 and "\n" not in "".join(problems), problems
    entered = marks(runs) if (runs / "DIARY.md").exists() else []
    assert set(entered) <= {f"damaged/20260101T00000{number}Z" for number in (2, 6, 7, 8)}, (
        "those whose verdict and attempts are whole"
    )
    verdict = json.loads(archive.verdict.read_text())
    archive.verdict.write_text(json.dumps(verdict | {"cost": {}, "selection": 5}))
    assert len(write_reports(archive, runs)) <= 1


def test_markup_in_any_text_is_text():
    assert escape(
        "a_b *c* <img src=x onerror=alert(1)> [d](e) `f` | # g\n\n## h \x1b[1m https://i www.j"
    ) == (
        r"a_b \*c\* &lt;img src=x onerror=alert(1)&gt; \[d\](e) \`f\` \| # g ## h "
        "https&#58;//i www&#46;j"
    )
    assert escape("_a_ ~~b~~ $c$ &amp; \\") == r"\_a\_ \~\~b\~\~ \$c\$ &amp;amp; \\"
    assert code("```\n</pre>\x1b[2J", 9, 99) == "````\n```\n</pre>\\x1b[2J\n````"


def test_the_diary_of_a_queue_holds_each_experiment_in_the_order_of_their_ends(quick):
    (quick / "second.md").write_text("# Second\n\nText.\n")
    for name in ("higher", "second"):
        archive = conduct(quick, 0.6, name=name)
        write_reports(archive, quick / "runs")
    names = [
        f"{experiment.folder.parent.name}/{experiment.folder.name}"
        for experiment in experiments(quick / "runs")
    ]
    assert marks(quick / "runs") == names and (quick / "runs" / "DIARY.md").read_text().startswith(
        diary.OPENING
    )
