"""The archive: whole files, append-only events, torn lines, links, locks, secrets."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest

from agent.archive import new_experiment
from agent.errors import Fault
from agent.files import append_event, locked, read_events, read_untrusted, write_text
from agent.secrets import clean_environment, redact


def test_a_torn_last_line_is_not_read_and_is_cut_off_before_the_next(tmp_path):
    path = tmp_path / "events.jsonl"
    append_event(path, "one")
    with path.open("ab") as file:
        file.write(b'{"event": "tw')
    assert [event["event"] for event in read_events(path)] == ["one"]
    append_event(path, "three")
    assert [event["event"] for event in read_events(path)] == ["one", "three"]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_damaged_line_in_the_middle_is_a_fault_that_names_it(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "one"}\ngarbage\n{"event": "two"}\n')
    with pytest.raises(Fault, match=r"events\.jsonl:2: damaged"):
        read_events(path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    write_text(path, "before")
    folder = tmp_path / "in the way"
    folder.mkdir()
    with pytest.raises(Fault) as caught:
        write_text(folder, "text")  # a folder cannot be replaced by a file
    assert str(folder) in str(caught.value)
    assert path.read_text() == "before"


def test_what_a_run_left_is_read_only_as_a_regular_file_and_only_so_far(tmp_path):
    secret, link, pipe = tmp_path / "secret", tmp_path / "link", tmp_path / "pipe"
    secret.write_text("0123456789")
    link.symlink_to(secret)
    os.mkfifo(pipe)
    assert read_untrusted(secret, 4) == b"0123"
    assert [read_untrusted(path) for path in (link, pipe, tmp_path, tmp_path / "absent")] == [None] * 4


def test_experiments_of_the_same_second_get_folders_of_their_own(tmp_path):
    assert len({new_experiment(tmp_path, "idea").folder for _ in range(3)}) == 3


def _hold(path, held, go):
    with locked(path):
        held.set()
        go.wait()


def test_a_lock_is_held_by_a_living_process_only(tmp_path):
    path = tmp_path / "lock"
    context = multiprocessing.get_context("spawn")
    held, go = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, held, go))
    process.start()
    assert held.wait(30)
    with locked(path) as mine:
        assert not mine
    process.kill()
    process.join()
    with locked(path) as mine:
        assert mine


def test_secrets_stay_out_of_text_and_of_the_environment_of_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_API_KEY", "sk-abcdefgh12345")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    assert redact("key sk-abcdefgh12345 and abc") == "key [secret] and abc"
    assert "SOME_API_KEY" not in clean_environment() and "PATH" in clean_environment()
    write_text(tmp_path / "file", "sk-abcdefgh12345")
    assert (tmp_path / "file").read_text() == "[secret]"
