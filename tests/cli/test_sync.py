"""`launch.py sync`: W&B files once and no more, curves that
TensorBoard itself reads, metrics.csv in pandas.

There is no W&B server here: what would be sent is noted by
a `wandb` that stands in for the real one.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run, RunStatus
from agent.cli.sync import sync
from agent.execution.environment.base import Environment
from agent.report.export import tensorboard
from agent.report.export import wandb as wandb_sync
from agent.report.export.tensorboard import FILE, FOLDER, export
from agent.util.errors import UserError
from agent.util.files import append_event, read_events, write_json

KEY = "0123456789" * 4
ROWS = (
    "epoch,val_loss,val_acc,train_loss,train_acc,lr,seconds,steps\n"
    "1,2.5,0.25,2.75,0.125,0.001,0.5,17\n"
)
MORE = "2,1.5,0.5,2.0,0.375,0.001,0.25,34\n"


def add(
    archive: Archive,
    name: str,
    event: dict,
    rows: str | None = ROWS + MORE,
    arrays: str = "/data/arrays",
) -> RunFolder:
    """A run that the archive knows by this event."""
    folder = RunFolder(archive.folder / name)
    folder.folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder.result,
        Run(1, RunStatus.SUCCESS, folder.folder.name, variables={"ASSAY_ARRAYS": arrays}).save(),
    )
    if rows is not None:
        folder.metrics.write_text(rows)
    if event:
        append_event(archive.events, folder=name, **event)
    return folder


@pytest.fixture
def archive(tmp_path) -> Archive:
    """A baseline, two attempts of which one failed half way, and a fresh seed of
    each arm; the two attempts left W&B files.
    """
    archive = Archive(tmp_path / "runs" / "higher" / "20260101T000000Z")
    archive.folder.mkdir(parents=True)
    write_json(archive.config, {"key": "x"})
    add(archive, "run_0", {})
    add(archive, "run_1.failed_1", {"event": "attempt"}, ROWS + "2,1.5,nan\n")
    add(
        archive,
        "run_1",
        {"event": "attempt"},
        "epoch,val_acc,gate/depth,weird name!,train_loss\n1,0.5,0.75,3,1\n2,inf,1.25,3,\n",
    )
    add(archive, "run_2.failed_1", {"event": "attempt"}, None)
    add(
        archive,
        "confirm/idea_seed_7",
        {"event": "confirmed", "arm": "idea", "seed": 7},
        arrays="/data/confirming",
    )
    add(archive, "confirm/control_seed_0", {"event": "confirmed", "arm": "control", "seed": 0})
    for name in ("run_1.failed_1", "run_1"):
        folder = RunFolder(archive.folder / name).work / "wandb" / f"offline-run-{name}"
        folder.mkdir(parents=True)
        (folder / "run.wandb").write_bytes(b"x")
    return archive


@pytest.fixture
def server(monkeypatch) -> list[str]:
    """Names of the folders that were sent; one whose name stands in refused is not taken."""
    sent: list[str] = []
    monkeypatch.setenv("WANDB_API_KEY", KEY)

    def run(command, **options):
        folder = Path(command[-1])
        if folder.name in refused:
            return type("Done", (), {"stdout": "", "stderr": "Error: no such project"})
        assert options["env"]["WANDB_API_KEY"] == KEY
        sent.append(folder.name)
        (folder / "run.wandb.synced").touch()
        return type("Done", (), {"stdout": "", "stderr": ""})

    refused.clear()
    monkeypatch.setattr(wandb_sync.subprocess, "run", run)
    monkeypatch.setattr(
        "agent.cli.sync.existing",
        lambda python, required: Environment(python, "test", {"wandb": "1"}),
    )
    return sent


refused = set[str]()


# ---- W&B -----------------------------------------------------------------------------------------


def test_what_was_not_uploaded_is_uploaded_once_and_remembered_outside_the_run_s_own_folder(
    archive, server, tmp_path, capsys
):
    runs = tmp_path / "runs"
    python = Path(sys.executable)
    refused.add("offline-run-run_1")
    before = sorted((archive.folder / "run_1").rglob("*"))
    assert sync(None, runs, None, python) == 1 and server == ["offline-run-run_1.failed_1"]
    output = capsys.readouterr().out
    assert (
        "higher/20260101T000000Z: 1 uploaded, 0 uploaded earlier, 1 not" in output
        and "Error: no such project" in output
    )
    refused.clear()
    assert sync(Path("higher"), runs, None, python) == 0 and server == [
        "offline-run-run_1.failed_1",
        "offline-run-run_1",
    ]
    assert sync(None, runs, None, python) == 0 and len(server) == 2
    assert "0 uploaded, 2 uploaded earlier, 0 not" in capsys.readouterr().out.splitlines()[-1]
    assert (
        sorted((archive.folder / "run_1").rglob("*")) == before
        and len(read_events(archive.uploads)) == 2
    )


def test_one_damaged_archive_holds_up_no_other(archive, server, tmp_path, capsys):
    runs = tmp_path / "runs"
    bad = Archive(shutil.copytree(archive.folder, runs / "bad" / "20260101T000000Z"))
    bad.events.write_text("{\n{}\n")
    assert sync(None, runs, None, Path(sys.executable)) == 1 and len(server) == 2
    output = capsys.readouterr().out.splitlines()
    assert len(output) == 2 and output[0].startswith(
        "bad/20260101T000000Z: not uploaded: archive: "
    )


@pytest.mark.slow
def test_without_a_key_without_an_environment_and_without_runs_it_says_what_to_do(
    archive, tmp_path, launch, capsys, monkeypatch
):
    done = launch("sync")
    assert done.code == 2 and done.err.count("\n") == 1
    assert "no key is set: export WANDB_API_KEY=..." in done.err
    done = launch("sync", WANDB_API_KEY=KEY)
    assert done.code == 1 and "2 runs not uploaded: their environment is not here" in done.out
    assert launch("sync", "absent", WANDB_API_KEY=KEY).code == 2
    empty = launch("sync", "--runs-dir", tmp_path / "none", WANDB_API_KEY=KEY)
    assert empty.code == 2 and "no experiment here yet" in empty.err
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(UserError, match=r"lacks wandb|no such file"):
        sync(None, tmp_path / "runs", None, tmp_path / "absent")


# ---- TensorBoard ---------------------------------------------------------------------------------


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """As TensorBoard reads them."""
    read = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(point.step, point.value) for point in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def test_tensorboard_reads_the_curves_of_explored_control_and_confirmed_runs(
    archive, launch, tmp_path
):
    done = launch("sync", "--tensorboard")
    folder = tmp_path / "runs" / FOLDER / "higher" / "20260101T000000Z"
    assert done.code == 0 and f"tensorboard --logdir {Path('runs') / FOLDER}" in done.out
    assert sorted(path.name for path in folder.iterdir()) == [
        "control_seed_0",
        "idea_seed_7",
        "run_0",
        "run_1",
        "run_1.failed_1",
    ]
    assert curves(folder / "run_0")["val_acc"] == [(1, 0.25), (2, 0.5)] and curves(
        folder / "run_0"
    )["seconds"] == [(1, 0.5), (2, 0.25)]
    assert curves(folder / "run_1.failed_1")["val_acc"] == [(1, 0.25)], (
        "no number where there is none"
    )
    assert curves(folder / "run_1") == {
        "val_acc": [(1, 0.5)],
        "gate/depth": [(1, 0.75), (2, 1.25)],
        "train_loss": [(1, 1.0)],
    }
    fresh = curves(folder / "idea_seed_7")
    assert (
        fresh["val_acc_on_training_images"] == [(1, 0.25), (2, 0.5)]
        and "val_acc" not in fresh
        and "train_acc" in fresh
    )
    assert "val_acc" in curves(folder / "control_seed_0")
    before = [(path, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))]
    assert "0 runs written, 6 were there" in launch("sync", "higher", "--tensorboard").out
    assert [(path, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))] == before
    assert launch("sync", "higher", "--tensorboard", tmp_path / "board").code == 0
    assert curves(tmp_path / "board" / "higher" / "20260101T000000Z" / "run_0")["val_acc"] == [
        (1, 0.25),
        (2, 0.5),
    ]


@pytest.mark.slow
def test_a_hostile_metrics_file_is_bounded_and_no_file_is_followed_or_written_outside(
    archive, tmp_path
):
    many = ",".join(f"m{k}" for k in range(5000))
    add(
        archive,
        "run_3",
        {"event": "attempt"},
        f"epoch,{many}\n1,{','.join(['1'] * 5000)}\n" + "2,1\n" * 9000,
    )
    add(archive, "run_4", {"event": "attempt"}, "epoch,a\n1,1e39\n-1,1\n1e300,1\n1,2\n\x00,\n")
    (tmp_path / "secret.csv").write_text(ROWS)
    add(archive, "run_5", {"event": "attempt"}, None).metrics.symlink_to(tmp_path / "secret.csv")
    add(archive, "run_3/..", {"event": "confirmed", "arm": "idea", "seed": 1})
    board = tmp_path / "board"
    assert export([archive], board) == 0
    folder = board / "higher" / "20260101T000000Z"
    assert len(curves(folder / "run_3")) == tensorboard.MOST_TAGS and curves(folder / "run_4") == {
        "a": [(1, 2.0)]
    }
    assert not (folder / "run_5").exists() and {
        path.parent.parent for path in board.rglob(FILE)
    } == {folder}


def test_a_damaged_archive_is_a_line_and_a_missing_package_says_how_to_get_it(
    archive, tmp_path, monkeypatch, capsys
):
    (archive.folder / "run_1" / "result.json").write_text("{")
    other = conduct_nothing(tmp_path)
    assert (
        export([archive, other], tmp_path / "board") == 1
        and (tmp_path / "board" / "other").exists()
    )
    assert "higher/20260101T000000Z: not written: archive: " in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(UserError, match="python -m pip install 'tensorboard"):
        export([archive], tmp_path / "board")


def conduct_nothing(tmp_path: Path) -> Archive:
    other = Archive(tmp_path / "runs" / "other" / "20260101T000000Z")
    other.folder.mkdir(parents=True)
    add(other, "run_0", {})
    return other


# ---- pandas --------------------------------------------------------------------------------------


def numeric(path: Path) -> pandas.DataFrame:
    table = pandas.read_csv(path)
    assert all(pandas.api.types.is_numeric_dtype(kind) for kind in table.dtypes), table.dtypes
    return table


def test_metrics_csv_opens_in_pandas_with_numbers_in_every_column(bench):
    """The baseline's, one with a column of the coder's own, and
    that of a run that crashed after its epoch.
    """

    def logs(workspace: Path) -> None:
        main = workspace / "main.py"
        opening = "    def training_step(self, batch, batch_idx):\n"
        text = main.read_text().replace(
            "F.relu(self.conv2(x))", "(F.gelu if IDEA else F.relu)(self.conv2(x))"
        )
        assert opening in text
        hook = (
            "    def on_train_end(self):\n"
            "        if self.trainer.num_training_batches > 9:\n"
            "            raise RuntimeError('late')\n\n"
        )
        main.write_text(
            text.replace(
                opening, f"{hook if crashes else ''}{opening}        self.log('gate/depth', 0.5)\n"
            )
        )

    crashes = False
    whole = bench.conduct(logs).archive
    baseline = numeric(whole.run(0).metrics)
    own = numeric(whole.run(1).metrics)
    assert {"epoch", "train_loss", "val_acc"} <= set(baseline.columns) and len(baseline) == 1
    assert own["gate/depth"].tolist() == [0.5]
    crashes = True
    [failed] = bench.conduct(logs, idea="# An idea\n\nAnother text.\n").archive.attempts()
    assert json.loads(failed.result.read_text())["status"] == "crash"
    assert numeric(failed.metrics)["epoch"].tolist() == [1]
