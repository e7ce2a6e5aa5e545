"""The curves of every run in the format that TensorBoard reads.

There is a folder for each run, a tag for each column of metrics.csv, and a step for each epoch. A
run that is there is not written again. These numbers are the programs' own word. Not covered: what
a run logged to W&B only.
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

FOLDER = "_tensorboard"
FILE = "events.out.tfevents.0.assay"
MOST_TAGS = 100  # of a run
LARGEST = 3e38  # that a number of TensorBoard's can hold
MOST_STEPS = 2**31
MISSING = (
    "TensorBoard's files are written by its package, which is not installed: "
    "python -m pip install 'tensorboard>=2.16'"
)
# What writing raises for an archive that was edited by hand.
DAMAGE = (Fault, KeyError, TypeError, AttributeError)
Point = tuple[int, str, float]  # epoch, tag, value
_TAG = re.compile(r"[\w./-]{1,80}", re.ASCII)
_RUN = re.compile(r"\w[\w.-]*", re.ASCII)


def export(archives: list[Archive], target: Path) -> int:
    """Write the curves of every run of these experiments below a folder.

    Returns 0 where all were written, and 1 where one was not, and a line says why. Raises
    UserError without TensorBoard's package.
    """
    write = _writer()
    code = 0
    for archive in archives:
        name = f"{archive.folder.parent.name}/{archive.folder.name}"
        try:
            folders = _runs(archive)
            written = 0
            for folder in folders:
                place = target / name / folder.folder.name
                written += _export(folder, place, write)
        except DAMAGE as error:
            say(f"{name}: not written: {error}")
            code = 1
        else:
            rest = len(folders) - written
            say(f"{name}: {written} runs written, {rest} were there or have no curves")
    say(f"tensorboard --logdir {target}")
    return code


def _runs(archive: Archive) -> list[RunFolder]:
    """Return the baseline, every attempt, and every fresh seed of both arms."""
    folders = [archive.run(0), *archive.attempts()]
    for event in read_events(archive.events):
        if event.get("event") == "confirmed":
            path = archive.folder / str(event.get("folder"))
            folders.append(RunFolder(path))
    return [folder for folder in folders if _is_written(folder)]


def _is_written(folder: RunFolder) -> bool:
    return folder.result.is_file() and _RUN.fullmatch(folder.folder.name) is not None


def _export(folder: RunFolder, target: Path, write: Any) -> bool:
    """Write the curves of one run; False where there are none, or they are there already."""
    path = target / FILE
    points = _points(folder)
    if not points or path.exists():
        return False
    with disk_faults(folder.metrics):
        began = folder.metrics.stat().st_mtime
    write_bytes(path, write(points, began))
    return True


def _points(folder: RunFolder) -> list[Point]:
    """Return a point for each number, in the order of the epochs as written."""
    images = load_run(folder).variables.get("ASSAY_ARRAYS", "")
    training_images = images.endswith("confirming")
    tags: dict[str, str] = {}
    points = []
    for row in read_rows(folder):
        epoch = row.pop("epoch", -1.0)
        if not 0 <= epoch < MOST_STEPS:
            continue
        for name, value in row.items():
            if len(tags) < MOST_TAGS and _TAG.fullmatch(name):
                tags[name] = _tag(name, training_images)
            if name in tags and abs(value) < LARGEST:
                point = (int(epoch), tags[name], value)
                points.append(point)
    return points


def _tag(column: str, training_images: bool) -> str:
    """Return the tag of a column; a confirming run validates on training images, and says so."""
    if training_images and column.startswith("val_"):
        return f"{column}_on_training_images"
    return column


def _writer() -> Any:
    """Return a function that makes the bytes of an event file from points and a time.

    Raises UserError without TensorBoard's package.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise UserError(MISSING) from error

    def write(points: list[Point], time: float) -> bytes:
        file = io.BytesIO()
        records = RecordWriter(file)
        first = Event(wall_time=time, file_version="brain.Event:2")
        records.write(first.SerializeToString())
        for step, tag, number in points:
            value = Summary.Value(tag=tag, simple_value=number)
            event = Event(wall_time=time + step, step=step, summary=Summary(value=[value]))
            records.write(event.SerializeToString())
        return file.getvalue()

    return write
