"""What a run left for W&B is uploaded without following a link out of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent.archive.paths import Archive
from agent.report.export import wandb as wandb_sync
from agent.report.export.wandb import upload
from agent.util.files import append_event


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """The W&B folder of a finished run, and a secret outside.

    What would be uploaded is noted instead.
    """
    archive = Archive(tmp_path / "archive")
    folder = archive.run(1).work / "wandb" / "offline-run-1"
    (folder / "files").mkdir(parents=True)
    (folder / "run-1.wandb").write_bytes(b"x")
    (folder.parent / "latest-run").symlink_to(folder.name)  # W&B's own, beside the runs
    append_event(archive.events, "attempt", folder="run_1")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    return folder


def uploaded(monkeypatch, run: Path) -> tuple[list[str], list[Path]]:
    seen: list[Path] = []
    monkeypatch.setattr(wandb_sync, "_sync", lambda path, environment: seen.append(path) or "")
    return upload(Archive(run.parents[3]), Path(sys.executable)), seen


def test_plain_files_are_uploaded(run, monkeypatch):
    assert uploaded(monkeypatch, run) == ([], [run])


@pytest.mark.parametrize(
    "place", ["file", "folder", "deep", "pipe", "run", "wandb", "work", "attempt"]
)
def test_a_run_with_a_link_or_anything_that_is_no_plain_file_is_refused_in_one_line(
    run, monkeypatch, tmp_path, place
):
    secret = tmp_path / "secret"
    (run / "files" / "a" / "b").mkdir(parents=True)
    if place in ("file", "folder", "deep"):
        where = {
            "file": run / "run-2.wandb",
            "folder": run / "media",
            "deep": run / "files" / "a" / "b" / "two\nlines",
        }[place]
        where.symlink_to(secret if place == "folder" else secret / "key")
    elif place == "pipe":
        os.mkfifo(run / "pipe")
    else:  # a folder on the way was replaced by a link to another that looks the same
        where = {
            "run": run,
            "wandb": run.parent,
            "work": run.parents[1],
            "attempt": run.parents[2],
        }[place]
        where.rename(tmp_path / "elsewhere")
        where.symlink_to(tmp_path / "elsewhere")
    problems, seen = uploaded(monkeypatch, run)
    assert seen == [] and len(problems) == 1, problems
    assert (
        "was not uploaded" in problems[0]
        and "is a link, or no plain file" in problems[0]
        and "\n" not in problems[0]
    )


def test_a_copy_is_uploaded_without_the_logs_in_which_wandb_itself_puts_a_link(
    run, monkeypatch, tmp_path
):
    (run / "logs").mkdir()
    (run / "logs" / "debug-core.log").symlink_to(tmp_path / "secret" / "key")
    (run / "files" / "logs").mkdir()
    (run / "files" / "logs" / "mine.txt").write_text("x")
    before = sorted(run.rglob("*"))
    seen: list[str] = []

    def sync(command, **_):
        folder = Path(command[-1])
        seen.extend(
            sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        )
        (folder / "run-1.wandb.synced").touch()

    monkeypatch.setattr(wandb_sync.subprocess, "run", sync)
    assert upload(Archive(run.parents[3]), Path(sys.executable)) == []
    assert seen == ["files/logs/mine.txt", "run-1.wandb"] and sorted(run.rglob("*")) == before


def test_the_other_runs_are_uploaded_all_the_same(run, monkeypatch, tmp_path):
    other = run.with_name("offline-run-2")
    other.mkdir()
    (run / "link").symlink_to(tmp_path / "secret" / "key")
    problems, seen = uploaded(monkeypatch, run)
    assert len(problems) == 1 and seen == [other]
