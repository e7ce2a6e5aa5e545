"""The process that a conversation lives in.

What it knows, how it ends, and that no reply is paid for twice when it is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from agent.archive.paths import Archive
from agent.coder.process import Worker, provider_environment
from agent.coder.worker.gateway import (
    OWN_SECONDS,
    REPLIES_A_TURN,
    reply_seconds,
    turn_seconds,
    within,
)
from agent.util.errors import Fault
from agent.util.locks import held, locked
from tests.conftest import REPOSITORY
from tests.endpoint import Answer
from tests.replies import edit, scores

KEY = "sk-test-0123456789abcdef"
MODEL = ("--model", "openai/any")


def provider(endpoint) -> dict[str, str]:
    return {"OPENAI_API_BASE": endpoint.url, "OPENAI_API_KEY": KEY}


@pytest.fixture
def begin(quick, endpoint) -> Callable[..., subprocess.Popen]:
    """Start the command that `quick_launch` runs, and do not wait for it."""

    def start(*options: object) -> subprocess.Popen:
        command = [
            sys.executable,
            str(REPOSITORY / "launch.py"),
            str(quick / "higher.md"),
            "--scaffold",
            str(quick / "scaffold"),
            "--python",
            sys.executable,
            *MODEL,
            *map(str, options),
        ]
        return subprocess.Popen(
            command,
            cwd=quick,
            env=os.environ | provider(endpoint),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    return start


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def workers(process: subprocess.Popen) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(process.pid).children()
        if any("worker/main.py" in word for word in child.cmdline())
    ]


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def is_free(archive: Archive) -> bool:
    with locked(archive.coder_lock) as mine:
        return mine


# ---- kill -9 of the harness ----------------------------------------------------------------------


def test_a_reply_that_a_killed_harness_had_asked_for_is_kept_and_not_asked_for_again(
    quick_launch, begin, endpoint
):
    endpoint.script = [Answer(scores(0.6)[0], delay=3), *scores(0.7, 0.8, start=0.6)]
    process = begin()
    until(lambda: endpoint.requests)
    process.kill()
    process.wait()
    # At once: the worker still waits for the reply.
    done = quick_launch(*MODEL, **provider(endpoint))
    assert done.code == 0 and done.statuses == ["success"] * 3, done.out + done.err
    assert len(endpoint.requests) == 3, "each reply was asked for once"
    assert done.replies == scores(0.6, 0.7, 0.8) and len(done.archives) == 1
    assert done.events("edit")[0]["files"]["main.py"].count("SCORE = 0.6") == 1


def test_a_request_that_fails_after_the_harness_was_killed_is_not_repeated(
    quick, quick_launch, begin, endpoint
):
    endpoint.script = [Answer(status=500, delay=1), *scores(0.6, 0.7, 0.8)]
    process = begin()
    until(lambda: endpoint.requests)
    [worker] = workers(process)
    process.kill()
    process.wait()
    until(lambda: not lives(worker))
    assert len(endpoint.requests) == 1
    assert quick_launch(*MODEL, **provider(endpoint)).statuses == ["success"] * 3
    assert len(endpoint.requests) == 4


@pytest.mark.slow
def test_a_worker_that_waits_to_ask_again_ends_with_the_harness(quick, begin, endpoint):
    endpoint.script = [Answer(status=500)] * 9
    process = begin()
    until(lambda: len(endpoint.requests) == 2)
    time.sleep(0.5)  # of the four seconds before the third
    [worker] = workers(process)
    process.kill()
    process.wait()
    until(lambda: not lives(worker), seconds=3)
    assert len(endpoint.requests) == 2


@pytest.mark.slow
def test_a_question_in_flight_is_kept_too(tmp_path, endpoint, monkeypatch):
    """The judge's votes: a harness of three lines is killed while one is under way."""
    archive = Archive(tmp_path / "experiment")
    archive.workspace.mkdir(parents=True)
    (archive.workspace / "main.py").write_text("SCORE = 0.5\n")
    script = tmp_path / "harness.py"
    script.write_text(f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
from agent.archive.paths import Archive
from agent.coder.aider import AiderCoder
from agent.coder.base import ModelConfig
archive = Archive(Path(sys.argv[1]))
coder = AiderCoder(archive, ["main.py"], ModelConfig("openai/any"), lambda: None)
coder.ready()
print(coder.ask("judge 1.1", "?").text)
coder.close()
""")
    endpoint.script = [Answer("the answer", delay=2)]
    command = [sys.executable, str(script), str(archive.folder)]
    environment = os.environ | provider(endpoint)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    until(lambda: endpoint.requests)
    process.kill()
    process.wait()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert again.stdout == "the answer\n" and len(endpoint.requests) == 1, again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_its_like_end_the_worker_at_once(quick, begin, endpoint, number):
    endpoint.script = [Answer(hang=True)]
    process = begin()
    until(lambda: endpoint.requests)
    [worker] = workers(process)
    process.send_signal(number)
    assert process.wait(timeout=20) == 130
    assert not lives(worker)


def test_a_lock_that_is_never_given_back_ends_in_a_fault(tmp_path):
    message = r"busy: .*: a request of an earlier command did not end within 0 s"
    with (
        held(tmp_path / "lock", 1),
        pytest.raises(Fault, match=message),
        held(tmp_path / "lock", 0.2),
    ):
        pass


# ---- the clock -----------------------------------------------------------------------------------


def test_the_deadline_of_a_turn_follows_from_the_limit_on_a_request():
    for timeout in (1, 300):
        assert turn_seconds(timeout) == REPLIES_A_TURN * (reply_seconds(timeout) + OWN_SECONDS)


@pytest.mark.slow
def test_an_alarm_that_something_swallows_rings_again():
    def stubborn() -> dict:
        end = time.monotonic() + 30
        swallowed = 0
        while time.monotonic() < end:
            try:
                time.sleep(30)
            except BaseException:
                swallowed += 1
                if swallowed == 2:
                    raise
        return {}

    started = time.monotonic()
    with pytest.raises(TimeoutError, match="no whole reply within"):
        within(0.1, stubborn)
    assert time.monotonic() - started < 20
    assert within(0.1, lambda: {"reply": "x"}) == {"reply": "x"}
    time.sleep(0.2)  # no alarm is left


def test_at_the_deadline_the_whole_group_is_killed(tmp_path):
    """A stand-in for the worker that says nothing and has a child of its own."""
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "print(child.pid, file=sys.stderr, flush=True)\n"
        "time.sleep(600)\n"
    )
    with held(tmp_path / "lock", 1) as lock:
        worker = Worker(lock, [], (sys.executable, "-c", code))
    log = Path(worker._home.name) / "stderr"
    until(lambda: log.read_text().strip())
    child = psutil.Process(int(log.read_text()))
    with pytest.raises(Fault, match="provider: no answer from the coder's process"):
        worker.receive(0.5)
    until(lambda: not lives(child), seconds=5)
    worker.close()
    with locked(tmp_path / "lock") as mine:
        assert mine, "the lock ends with the group"


def test_a_worker_that_somebody_killed_is_a_fault_and_the_same_command_goes_on(
    quick, quick_launch, begin, endpoint
):
    endpoint.script = [Answer(scores(0.6)[0], hang=True)]
    process = begin()
    until(lambda: endpoint.requests)
    [worker] = workers(process)
    worker.kill()
    assert process.wait(timeout=30) == 1
    endpoint.script = scores(0.6, 0.7, 0.8)
    done = quick_launch(*MODEL, **provider(endpoint))
    assert [fault["kind"] for fault in done.events("fault")] == ["coder"] and done.statuses == [
        "success"
    ] * 3


# ---- what it knows -------------------------------------------------------------------------------


def test_the_worker_s_environment_holds_what_providers_need_and_no_other_secret(monkeypatch):
    needed = {
        "OPENAI_API_KEY": "a",
        "OPENAI_API_BASE": "b",
        "OPENAI_ORGANIZATION": "c",
        "ANTHROPIC_BASE_URL": "d",
        "OLLAMA_API_BASE": "e",
        "HOSTED_VLLM_API_BASE": "f",
        "LM_STUDIO_API_KEY": "g",
        "VERTEXAI_PROJECT": "h",
        "GOOGLE_APPLICATION_CREDENTIALS": "i",
        "https_proxy": "j",
        "SSL_CERT_FILE": "k",
        "REQUESTS_CA_BUNDLE": "l",
        "REPLICATE_API_TOKEN": "m",
    }
    other = {
        "GITHUB_TOKEN": "n",
        "WANDB_API_KEY": "o",
        "SSH_AUTH_SOCK": "p",
        "HF_TOKEN": "q",
        "AWS_SECRET_ACCESS_KEY": "r",
        "PGPASSWORD": "s",
        "AZURE_CLIENT_SECRET": "t",
        "NPM_TOKEN": "u",
        "AIDER_MODEL": "v",
        "PYTHONPATH": "w",
        "STRIPE_API_KEY": "x",
    }
    for name, value in (needed | other).items():
        monkeypatch.setenv(name, value)
    passed = provider_environment(["openai/any"])
    assert {name: passed.get(name) for name in needed} == needed
    assert not other.keys() & passed.keys()
    cloud = provider_environment(["bedrock/x", "huggingface/y"])
    assert (
        cloud["AWS_SECRET_ACCESS_KEY"] == "r"
        and cloud["HF_TOKEN"] == "q"
        and "WANDB_API_KEY" not in cloud
    )


@pytest.mark.slow
def test_the_worker_that_runs_has_that_environment_and_a_home_of_its_own(
    quick, begin, endpoint, monkeypatch
):
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_0123456789")
    endpoint.script = [Answer(hang=True)]
    process = begin()
    until(lambda: endpoint.requests)
    [worker] = workers(process)
    environment = worker.environ()
    assert environment["OPENAI_API_KEY"] == KEY and environment["HOME"] != os.environ["HOME"]
    assert "ghp_0123456789" not in environment.values()
    process.terminate()
    process.wait(timeout=20)
    assert not Path(environment["HOME"]).exists()


def test_a_key_that_a_reply_echoes_reaches_no_file_and_no_prompt(quick_launch, endpoint):
    endpoint.script = [
        edit("SCORE = 0.5", f'NOTE = "{KEY}"\nSCORE = 0.6') + f"\nYour key is {KEY}.\n",
        *scores(0.7, 0.8, start=0.6),
    ]
    done = quick_launch(*MODEL, **provider(endpoint))
    assert done.statuses == ["success"] * 3
    assert [
        path
        for path in done.folder.rglob("*")
        if path.is_file() and KEY.encode() in path.read_bytes()
    ] == []
    assert 'NOTE = "[secret]"' in (done.archives[-1].run(1).code / "main.py").read_text()
    assert KEY not in json.dumps(endpoint.requests) + done.out + done.err


# ---- the budget ----------------------------------------------------------------------------------

CAP = ("--price", "1000,0", "--max-cost")  # a dollar for a request


def test_a_spent_budget_stops_before_a_repair_and_a_higher_one_goes_on_with_it(
    quick_launch, endpoint
):
    endpoint.script = [edit("SCORE = 0.5", "SCORE = undefined_name")]
    capped = quick_launch(*MODEL, *CAP, "0.5", **provider(endpoint))
    assert capped.code == 0 and "stopped: cost_limit" in capped.out and len(endpoint.requests) == 1
    endpoint.script = [edit("SCORE = undefined_name", "SCORE = 0.6"), *scores(0.7, 0.8, start=0.6)]
    done = quick_launch(*MODEL, *CAP, "9", **provider(endpoint))
    assert (
        done.statuses == ["success"] * 3
        and len(endpoint.requests) == 4
        and done.events("edit")[0]["repairs"] == 1
    )


def test_a_spent_budget_stops_before_a_retry_since_an_empty_reply_is_paid_for(
    quick_launch, endpoint
):
    endpoint.script = [Answer("")] * 9
    capped = quick_launch(*MODEL, *CAP, "1.5", "--model-timeout", 2, **provider(endpoint))
    assert capped.code == 0 and "stopped: cost_limit" in capped.out and len(endpoint.requests) == 2
    assert (
        quick_launch(*MODEL, *CAP, "1.5", **provider(endpoint)).code == 0
        and len(endpoint.requests) == 2
    ), "it counts in the next command"
    endpoint.script = scores(0.6, 0.7, 0.8)
    done = quick_launch(*MODEL, *CAP, "9", **provider(endpoint))
    assert done.statuses == ["success"] * 3 and len(endpoint.requests) == 5


# ---- the disk and the workspace ------------------------------------------------------------------


def test_a_request_that_cannot_be_recorded_is_not_made(quick_launch, endpoint):
    endpoint.script = [scores(0.6)[0], Answer(status=401)]
    requests = quick_launch(*MODEL, **provider(endpoint)).archives[-1].requests
    requests.rename(requests.with_name("aside"))
    requests.mkdir()
    stopped = quick_launch(*MODEL, **provider(endpoint))
    assert (
        stopped.code == 1
        and "stopped by a fault: disk: " in stopped.out
        and len(endpoint.requests) == 2
    )
    requests.rmdir()
    endpoint.script = scores(0.7, 0.8, start=0.6)
    assert quick_launch(*MODEL, **provider(endpoint)).statuses == ["success"] * 3


def test_a_main_py_that_became_a_link_is_refused_and_its_text_is_restored(
    quick_launch, endpoint, tmp_path
):
    victim = tmp_path / "victim.py"
    victim.write_text("SCORE = 0.6\n")
    endpoint.script = [scores(0.6)[0], Answer(status=401)]
    main = quick_launch(*MODEL, **provider(endpoint)).archives[-1].workspace / "main.py"
    main.unlink()
    main.symlink_to(victim)
    refused = quick_launch(*MODEL, **provider(endpoint))
    assert (
        refused.code == 2
        and "main.py is no plain file: put one there" in refused.err
        and len(endpoint.requests) == 2
    )
    main.unlink()
    main.touch()
    endpoint.script = scores(0.7, 0.8, start=0.6)
    assert quick_launch(*MODEL, **provider(endpoint)).statuses == ["success"] * 3
    assert victim.read_text() == "SCORE = 0.6\n"
