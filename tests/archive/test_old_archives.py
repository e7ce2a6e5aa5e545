"""Archives that an earlier version wrote are read as it read them: verdicts, tables, pages, diary.

tests/old_archives/runs holds four experiments of commit 9d565b0, with real runs on a CPU:
frequency_domain_cnn     the shipped session on digits; the control is the scaffold; inconclusive
dynamic_depth_cnn        another, with a judge's answers and an off-switch of its own;
                         not supported, reproduced once
curriculum_learning_cnn  a session that only tunes; a fault, then a second command; not implemented
higher                   an open scaffold: a crash, no edit, no result, two runs, a model's reading
What no reader opens was left out (working folders, checkpoints, pages, copies of the scaffold),
and paths and the names of the machine were replaced.

tests/old_archives/expected holds what that version made of them. The verdicts, write-ups and the
diary that are expected are the archives' own.

python -m tests.archive.test_old_archives      writes expected/ again, for a change that is meant
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.archive.lookup import experiments
from agent.archive.verdict import load_verdict
from agent.report.summary import summarise
from agent.report.text.diary import DIARY, enter
from agent.report.text.write_up import write_up
from tests.conftest import REPOSITORY

ARCHIVES = REPOSITORY / "tests" / "old_archives"
RUNS, EXPECTED = ARCHIVES / "runs", ARCHIVES / "expected"
PAGES = "pages.json"
VERDICTS = {
    "curriculum_learning_cnn": "not_implemented",
    "dynamic_depth_cnn": "not_supported",
    "frequency_domain_cnn": "inconclusive",
    "higher": "inconclusive",
}
# What is printed, by the file that holds what is expected; --json has the whole verdict in it.
OF_ALL = {
    "review.txt": ("review",),
    "review.json": ("review", "--json"),
    "review.csv": ("review", "--csv"),
    "watch.txt": ("watch", "--once"),
}
OF_EACH = {f"{name}.review.txt": ("review", name) for name in VERDICTS}
CLOSE_UP = {
    "higher.review.json": ("review", "higher", "--json"),
    "higher.log.txt": ("review", "higher", "--log", "run_1.failed_1"),
    "dynamic_depth_cnn.diff.txt": ("review", "dynamic_depth_cnn", "--diff"),
}
PRINTED = OF_ALL | OF_EACH | CLOSE_UP
UTC = {"TZ": "UTC"}  # watch prints local time

FOOTER = re.compile(r"Made by Assay(?: [0-9a-f]{7})? on \d{4}-\d\d-\d\d \d\d:\d\d UTC")
PICTURE = re.compile(r'<svg role=.*?</svg>|"box": \[.*?\]', re.DOTALL)
SECTION = re.compile(r'<section id="(\w+)">.*?</section>', re.DOTALL)
CLOCK = re.compile(r"\b(?:\d{4}-\d\d-\d\d )?(?=\d\d:\d\d\b)")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The old archives where commands look for them, to be written to."""
    return shutil.copytree(RUNS, tmp_path / "runs")


def archive(runs: Path, name: str) -> Path:
    """The folder of the one experiment of this idea."""
    (folder,) = (runs / name).iterdir()
    return folder


def undated(name: str, text: str) -> str:
    """Without what depends on the day of reading: watch prints a date where it was not today."""
    return CLOCK.sub("", text) if name == "watch.txt" else text


def parts(page: str) -> dict[str, str]:
    """Fingerprints of a page by section, so that a difference says where it is.

    Taken out: when and by which commit the page was made. frame: all around the sections, style and
    script included. pictures: with the places of their axes, apart, for another version of
    matplotlib may draw them otherwise.
    """
    page = FOOTER.sub("Made by Assay", page)
    pictures = "\n".join(PICTURE.findall(page))
    page = PICTURE.sub("", page)
    sections = {match[1]: match[0] for match in SECTION.finditer(page)}
    texts = {"frame": SECTION.sub("", page), **sections, "pictures": pictures}
    return {name: _fingerprint(text) for name, text in texts.items() if text}


def _fingerprint(text: str) -> str:
    return f"{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def pages(runs: Path) -> dict[str, dict[str, str]]:
    """The parts of every page under runs/, by the path of the page."""
    paths = sorted([runs / "report.html", *runs.glob("[!_]*/*/report.html")])
    return {path.relative_to(runs).as_posix(): parts(path.read_text()) for path in paths}


@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdict_of_an_old_archive_is_computed_again_to_the_same_bytes(name, runs, launch):
    stored = archive(runs, name) / "verdict.json"
    before = stored.read_bytes()
    stored.unlink()
    done = launch("verdict", name)
    assert (done.code, done.err) == (0, "")
    assert stored.read_bytes() == before and json.loads(before)["verdict"] == VERDICTS[name]
    assert done.out == (EXPECTED / f"{name}.verdict.txt").read_text()


@pytest.mark.parametrize("name", PRINTED)
def test_what_is_printed_of_old_archives_is_what_their_own_version_printed(name, runs, launch):
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    done = launch(*PRINTED[name], **UTC)
    assert (done.code, done.err) == (0, "")
    assert undated(name, done.out) == (EXPECTED / name).read_text()
    assert {path: path.read_bytes() for path in before} == before, "a reader writes nothing"


def test_the_pages_of_old_archives_are_those_that_their_own_version_made(runs, launch):
    done = launch("report")
    assert (done.code, done.err) == (0, "")
    assert done.out == (EXPECTED / "report.txt").read_text()
    assert pages(runs) == json.loads((EXPECTED / PAGES).read_text())


def test_diary_and_write_ups_of_old_archives_are_made_again_to_the_same_bytes(runs):
    texts = [runs / DIARY, *(archive(runs, name) / "report.md" for name in VERDICTS)]
    before = {path: path.read_bytes() for path in texts}
    for path in texts:
        path.unlink()
    for experiment in sorted(experiments(runs), key=lambda experiment: experiment.folder.name):
        summary, verdict = summarise(experiment), load_verdict(experiment)
        enter(runs, summary, verdict)
        write_up(summary, verdict)
    assert {path: path.read_bytes() for path in texts} == before


def test_the_old_archives_name_no_place_of_the_machine_that_made_them():
    place = re.compile(rb"://|/root/|/tmp/|/home/(?!ada/)")
    paths = [path for path in ARCHIVES.rglob("*") if path.is_file()]
    assert len(paths) > 200 and sum(path.stat().st_size for path in paths) < 700_000
    assert [path for path in paths if place.search(path.read_bytes())] == []


def write_expected() -> None:
    """All of expected/, by the commands of this version."""
    with tempfile.TemporaryDirectory() as folder:
        runs = shutil.copytree(RUNS, Path(folder) / "runs")

        def output(*arguments: str) -> str:
            command = [sys.executable, str(REPOSITORY / "launch.py"), *arguments]
            return subprocess.check_output(command, cwd=folder, env=os.environ | UTC, text=True)

        texts = {name: undated(name, output(*command)) for name, command in PRINTED.items()}
        texts |= {f"{name}.verdict.txt": output("verdict", name) for name in VERDICTS}
        texts["report.txt"] = output("report")
        texts[PAGES] = json.dumps(pages(runs), indent=1) + "\n"
    EXPECTED.mkdir(exist_ok=True)
    for name, text in texts.items():
        (EXPECTED / name).write_text(text)


if __name__ == "__main__":
    write_expected()
