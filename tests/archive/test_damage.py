"""Damage by hand, and by disks that lie.

A torn last line is mended by the same command, all other damage is one line that names it.

Every byte at which a line can be torn is tried in test_archive.py; here a
whole experiment goes on from a few of them.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent.archive.lookup import experiments
from agent.archive.paths import RunFolder
from agent.archive.score import load_score
from agent.util.errors import Fault
from agent.util.files import read_events
from tests.conftest import REPOSITORY
from tests.replies import edit, scores

pytestmark = pytest.mark.slow  # each test runs commands with Aider's process

REPLIES = [
    scores(0.6)[0],
    edit("SCORE = 0.6", "SCORE = undefined"),
    edit("SCORE = undefined", "SCORE = 0.7"),
    *scores(0.8, start=0.7),
]

# Kills itself when the NTH event of this name is on disk; runs launch.py until then.
KILLED_AFTER = """
import os, runpy, signal, sys
sys.path.insert(0, {repository!r})
import agent.util.files as files
write, left = files.append_line, [{nth}]
def append_line(path, value):
    write(path, value)
    left[0] -= value.get("event") == {event!r}
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
files.append_line = append_line
sys.argv = ["launch.py", *sys.argv[1:]]
runpy.run_path({repository!r} + "/launch.py", run_name="__main__")
"""


@pytest.fixture
def command(quick_arguments, session) -> list[str]:
    return [*quick_arguments, "--model", f"replay:{session(*REPLIES)}"]


def kill_after(event: str, nth: int, command: list[str], folder: Path) -> None:
    driver = KILLED_AFTER.format(repository=str(REPOSITORY), event=event, nth=nth)
    done = subprocess.run(
        [sys.executable, "-c", driver, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -9, done


def tear(path: Path, keep: float) -> None:
    """Cut the last line so that this share of it is left."""
    data = path.read_bytes()
    start = data.rfind(b"\n", 0, -1) + 1
    path.write_bytes(data[: start + int(keep * (len(data) - 1 - start))])


def tree(folder: Path) -> dict[str, bytes]:
    """All but the page, which is made again of whatever there is."""
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "report.html"
    }


@pytest.mark.parametrize(
    ("killed_after", "torn"),
    [
        (("baseline", 1), ["events.jsonl"]),
        # The turn is taken again from its recorded replies.
        (("edit", 2), ["events.jsonl", "requests.jsonl"]),
        # A reply of a finished turn: nothing needs it any more.
        (("edit", 2), ["session.jsonl", "requests.jsonl"]),
        # The last reply of an open turn: it is asked for again.
        (("edit", 2), ["events.jsonl", "session.jsonl", "requests.jsonl"]),
        (("attempt", 2), ["events.jsonl"]),
        # Nothing is asked to decide again.
        (("verdict", 1), ["events.jsonl", "session.jsonl"]),
    ],
)
def test_a_torn_last_line_is_mended_by_the_same_command(
    launch, command, tmp_path, killed_after, torn
):
    event, nth = killed_after
    kill_after(event, nth, command, tmp_path)
    (archive,) = experiments(tmp_path / "runs")
    for name in torn:
        tear(archive.folder / name, random.Random(f"{event} {torn}").random())
    done = launch(*command)
    assert done.code == 0, done
    assert [
        (attempt["folder"], attempt["status"], attempt["value"])
        for attempt in done.events("attempt")
    ] == [
        ("run_1", "success", 0.6),
        ("run_2", "success", 0.7),
        ("run_3", "success", 0.8),
    ]
    lost = int(
        "session.jsonl" in torn and torn != ["events.jsonl", "session.jsonl", "requests.jsonl"]
    )
    replies = [line["reply"] for line in read_events(archive.session)]
    assert (
        len(replies) == len(REPLIES) - lost
        and set(replies) <= set(REPLIES)
        and len(set(replies)) == len(replies)
    )
    assert "2 experiments" not in done.out and len(done.archives) == 1


def test_a_damaged_line_in_the_middle_stops_only_that_experiment_and_changes_nothing(
    launch, command, tmp_path
):
    (tmp_path / "other.md").write_text("# Other\n\nAnother idea.\n")
    other = [str(tmp_path / "other.md"), *command[1:]]
    assert launch(*other).code == 0
    kill_after("attempt", 2, command, tmp_path)
    archive = next(
        candidate
        for candidate in experiments(tmp_path / "runs")
        if candidate.folder.parent.name == "higher"
    )
    for path in (archive.events, archive.session):
        good = path.read_bytes()
        path.write_bytes(good.replace(b"\n", b"\n{damaged\n", 1))
        before = tree(archive.folder)
        done = launch(*command)
        assert (
            done.code == 1
            and f"archive: {path.relative_to(tmp_path)}:2: damaged line" in done.out + done.err
        ), done
        assert "Traceback" not in done.out + done.err and "fault of Assay" not in done.err
        assert tree(archive.folder) == before
        if path == archive.events:
            seen = launch("review")
            assert (
                seen.code == 0
                and "damaged: events.jsonl:2: damaged line" in " ".join(seen.out.split())
                and "other/" in seen.out
            ), seen
            reviewed = launch("review", "higher")
            assert (
                reviewed.code == 1
                and f"{path.relative_to(tmp_path)}:2: damaged line" in reviewed.err
            ), reviewed
        path.write_bytes(good)
    assert launch(*command).code == 0


@pytest.mark.parametrize("content", [None, b""])
def test_a_file_that_is_gone_or_empty_is_named_in_one_line(launch, command, tmp_path, content):
    assert launch(*command).code == 0
    (archive,) = experiments(tmp_path / "runs")
    place = archive.folder.relative_to(tmp_path)
    for path, arguments, expected in [
        (archive.verdict, ["review"], 0),
        (archive.verdict, ["review", "higher"], 1),
        (archive.run(2).result, ["review", "higher"], 1),
        (archive.run(2).result, ["verdict", place], 1),
        (archive.run(2).result, command, 1),
        (archive.config, ["review"], 0),
        (archive.config, ["review", place], 1),
        (archive.config, ["verdict", place], 1),
        # It cannot be told whose archive this is: a new one is begun, and that is said.
        (
            archive.config,
            command,
            0,
        ),
    ]:
        good = path.read_bytes()
        path.unlink() if content is None else path.write_bytes(content)
        done = launch(*arguments)
        output = " ".join((done.out + done.err).split())
        assert "Traceback" not in output and "fault of Assay" not in output, (path, arguments, done)
        if path == archive.verdict and content is None:
            assert done.code == 0, "it can be computed again"
        else:
            named = (
                f"damaged: {path.name}: "
                if arguments == ["review"]
                else f"archive: {path.relative_to(tmp_path)}: "
            )
            assert done.code == expected and named in output, (path, arguments, done)
        path.write_bytes(good)


def test_a_verdict_that_is_gone_is_decided_again_by_the_same_command_without_the_coder(
    launch, command, tmp_path
):
    first = launch(*command)
    (archive,) = first.archives
    verdict = archive.verdict.read_bytes()
    replies = archive.session.read_bytes()
    archive.verdict.unlink()
    again = launch(*command)
    assert again.code == 0 and len(again.archives) == 1
    assert archive.verdict.read_bytes() == verdict and archive.session.read_bytes() == replies


def test_a_damaged_score_is_a_fault_that_names_it(tmp_path):
    folder = RunFolder(tmp_path)
    for content in (
        None,
        b"",
        b"{}",
        b'{"splits": {"test": {}}, "fingerprint": "x"}',
        b'{"splits": {"test": {"correct": "f", "count": 1}}}',
    ):
        if content is not None:
            folder.score.write_bytes(content)
        with pytest.raises(Fault, match=f"archive: {folder.score}: "):
            load_score(folder)
