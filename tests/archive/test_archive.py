"""The archive: order of names, evidence on the disk before a run is named, links that lead out."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.archive.lookup import experiments
from agent.archive.paths import Archive, RunFolder, new_experiment, rename
from agent.util import stamped
from agent.util.errors import Fault
from agent.util.files import (
    append_event,
)
from agent.util.stamped import STAMP
from tests.util.test_files import Disk


def test_a_run_gets_its_final_name_when_its_evidence_is_on_the_disk(tmp_path, monkeypatch):
    pending = RunFolder(tmp_path / "run_1.pending")
    run = RunFolder(tmp_path / "run_1")
    for path in (
        pending.code / "main.py",
        pending.code / "deep" / "data.py",
        pending.stdout,
        pending.work / "model.pt",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    (pending.code / "link").symlink_to("/dev/null")
    os.mkfifo(pending.folder / "pipe")
    disk = Disk(monkeypatch)
    rename(pending, run)
    monkeypatch.undo()
    contents = {content for _, content in disk.synced if isinstance(content, bytes)}
    assert contents == {b"main.py", b"data.py", b"stdout.log"}, "and not what is the run's own"
    assert disk.synced[-1] == (tmp_path, ["run_1"]), "the name comes last"
    folders = [path.name for path, names in disk.synced[:-1] if isinstance(names, list)]
    assert folders == ["deep", "code", "run_1.pending"]


class Clock(datetime):
    """datetime.now() as it is told."""

    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)

    @classmethod
    def now(cls, tz=None):
        return cls.moment


def test_the_order_of_names_is_the_order_of_making_also_when_the_clock_jumps(tmp_path, monkeypatch):
    monkeypatch.setattr(stamped, "datetime", Clock)
    archives = []
    for jump in [0] * 12 + [60, -3600, 10**9, -(10**9), 0, 1]:
        monkeypatch.setattr(Clock, "moment", Clock.moment + timedelta(seconds=jump))
        archive = new_experiment(tmp_path, "idea")
        archive.config.write_text("{}")
        archives.append(archive)
        assert experiments(tmp_path) == archives
    assert all(datetime.strptime(archive.folder.name, STAMP) for archive in archives), (
        "no suffixes: _10 comes before _2"
    )


def test_two_commands_that_begin_in_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    real = Path.mkdir
    quicker = []

    def mkdir(path, *arguments, **options):
        if path.parent.name == "idea" and len(quicker) < 3:
            quicker.append(path)
            real(path)  # by another process, a moment before
        real(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    archive = new_experiment(tmp_path, "idea")
    assert archive.folder.is_dir() and len({archive.folder, *quicker}) == 4


def test_an_interrupted_making_is_no_experiment_and_one_that_lost_its_config_still_is(tmp_path):
    interrupted = new_experiment(tmp_path, "idea")
    damaged = new_experiment(tmp_path, "idea")
    append_event(interrupted.events, "workspace", files={})
    append_event(damaged.session, "reply")
    (tmp_path / "_baselines" / "key" / "run_0").mkdir(parents=True)
    assert experiments(tmp_path) == [Archive(damaged.folder)]


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "confirm/../../elsewhere"])
def test_an_event_that_names_a_folder_outside_of_the_archive_is_damage(tmp_path, name):
    archive = Archive(tmp_path)
    append_event(archive.events, "attempt", folder=name)
    with pytest.raises(Fault, match="outside of the archive"):
        archive.attempts()
    assert archive.named("confirm/idea_seed_1").folder == archive.folder / "confirm" / "idea_seed_1"
