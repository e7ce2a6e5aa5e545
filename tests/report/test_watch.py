"""`launch.py watch`: beside a real queue, on a terminal and in a pipe.

Every step, over an archive that grows; what others wrote.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from agent.archive.paths import Archive, RunFolder, experiment_lock
from agent.archive.run import Run, RunStatus
from agent.archive.verdict import SCHEMA
from agent.experiment.idea import Idea
from agent.queue.recorder import recorded
from agent.report.watch import snapshot
from agent.report.watch.phrases import LONGEST
from agent.report.watch.snapshot import SnapshotReader
from agent.report.watch.steps import ExperimentState, step_of
from agent.report.watch.text import lines_of
from agent.report.watch.time_left import MAX_ROWS_BYTES, duration, last_row, progress_of, time_left
from agent.util.files import append_event, append_line, write_json
from agent.util.locks import locked
from tests.coder.test_model_faults import MODEL, provider
from tests.conftest import REPOSITORY
from tests.endpoint import Answer
from tests.replies import scores

SLOW_MAIN = """import json, time

SCORE = 0.5
with open("metrics.csv", "w") as rows:
    rows.write("epoch,val_accuracy\\n")
    for step in range(20):
        time.sleep(0.1)
        with open("progress.json", "w") as file:
            json.dump({"done": step / 20}, file)
        if step == 8:
            rows.write("1,0.25\\n")
            rows.flush()
with open("final_info.json", "w") as file:
    json.dump({"val_accuracy": SCORE}, file)
