"""However a command ends, no process of it goes on.

Ctrl-C once and twice, a closed terminal, SIGTERM, kill -9.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import psutil
import pytest

from agent.util.files import read_events
from tests.conftest import REPOSITORY, confined
from tests.replies import edit

pytestmark = pytest.mark.slow  # each test runs a command that begins an experiment

STUBBORN = """import os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("daemon", "w").write("x")
        time.sleep(600)
    os._exit(0)
time.sleep(600)
SCORE = 0.6"""


def interrupt_twice(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)


ENDS = {
    "Ctrl-C": (lambda process: process.send_signal(signal.SIGINT), 130),
    "Ctrl-C twice": (interrupt_twice, 130),
    "SIGTERM": (lambda process: process.send_signal(signal.SIGTERM), 130),
    "kill -9": (lambda process: process.kill(), -9),
}


@pytest.fixture
def begin(quick, session):
    """Start an experiment whose program resists every signal; wait until it runs."""

    def set_up(terminal: bool) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job ignores it
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def start(kind: str, terminal: bool = False, **options) -> subprocess.Popen:
        model = f"replay:{session(edit('SCORE = 0.5', STUBBORN))}"
        command = [
            sys.executable,
            str(REPOSITORY / "launch.py"),
            "higher.md",
            "--scaffold",
            "scaffold",
            "--python",
            sys.executable,
            "--model",
            model,
            "--runs",
            "1",
            "--sandbox",
            kind,
        ]
        process = subprocess.Popen(
            command, cwd=quick, preexec_fn=lambda: set_up(terminal), **options
        )
        until = time.monotonic() + 60
        while not list(quick.glob("runs/higher/*/run_1.pending/work/daemon")):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        return process

    return start


def left(folder) -> list[str]:
    """What still runs in or for a folder."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                about = [process.cwd(), *process.cmdline()]
                processes += [" ".join(about)] if any(str(folder) in text for text in about) else []
        except (psutil.Error, OSError):
            continue
    return processes


def assert_gone(folder, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while processes := left(folder):
        assert time.monotonic() < until, processes
        time.sleep(0.05)


CASES = [("bwrap", name) for name in ENDS] + [
    (kind, name) for kind in ("landlock", "none") for name in ("Ctrl-C twice", "kill -9")
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_nothing_outlives_a_command_however_it_ends(begin, quick, kind, name):
    confined(kind)
    end, code = ENDS[name]
    process = begin(kind, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert len(left(quick)) >= 3
    started = time.monotonic()
    end(process)
    assert process.wait(20) == code and time.monotonic() - started < 15
    assert process.stderr and "Traceback" not in process.stderr.read()
    assert_gone(quick)
    events = read_events(next(quick.glob("runs/higher/*/events.jsonl")))
    assert events[-1]["event"] == "edit", (
        "the run that was cut off is no attempt, and is made again"
    )


def test_nothing_outlives_a_terminal_that_is_closed(begin, quick):
    ours, theirs = pty.openpty()
    process = begin(
        "auto", terminal=True, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    os.close(ours)  # the kernel then sends SIGHUP
    assert process.wait(20) in (130, 1)
    assert_gone(quick)
