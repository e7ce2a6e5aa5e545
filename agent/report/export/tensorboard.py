"""The curves of every run in the format that TensorBoard reads: a folder a run, a tag a column of metrics.csv, a step an epoch.

A run that is there is not written again. These numbers are the programs' own word. Not covered: what a run logged to W&B only.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from agent.archive.paths import Archive, RunFolder
from agent.archive.run import load_run
from agent.report.curves import read_rows
from agent.report.terminal.console import say
from agent.util.errors import Fault, UserError
from agent.util.files import disk_faults, read_events, write_bytes

FOLDER, FILE = "_tensorboard", "events.out.tfevents.0.assay"
MOST_TAGS, LARGEST = 100, 3e38  # of a run; that a number of TensorBoard's can hold
MISSING = "TensorBoard's files are written by its package, which is not installed: python -m pip install 'tensorboard>=2.16'"
_TAG = re.compile(r"[\w./-]{1,80}", re.ASCII)
_RUN = re.compile(r"\w[\w.-]*", re.ASCII)


def export(archives: list[Archive], target: Path) -> int:
    """0: all were written; 1: one was not, and a line says why. Raises UserError without the package."""
    write, code = _writer(), 0
    for archive in archives:
        name = f"{archive.folder.parent.name}/{archive.folder.name}"
        try:
            made = [
                _export(folder, target / name / folder.folder.name, write)
                for folder in _runs(archive)
            ]
            say(
                f"{name}: {sum(made)} runs written, {len(made) - sum(made)} were there or have no curves"
            )
        except (
            Fault,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:  # of an archive that was edited by hand
            say(f"{name}: not written: {error}")
            code = 1
    say(f"tensorboard --logdir {target}")
    return code


def _runs(archive: Archive) -> list[RunFolder]:
    """The baseline, every attempt, and every fresh seed of both arms."""
    seeds = [
        event.get("folder")
        for event in read_events(archive.events)
        if event.get("event") == "confirmed"
    ]
    folders = [
        archive.run(0),
        *archive.attempts(),
        *(RunFolder(archive.folder / str(name)) for name in seeds),
    ]
    return [
        folder
        for folder in folders
        if folder.result.is_file() and _RUN.fullmatch(folder.folder.name)
    ]


def _export(folder: RunFolder, target: Path, write: Any) -> bool:
    """Whether there was something to write."""
    path, points = target / FILE, _points(folder)
    if not points or path.exists():
        return False
    with disk_faults(folder.metrics):
        began = folder.metrics.stat().st_mtime
    write_bytes(path, write(points, began))
    return True


def _points(folder: RunFolder) -> list[tuple[int, str, float]]:
    """Epoch, tag, value; in the order of the epochs as written."""
    training_images = load_run(folder).variables.get("ASSAY_ARRAYS", "").endswith("confirming")
    tags, points = dict[str, str](), list[tuple[int, str, float]]()
    for row in read_rows(folder):
        if not 0 <= (epoch := row.pop("epoch", -1.0)) < 2**31:
            continue
        for name, value in row.items():
            if len(tags) < MOST_TAGS and name not in tags and _TAG.fullmatch(name):
                tags[name] = (
                    f"{name}_on_training_images"
                    if training_images and name.startswith("val_")
                    else name
                )
            if name in tags and abs(value) < LARGEST:
                points.append((int(epoch), tags[name], value))
    return points


def _writer() -> Any:
    """Points and a time -> the bytes of an event file. Raises UserError without TensorBoard's package."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise UserError(MISSING) from error

    def write(points: list[tuple[int, str, float]], time: float) -> bytes:
        file = io.BytesIO()
        records = RecordWriter(file)
        records.write(Event(wall_time=time, file_version="brain.Event:2").SerializeToString())
        for step, tag, value in points:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            records.write(
                Event(wall_time=time + step, step=step, summary=summary).SerializeToString()
            )
        return file.getvalue()

    return write