"""


# ---- beside a real queue -------------------------------------------------------------------------


class Watching:
    """`launch.py watch` in a process of its own.

    What it says, as it says it. terminal: on a pseudo-terminal.
    """

    def __init__(self, folder: Path, *, terminal: bool):
        ours, theirs = pty.openpty() if terminal else os.pipe()
        command = [sys.executable, str(REPOSITORY / "launch.py"), "watch"]
        environment = {
            name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")
        } | {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self.output = b""
        self._ours = ours
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._ours, 65536):
                self.output += chunk
        except OSError:  # the other end of a terminal is closed
            pass

    def wait_for(self, text: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while text.encode() not in self.output:
            assert time.monotonic() < end and self.process.poll() is None, (
                text,
                self.output.decode(),
            )
            time.sleep(0.05)

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def interrupt(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(30)
        self._reader.join(30)
        os.close(self._ours)
        return code, self.output.decode()


def in_order(text: str, *parts: str) -> None:
    at = 0
    for part in parts:
        at = text.find(part, at)
        assert at >= 0, (part, text)


def make_slow_queue(quick: Path, endpoint) -> None:
    """Two ideas, slow to train and slow to be replied to."""
    (quick / "scaffold" / "main.py").write_text(SLOW_MAIN)
    for name in ("a", "b"):
        (quick / f"{name}.md").write_text(f"# Idea [bold]{name}\n\nMake SCORE higher.\n")
    endpoint.script = [Answer(scores(0.6)[0], delay=2.2), Answer(scores(0.7)[0], delay=2.2)]


@pytest.mark.slow
def test_a_queue_is_seen_from_before_it_begins_until_after_it_has_ended(
    quick, quick_arguments, endpoint, launch
):
    make_slow_queue(quick, endpoint)
    piped = Watching(quick, terminal=False)
    piped.wait_for("nothing is running in runs: waiting for a queue")
    options = [*quick_arguments[1:], *MODEL, "--runs", "1"]
    queue = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "launch.py"), "a.md", "b.md", *options],
        cwd=quick,
        env=os.environ | provider(endpoint),
        stdout=subprocess.DEVNULL,
    )
    try:
        piped.wait_for("baseline seed 1 of 1: training")
        terminal = Watching(quick, terminal=True)
        terminal.resize(40, 120)
        piped.wait_for("2 of 2: Idea")
        terminal.resize(6, 20)
        during = launch("watch", "--once")
        terminal.resize(40, 120)
        assert queue.wait(60) == 0
        piped.wait_for("has ended: 2 of 2 done")
        terminal.wait_for("has ended: 2 of 2 done")
    finally:
        queue.kill()
    code, text = piped.interrupt()
    screen_code, screen = terminal.interrupt()
    after = launch("watch", "--once")
    assert code == screen_code == 130 and during.code == after.code == 0, (
        "interrupted, as every other command"
    )
    assert "Traceback" not in text + screen and "interrupted" not in text + screen, (
        "there is nothing to go on with"
    )
    assert "\x1b" not in text + during.out + after.out
    in_order(
        text,
        "waiting for a queue",
        "1 of 2: Idea [bold]a; then: Idea [bold]b",
        "baseline seed 1 of 1: training",
        "run 1 of 1: waiting for the coder; self-reported val_accuracy: baseline 0.5000",
        "run 1 of 1: training",
        "val_accuracy 0.25 after epoch 1 (the program's own word)",
        "INCONCLUSIVE; judge absent",
        "2 of 2: Idea [bold]b",
        "run 1 of 1: training",
        "has ended: 2 of 2 done",
    )
    in_order(
        screen,
        "\x1b[?1049h",
        "baseline seed 1 of 1: training",
        "waiting for the coder",
        " left at most",
        "\x1b[?1049l",
        "finished: 2",
    )
    assert "\x1b[?25h" in screen, "the cursor is back"
    assert "queue since" in during.out and "finished: 1" in during.out
    assert "finished: 2 (2 inconclusive)" in after.out


@pytest.mark.slow
def test_a_reader_that_goes_and_a_wrong_folder_end_watch_in_order(launch, tmp_path):
    (tmp_path / "file").write_text("")
    wrong = launch("watch", "--runs-dir", "file")
    assert wrong.code == 2 and "file: not a folder" in wrong.err
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, str(REPOSITORY / "launch.py"), "watch"]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")


# ---- over an archive that grows ------------------------------------------------------------------

CONFIG = {
    "key": "k",
    "idea": "An idea",
    "dataset": {"name": "digits"},
    "open": False,
    "model": "any",
    "limits": {"runs": 3, "failures": 4},
    "metric": {"name": "val_accuracy", "direction": "max"},
    "budget": {"epochs": 4, "seed": 0, "timeout": 600.0},
    "seeds": {"control": 2, "confirm": 5},
    "baseline_key": {"any": "thing"},
}


@dataclass
class Growing:
    """An experiment as the harness would make it, whose lock this process holds."""

    archive: Archive

    @property
    def runs(self) -> Path:
        return self.archive.folder.parent.parent

    def say(self, event: str, **fields: object) -> None:
        append_event(self.archive.events, event, **fields)

    def result(self, folder: RunFolder, seconds: float = 30.0) -> None:
        write_json(
            folder.result,
            Run(1, RunStatus.SUCCESS, folder.folder.name, value=0.8, seconds=seconds).save(),
        )

    def train(self, folder: RunFolder, done: float = 0.6) -> None:
        """As a program does that is under way."""
        write_json(folder.environment, {})
        write_json(folder.work / "progress.json", {"done": done})
        (folder.work / "metrics.csv").write_text(
            "epoch,val_loss,val_acc\n1,2.0,0.3\n2,1.5,0.4567\n3,0.1"
        )

    def text(self) -> str:
        return "\n".join(lines_of(SnapshotReader(self.runs).look(), self.runs, time.time()))

    def finish(self) -> None:
        write_verdict(self.archive)
        self.say("verdict", verdict="supported")


def write_verdict(archive: Archive, ended: float | None = None) -> None:
    effect = {"delta": 0.019, "ci95": [0.006, 0.032], "p_value": 0.01}
    summary = {
        "data": "digits",
        "model": "any",
        "open": False,
        "epochs": 1,
        "baseline": 0.5,
        "best": 0.6,
        "runs": 1,
        "failed": 0,
        "stopped": "run_limit",
        "began": 1.0,
        "ended": ended or time.time(),
        "seconds": 3.0,
    }
    write_json(
        archive.verdict,
        {
            "schema": SCHEMA,
            "verdict": "supported",
            "reasons": ["why"],
            "qualifiers": ["judge absent"],
            "effect": effect,
            "experiment": summary,
            "idea": {"title": "An idea", "metric": "val_accuracy"},
            "cost": {"tokens": 1, "llm_usd": 0.5},
            "budget": {"params": [10, 11], "time_ratio": 1.4},
        },
    )


@pytest.fixture
def growing(tmp_path):
    archive = Archive(tmp_path / "runs" / "idea" / "20260101T000000Z")
    write_json(archive.config, CONFIG)
    append_event(archive.events, "workspace", files={})
    with locked(experiment_lock(archive.folder.parent, "k")):
        yield Growing(archive)


def test_every_step_of_the_baseline_has_its_name(growing):
    archive = growing.archive
    say = growing.say
    assert "starting the coder" in growing.text() and " left" not in growing.text()
    say("sitting", limits=CONFIG["limits"])
    baseline = ExperimentState.read(archive).controls
    killed, pending = (RunFolder(baseline.folder / f"seed_0.pending_{k}") for k in (1, 2))
    growing.train(killed, 0.9)
    growing.train(pending, 0.6)
    assert "baseline seed 1 of 2: training, epoch 3 of 4 (60%)" in growing.text()
    growing.result(baseline.run(0))
    growing.train(RunFolder(baseline.folder / "seed_1.pending_1"), 0.0)
    assert "baseline seed 2 of 2: training, epoch 3 of 4" in growing.text(), "two epochs have a row"
    in_order(
        growing.text(),
        "this training of 30 s, 3 runs of 30 s without the coder, 7 trainings of 30 s",
    )
    growing.result(baseline.run(1))
    assert "run 0: a few steps of the baseline" in growing.text()


def test_every_step_of_a_run_has_its_name(growing):
    archive = growing.archive
    say = growing.say
    say("sitting", limits=CONFIG["limits"])
    baseline = ExperimentState.read(archive).controls
    for folder in (baseline.run(0), baseline.run(1), archive.run(0)):
        growing.result(folder)
    say("baseline", value=0.5)
    assert "criteria" in growing.text()
    write_json(archive.criteria, {})
    assert (
        "run 1 of 3: waiting for the coder" in growing.text()
        and "graded val_accuracy: baseline 0.5000" in growing.text()
    )
    say("edit", number=1, attempt=True, changed=True, seconds=4.0)
    assert "run 1 of 3: gate" in growing.text()
    folder = archive.pending(1)
    write_json(folder.gate, {"checks": [], "facts": {"lines": []}})
    assert "run 1 of 3: judge" in growing.text()
    write_json(folder.judgement, {})
    growing.train(folder)
    in_order(
        growing.text(),
        "run 1 of 3: training, epoch 3 of 4 (60%)",
        "val_acc 0.4567, val_loss 1.5 after epoch 2 (the program's own",
    )
    folder.predict.mkdir()
    assert "run 1 of 3: grading" in growing.text() and "own word" not in growing.text()
    growing.result(archive.run(1))
    shutil.rmtree(folder.folder)
    say("attempt", number=1, folder="run_1", status="success", value=0.8)
    assert (
        "run 2 of 3: waiting for the coder" in growing.text()
        and "run_1 0.8000, baseline 0.5000" in growing.text()
    )
    append_line(archive.session, {"turn": 1, "reply": "x", "cost": 0.25})
    assert "cost $0.25; about 4 min left at most (2 runs of " in growing.text()


def test_every_step_of_the_confirmation_has_its_name(growing):
    archive = growing.archive
    say = growing.say
    say("sitting", limits=CONFIG["limits"])
    for folder in (archive.run(0), archive.run(1)):
        growing.result(folder)
    write_json(archive.criteria, {})
    say("baseline", value=0.5)
    say("attempt", number=1, folder="run_1", status="success", value=0.8)
    say("stopped", reason="run_limit")
    say("check", folder="run_1", seed=77)
    growing.train(
        RunFolder(
            archive.confirmation("check_scaffold", 77).folder.with_name(
                "check_scaffold_seed_77.pending"
            )
        )
    )
    assert (
        "confirming, control check 1 of 2: training, epoch 3 of 4" in growing.text()
        and "6 trainings of 30 s" in growing.text()
    )
    growing.result(archive.confirmation("check_scaffold", 77))
    assert "confirming, control check 2 of 2: training" in growing.text()
    growing.result(archive.confirmation("check", 77))
    say("confirm", run=1, folder="run_1", seeds=[5, 6, 7, 8, 9], control="own", check=None)
    assert (
        "confirming, idea seed 1 of 5" in growing.text() and "9 trainings of 30 s" in growing.text()
    )
    for seed, arm in ((5, "idea"), (5, "control"), (6, "idea")):
        growing.result(archive.confirmation(arm, seed))
        say("confirmed", arm=arm, seed=seed, folder=f"confirm/{arm}_seed_{seed}", status="success")
    assert "confirming, control seed 2 of 5" in growing.text() and "left at most" in growing.text()
    say("confirmed", arm="control", seed=6, folder="confirm/control_seed_6", status="success")
    say("futile", futile=False)
    assert "confirming, idea seed 3 of 5" in growing.text() and "at most" not in growing.text(), (
        "nothing can end it early now"
    )
    say("futile", futile=True)
    assert "  verdict, for" in growing.text()
    growing.finish()
    in_order(
        growing.text(),
        "nothing is running",
        "finished: 1 (1 supported)",
        "idea/20260101T000000Z: SUPPORTED +1.90 pp [+0.60, +3.20]",
    )


def test_an_experiment_that_nobody_works_on_is_not_shown_as_running(tmp_path, growing):
    growing.say("sitting", limits=CONFIG["limits"])
    growing.say("fault", kind="provider", detail="no \x1b[31manswer")
    assert "not finished" not in growing.text(), "it is worked on again"
    shutil.copytree(growing.runs, tmp_path / "left")
    viewer = SnapshotReader(tmp_path / "left")
    in_order(
        "\n".join(lines_of(viewer.look(), viewer.runs, 0.0)),
        "nothing is running",
        "not finished: 1",
        "fault: provider: no answer",
    )
    with locked(experiment_lock(tmp_path / "left" / "idea", "k")):
        assert [running.step.part for running in viewer.look().live] == ["baseline seed 1 of 2"], (
            "no file has changed, but the lock"
        )
    assert not viewer.look().live


def test_the_steps_of_an_earlier_command_are_not_taken_for_this_one_s(growing):
    growing.say("sitting", limits=CONFIG["limits"])
    growing.say("baseline", value=0.5)
    growing.result(growing.archive.run(0))
    write_json(growing.archive.criteria, {})
    state = ExperimentState.read(growing.archive)
    assert (
        step_of(state, None).what == "waiting for the coder"
        and step_of(state, time.time() + 1).what == "starting the coder"
    )


def test_time_left_is_counted_from_what_was_seen_and_bounded_by_the_time_limit(growing):
    archive = growing.archive
    now = time.time()
    growing.say("sitting", limits=CONFIG["limits"])
    growing.say("baseline", value=0.5)
    write_json(archive.criteria, {})
    for number, folder in enumerate((archive.run(0), archive.run(1))):
        growing.result(folder, 20.0 + 20 * number)
    growing.say("edit", number=1, attempt=True, seconds=10.0)
    growing.say("attempt", number=1, folder="run_1", status="success", value=0.8)
    lines = [json.loads(line) for line in archive.events.read_text().splitlines()]
    lines[-1]["time"] = lines[-2]["time"] + 50  # so a run takes a minute, with the coder
    archive.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    growing.say("edit", number=2, attempt=True, seconds=10.0)
    growing.train(archive.pending(2), 0.5)
    os.utime(archive.pending(2).environment, (now - 100, now - 100))
    state = ExperimentState.read(archive)
    step = step_of(state, None)
    left = time_left(state, step, progress_of(state, step), now)
    assert left and left.seconds == pytest.approx(100 + 60 + 7 * 30, abs=1), (
        "half of it took 100 s, a run more, seven trainings"
    )
    assert left.rests_on == (
        "this training by its program's word, 1 run of 60 s with coder and gate, 7 trainings "
        "of 30 s"
    )
    write_json(archive.pending(2).work / "progress.json", {"done": 0.03})
    left = time_left(state, step, progress_of(state, step), now)
    assert left and left.seconds == pytest.approx(500 + 60 + 7 * 30, abs=1), (
        "the harness ends it after 600 s, whatever it says"
    )
    assert [duration(seconds) for seconds in (0.4, 89, 600, 5399, 9000)] == [
        "0 s",
        "89 s",
        "10 min",
        "90 min",
        "2.5 h",
    ]


# ---- what others wrote, and what is damaged ------------------------------------------------------


def test_what_a_program_or_a_model_wrote_is_harmless_and_short(growing, tmp_path):
    write_json(
        growing.archive.config,
        CONFIG | {"idea": "\x1b]0;title\x07[red]" + 10_000 * "x" + "\r\nsecond\u202e line"},
    )
    growing.say("sitting", limits=CONFIG["limits"])
    growing.say("baseline", value=0.5)
    growing.result(growing.archive.run(0))
    write_json(growing.archive.criteria, {})
    growing.say("edit", number=1, attempt=True, seconds=1.0)
    growing.train(growing.archive.pending(1))
    rows = growing.archive.pending(1).work / "metrics.csv"
    for text in (
        "epoch,\x1b[31mval_acc\n1,\x1b[2J\n",
        '"',
        "epoch,val_acc\n" + 200_000 * "1" + ",nan\n",
        "\x00\n\x00\n",
        "epoch,val_acc\n1e300,inf\n",
    ):
        rows.write_text(text)
        shown = growing.text()
        assert (
            "run 1 of 3: training" in shown
            and "\x1b" not in shown
            and "val_acc " not in shown
            and "\u202e" not in shown
        )
        assert "[red]xxx" in shown and max(map(len, shown.splitlines())) < 2 * LONGEST
    rows.unlink()
    (tmp_path / "secret").write_text("epoch,val_acc\n1,0.7777\n")
    rows.symlink_to(tmp_path / "secret")
    assert "0.7777" not in growing.text()
    rows.unlink()
    rows.write_text("epoch,val_acc\n" + "1,0.5\n" * MAX_ROWS_BYTES)
    assert last_row(rows) == {}, "the row at which reading stopped is not the last"


def test_archives_that_come_go_and_are_damaged_are_shown_as_what_they_are(growing):
    viewer = SnapshotReader(growing.runs)
    archive = growing.archive

    def text() -> str:
        return "\n".join(lines_of(viewer.look(), viewer.runs, time.time()))

    growing.say("sitting", limits=CONFIG["limits"])
    assert "baseline seed 1 of 2" in text()
    whole = archive.events.read_bytes()
    archive.events.write_bytes(whole + b"damaged\n")
    assert "damaged line" in text() and "Traceback" not in text()
    archive.events.write_bytes(whole)
    write_json(archive.config, {name: value for name, value in CONFIG.items() if name != "budget"})
    assert "not as this version writes it: no 'budget'" in text()
    write_json(archive.config, CONFIG)
    growing.finish()
    assert "SUPPORTED" in text()
    archive.verdict.write_text("{")
    in_order(text(), "not finished: 1", "damaged: ")
    write_verdict(archive)
    assert "SUPPORTED" in text()
    archive.config.unlink()
    assert "SUPPORTED" in text(), "a verdict stands by itself"
    shutil.rmtree(archive.folder)
    assert "idea/" not in text()
    shutil.rmtree(growing.runs)
    assert "nothing is running" in text()


def test_a_refresh_reads_only_what_has_changed(tmp_path, monkeypatch):
    for number in range(30):
        archive = Archive(tmp_path / "runs" / f"idea_{number}" / "20260101T000000Z")
        write_json(archive.config, CONFIG)
        write_verdict(archive, ended=1000.0 + number)
        append_event(archive.events, "verdict", verdict="supported")
    read = []
    summarise = snapshot.summarise
    monkeypatch.setattr(
        snapshot, "summarise", lambda archive: read.append(archive) or summarise(archive)
    )
    viewer = SnapshotReader(tmp_path / "runs")
    shown = lines_of(viewer.look(), viewer.runs, 0.0)
    assert len(read) == 30 and "finished: 30 (30 supported); the last:" in shown
    assert [line.split()[2].partition("/")[0] for line in shown[-5:]] == [
        f"idea_{number}" for number in (29, 28, 27, 26, 25)
    ]
    assert len(viewer.look().summaries) == 30 and len(read) == 30
    append_event(archive.events, "sitting")
    viewer.look()
    assert len(read) == 31


# ---- the state of a command ----------------------------------------------------------------------


def test_what_a_command_has_still_to_do_is_known_while_it_lives_and_after_it_was_killed(tmp_path):
    runs = tmp_path / "runs"
    viewer = SnapshotReader(runs)

    def text() -> str:
        return "\n".join(lines_of(viewer.look(), runs, time.time()))

    ideas = [Idea(Path(f"{name}.md"), f"Idea {name}", "Text.") for name in "abcdefgh"]
    killed = ExitStack()
    record = killed.enter_context(recorded(runs, ideas))
    in_order(
        text(),
        "1 of 8: Idea a; then: Idea b, Idea c, Idea d, Idea e, Idea f and 2 more",
        "Idea a: preparing the environment",
    )
    record.note(0, code=1, stopped_by="data: a.npz: damaged\x1b[2J")
    in_order(text(), "2 of 8: Idea b", "stopped: a.md: data: a.npz: damaged")
    with pytest.raises(KeyboardInterrupt), killed:
        raise KeyboardInterrupt
    in_order(text(), "was interrupted at 2 of 8: Idea b", "stopped: a.md", "nothing is running")
    with recorded(runs, ideas[:1]) as record:
        assert "1 of 1: Idea a" in text() and "interrupted" not in text()
        record.note(0, code=0)
    in_order(text(), "has ended: 1 of 1 done", "nothing is running")
    newest = max((runs / "_queue").iterdir()) / "queue.json"
    wrong_code = {"began": 0, "ideas": [{"title": "a", "slug": "a", "source": "a", "code": "x"}]}
    for damaged in ("[]", json.dumps(wrong_code)):
        newest.write_text(damaged)
        lines = lines_of(SnapshotReader(runs).look(), runs, 0.0)
        assert "nothing is running" in "\n".join(lines)
        assert newest.exists()


def test_a_command_that_could_begin_nothing_or_may_not_write_leaves_nothing(tmp_path):
    idea = Idea(Path("a.md"), "A", "Text.")
    with recorded(tmp_path / "new" / "runs", [idea]) as record:
        assert (tmp_path / "new" / "runs" / "_queue").exists()
        record.note(0, code=2, stopped_by="unknown data set")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with recorded(tmp_path / "file" / "runs", [idea]) as record:
        record.note(0, code=1)
