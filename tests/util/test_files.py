"""Files that survive kills and lies, locks, secrets."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.archive.paths import new_experiment
from agent.util import errors, files
from agent.util.errors import Fault, record_bug
from agent.util.files import (
    append_event,
    append_line,
    copy_files,
    read_events,
    read_json,
    read_untrusted,
    write_bytes,
    write_text,
)
from agent.util.locks import locked
from agent.util.secrets import clean_environment, redact


def test_a_torn_last_line_is_not_read_and_is_cut_off_before_the_next(tmp_path):
    path = tmp_path / "events.jsonl"
    append_event(path, "one")
    with path.open("ab") as file:
        file.write(b'{"event": "tw')
    assert [event["event"] for event in read_events(path)] == ["one"]
    append_event(path, "three")
    assert [event["event"] for event in read_events(path)] == ["one", "three"]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_last_line_cut_off_at_any_byte_is_as_if_it_had_not_been_written(tmp_path):
    path = tmp_path / "session.jsonl"
    append_line(path, {"reply": "one"})
    whole = path.read_bytes()
    append_line(path, {"reply": "zwei \u00e4\u4e8c\n", "turn": 2})
    last = path.read_bytes()[len(whole) :]
    for left in range(len(last)):
        # Blocks that were given to the file, and whose content never arrived.
        for zeros in (
            0,
            1,
            5000,
        ):
            path.write_bytes(whole + last[:left] + bytes(zeros))
            assert read_events(path) == [{"reply": "one"}], (left, zeros)
            append_line(path, {"reply": "three"})
            assert read_events(path) == [{"reply": "one"}, {"reply": "three"}], (left, zeros)
            assert path.read_bytes() == whole + b'{"reply": "three"}\n'


def test_a_last_line_whose_beginning_never_reached_the_disk_is_torn_though_its_end_did(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "one"}\n' + bytes(4096) + b'"two"}\n')
    assert read_events(path) == [{"event": "one"}]
    append_line(path, {"event": "three"})
    assert read_events(path) == [{"event": "one"}, {"event": "three"}]
    path.write_bytes(b'{"event": "one"}\n' + bytes(4096) + b'"two"}\n{"event": "three"}\n')
    # Not the last one: no power loss does this.
    with pytest.raises(Fault, match=r"events\.jsonl:2: damaged"):
        read_events(path)


@pytest.mark.parametrize("torn", [0, 10, 3 * files.TAIL_BYTES])
@pytest.mark.parametrize(
    "lines", [[], [10], [10, 3 * files.TAIL_BYTES], [files.TAIL_BYTES - 13] * 3]
)
def test_the_tail_alone_is_enough_to_find_where_the_next_line_goes(
    tmp_path, monkeypatch, lines, torn
):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(
        b"".join(b'{"a": "%s"}\n' % (b"x" * length) for length in lines) + b'{"b": "' + b"y" * torn
    )
    append_line(path, {"c": 1})
    assert [list(line) for line in read_events(path)] == [["a"]] * len(lines) + [["c"]]


def test_appending_to_a_long_file_does_not_read_it(tmp_path):
    path = tmp_path / "requests.jsonl"
    with path.open("wb") as file:
        file.truncate(2**33)  # a hole: reading it would take 8 GiB of memory
        file.seek(0, os.SEEK_END)
        file.write(b"\n{}\n{}\n")
    append_line(path, {"a": 1})
    assert path.stat().st_size == 2**33 + 7 + 9


def test_a_line_that_the_disk_cannot_take_whole_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    append_line(path, {"event": "one"})
    before = path.read_bytes()
    real = open

    class Full:
        """A file that takes half of a line, then none."""

        def __init__(self, file):
            self.file = file
            self.taken = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if self.taken:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.taken = self.file.write(data[: len(data) // 2])
            return self.taken

    monkeypatch.setattr("builtins.open", lambda *args, **options: Full(real(*args, **options)))
    with pytest.raises(Fault, match=r"disk: .*events\.jsonl: No space left"):
        append_line(path, {"event": "two"})
    monkeypatch.undo()
    assert path.read_bytes() == before
    append_line(path, {"event": "three"})
    assert [event["event"] for event in read_events(path)] == ["one", "three"]


class Disk:
    """Which files and folders were synced, and what they held then."""

    def __init__(self, monkeypatch):
        self.synced: list[tuple[Path, object]] = []
        real = os.fsync

        def fsync(file):
            path = Path(
                f"/proc/self/fd/{file if isinstance(file, int) else file.fileno()}"
            ).resolve()
            self.synced.append(
                (
                    path,
                    sorted(entry.name for entry in path.iterdir())
                    if path.is_dir()
                    else path.read_bytes(),
                )
            )
            real(file)

        monkeypatch.setattr(os, "fsync", fsync)

    def holds(self, path: Path) -> bool:
        """Whether this file would be there, under this name and
        with this content, if the power failed now.
        """
        named = any(
            synced == path.parent and path.name in names
            for synced, names in self.synced
            if isinstance(names, list)
        )
        return named and (
            path.is_dir()
            or any(
                content == path.read_bytes()
                for _, content in self.synced
                if isinstance(content, bytes)
            )
        )


def test_what_was_written_survives_a_power_loss_with_its_name_and_the_folders_above_it(
    tmp_path, monkeypatch
):
    disk = Disk(monkeypatch)
    whole = tmp_path / "new" / "newer" / "result.json"
    lines = tmp_path / "lines" / "events.jsonl"
    write_bytes(whole, b"{}")
    lines.parent.mkdir()
    append_line(lines, {"event": "one"})
    append_line(lines, {"event": "two"})
    archive = new_experiment(tmp_path / "runs", "idea")
    for path in (
        whole,
        whole.parent,
        whole.parent.parent,
        lines,
        archive.folder,
        archive.folder.parent,
        archive.folder.parent.parent,
    ):
        assert disk.holds(path), path


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


def write_again_and_again(path: Path, letter: str) -> None:
    for _ in range(100):
        files.write_text(path, letter * 10_000)


def test_two_processes_that_write_the_same_file_at_once_both_write_it_whole(tmp_path):
    path = tmp_path / "page.html"
    writers = [
        multiprocessing.Process(target=write_again_and_again, args=(path, letter))
        for letter in "ab"
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert path.read_text() in ("a" * 10_000, "b" * 10_000)
    assert list(tmp_path.iterdir()) == [path]


def test_what_stood_in_a_file_stays_when_its_successor_does_not_fit_and_nothing_lies_beside_it(
    tmp_path, monkeypatch
):
    path = tmp_path / "result.json"
    write_bytes(path, b"before")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Fault, match=r"disk: .*result\.json: No space left"):
        write_bytes(path, b"after")
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_what_a_full_disk_breaks_elsewhere_is_no_bug_of_ours(tmp_path, monkeypatch):
    def record(raised: Exception) -> str:
        try:
            raise raised
        except Exception:
            return record_bug()

    monkeypatch.setattr(errors.tempfile, "gettempdir", lambda: str(tmp_path))
    assert (
        record(KeyError("x")).startswith("a fault of Assay itself")
        and len(list(tmp_path.iterdir())) == 1
    )
    assert record(OSError(errno.ENOSPC, "No space left", "/x/y")) == "disk: /x/y: No space left"
    monkeypatch.setattr(errors.shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    assert (
        record(RuntimeError("died\nsomewhere"))
        == f"disk: {tmp_path}: No space left for temporary files (RuntimeError: died)"
    )
    monkeypatch.undo()
    monkeypatch.setattr(errors.tempfile, "gettempdir", lambda: str(tmp_path / "absent"))
    assert record(KeyError("x")).startswith("disk: no temporary file can be written")


def test_a_folder_that_cannot_be_copied_whole_is_told_with_one_reason(tmp_path):
    (tmp_path / "from").mkdir()
    for name in ("one", "two"):
        os.mkfifo(tmp_path / "from" / name)
    with pytest.raises(Fault, match=r"^disk: .*to: `.*from/(one|two)` is a named pipe$"):
        copy_files(tmp_path / "from", tmp_path / "to")


def test_what_a_run_left_is_read_only_as_a_regular_file_and_only_so_far(tmp_path):
    secret = tmp_path / "secret"
    link = tmp_path / "link"
    pipe = tmp_path / "pipe"
    secret.write_text("0123456789")
    link.symlink_to(secret)
    os.mkfifo(pipe)
    assert read_untrusted(secret, 4) == b"0123"
    assert [read_untrusted(path) for path in (link, pipe, tmp_path, tmp_path / "absent")] == [
        None
    ] * 4


@pytest.mark.parametrize(
    "line", [b"garbage", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"event": "tw']
)
def test_whatever_is_no_event_is_damage_when_it_is_not_the_last_line(tmp_path, line):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "one"}\n' + line + b'\n{"event": "two"}\n')
    with pytest.raises(Fault, match=r"^archive: .*events\.jsonl:2: damaged line"):
        read_events(path)


def test_a_file_that_cannot_be_read_is_a_fault_that_names_it(tmp_path, monkeypatch):
    with pytest.raises(Fault, match=f"archive: {tmp_path}: Is a directory"):
        read_events(tmp_path)
    with pytest.raises(Fault, match=f"archive: {tmp_path}: Is a directory"):
        read_json(tmp_path)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(Fault, match=r"archive: .*x\.jsonl: Permission denied"):
        read_events(tmp_path / "x.jsonl")


def test_a_json_file_that_is_empty_absent_or_no_object_is_a_fault_that_names_it(tmp_path):
    path = tmp_path / "result.json"
    for content in (None, b"", b"{", b"[]", b"null", b"[" * 100_000, bytes(100)):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(Fault, match=r"archive: .*result\.json: "):
            read_json(path)


def _hold(path, held, go):
    with locked(path):
        held.set()
        go.wait()


def test_a_lock_is_held_by_a_living_process_only(tmp_path):
    path = tmp_path / "lock"
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    go = context.Event()
    process = context.Process(target=_hold, args=(path, held, go))
    process.start()
    assert held.wait(30)
    with locked(path) as mine:
        assert not mine
    process.kill()
    process.join()
    with locked(path) as mine:
        assert mine


def test_a_lock_that_cannot_be_taken_is_a_fault_and_not_somebody_else(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with (
        pytest.raises(Fault, match=r"disk: .*lock: cannot be locked: No locks available"),
        locked(tmp_path / "lock"),
    ):
        pass


def _append(path: Path, who: int) -> None:
    for number in range(50):
        append_line(path, {"who": who, "number": number, "text": "x" * 5000})


def test_two_processes_that_append_at_once_lose_no_line(tmp_path):
    path = tmp_path / "lines.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(path, who)) for who in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = read_events(path)
    assert sorted((line["who"], line["number"]) for line in lines) == [
        (who, number) for who in range(3) for number in range(50)
    ]


def test_secrets_stay_out_of_text_and_of_the_environment_of_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_API_KEY", "sk-abcdefgh12345")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    assert redact("key sk-abcdefgh12345 and abc") == "key [secret] and abc"
    assert "SOME_API_KEY" not in clean_environment() and "PATH" in clean_environment()
    write_text(tmp_path / "file", "sk-abcdefgh12345")
    assert (tmp_path / "file").read_text() == "[secret]"
