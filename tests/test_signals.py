"""The tests start what they test as a terminal would, whatever signals their own caller ignores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

PLANTED = "ASSAY_TEST_IGNORED_SIGNALS"  # in the environment of the tests that a test starts
IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT, signal.SIGPIPE)
LIST_IGNORED = """
import signal
print(*sorted(s for s in signal.valid_signals() if signal.getsignal(s) is signal.SIG_IGN))
"""


def test_what_a_test_starts_ignores_no_signal_and_the_tests_outlive_a_closed_terminal():
    child = [sys.executable, "-c", LIST_IGNORED]
    numbers = subprocess.run(child, capture_output=True, text=True, check=True).stdout.split()
    python_s_own = [signal.SIGPIPE, signal.SIGXFSZ]
    assert [int(number) for number in numbers] == python_s_own
    if PLANTED in os.environ:
        os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize("workers", [0, 1])
def test_so_it_is_where_the_caller_of_the_tests_ignores_signals(workers):
    def ignore() -> None:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)

    test = test_what_a_test_starts_ignores_no_signal_and_the_tests_outlive_a_closed_terminal
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", str(workers), f"{__file__}::{test.__name__}"],
        cwd=REPOSITORY,
        env=os.environ | {PLANTED: "1"},
        preexec_fn=ignore,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
