"""The harness's own number: a second process predicts for images in a secret order, and the labels stay here.

A run's own accuracy is a claim. What counts is graded from `predictions.npy`, scores [n, classes], read as plain numbers,
brought back into order and compared with labels that the process was not given.
Not covered: a program that adapts to all images of a prediction at once; without a sandbox, one
that finds the labels on the disk.
"""

from __future__ import annotations

import shutil
from typing import NamedTuple

import numpy as np

from agent.archive.paths import RunFolder
from agent.archive.score import Score
from agent.execution.failure import explain
from agent.execution.local import execute
from agent.execution.request import Request
from agent.task.contract import CHECKPOINT, IMAGES, PREDICTIONS
from agent.task.dataset import Dataset
from agent.task.scoring import grade, read_scores
from agent.util.files import copy_files, disk_faults, read_untrusted, read_untrusted_text, remove


class Grade(NamedTuple):
    """What a prediction came to: a score or a problem, and what it used."""

    score: Score | None
    problem: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def predict_and_grade(
    folder: RunFolder, request: Request, dataset: Dataset, splits: tuple[str, ...]
) -> Grade:
    """The score of the checkpoint that a finished run left, or what is wrong with its predictions.

    folder: the run's; its code is copied anew, so what the training did to its own copy is of no effect.
    request: how to run main.py in folder.predict, in stage predict.
    """
    checkpoint = folder.work / CHECKPOINT
    if checkpoint.is_symlink() or not checkpoint.is_file():
        return Grade(None, f"It left no {CHECKPOINT}: protocol.run(Model), called last, saves one.")
    copy_files(folder.code, folder.predict)
    parts = {split: dataset.labelled(split) for split in splits}
    images, labels = (np.concatenate([part[k] for part in parts.values()]) for k in (0, 1))
    secret = np.random.default_rng().permutation(
        len(labels)
    )  # of this prediction alone, from the system's entropy
    with disk_faults(folder.predict):
        shutil.copyfile(checkpoint, folder.predict / CHECKPOINT)
        np.save(folder.predict / IMAGES, images[secret])
    execution = execute(request)
    used = execution.seconds, execution.cpu_seconds
    data = read_untrusted(
        folder.predict / PREDICTIONS, 16 * len(labels) * dataset.info["classes"] + 4096
    )
    for spent in (
        IMAGES,
        CHECKPOINT,
        PREDICTIONS,
    ):  # copies, and rows in an order that nobody knows any more
        remove(folder.predict / spent)
    if not execution.ok:
        stdout, stderr = map(read_untrusted_text, (request.stdout, request.stderr))
        reason = explain(execution, stdout, stderr)
        return Grade(None, f"Predicting with the trained model failed:\n{reason}", *used)
    scores, problem = read_scores(data, (len(labels), dataset.info["classes"]))
    if scores is None:
        return Grade(None, problem, *used)
    labels_of = {split: part[1] for split, part in parts.items()}
    return Grade(grade(scores, secret, labels_of), "", *used)
