"""The harness's own number: a second process predicts, and the labels stay here.

A run's own accuracy is a claim. What counts is graded from `predictions.npy`, scores [n, classes],
of images in a secret order: read as plain numbers, brought back into order and compared with labels
that the process was not given.
Not covered: a program that adapts to all images of a prediction at once; without a sandbox, one
that finds the labels on the disk.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The score of a prediction or the problem with it, and what it used."""

    score: Score | None = None
    problem: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def predict_and_grade(
    folder: RunFolder, request: Request, dataset: Dataset, splits: tuple[str, ...]
) -> Grade:
    """Return the score of the checkpoint that a finished run left, or what is wrong with it.

    folder: the run's; its code is copied anew, so what the training did to its own copy is of no
    effect.
    request: how to run main.py in folder.predict, in stage predict.
    """
    checkpoint = folder.work / CHECKPOINT
    if checkpoint.is_symlink() or not checkpoint.is_file():
        return Grade(
            problem=f"It left no {CHECKPOINT}: protocol.run(Model), called last, saves one."
        )
    copy_files(folder.code, folder.predict)
    parts = [dataset.labelled(split) for split in splits]
    images = np.concatenate([part_images for part_images, _ in parts])
    labels = np.concatenate([part_labels for _, part_labels in parts])
    # Of this prediction alone, from the system's entropy.
    secret = np.random.default_rng().permutation(len(labels))
    with disk_faults(folder.predict):
        shutil.copyfile(checkpoint, folder.predict / CHECKPOINT)
        np.save(folder.predict / IMAGES, images[secret])
    execution = execute(request)
    shape = (len(labels), dataset.info["classes"])
    most_bytes = 16 * shape[0] * shape[1] + 4096
    data = read_untrusted(folder.predict / PREDICTIONS, most_bytes)
    # Copies, and rows in an order that nobody knows any more.
    for spent in (IMAGES, CHECKPOINT, PREDICTIONS):
        remove(folder.predict / spent)
    used = Grade(seconds=execution.seconds, cpu_seconds=execution.cpu_seconds)
    if not execution.ok:
        output = explain(
            execution, read_untrusted_text(request.stdout), read_untrusted_text(request.stderr)
        )
        return replace(used, problem=f"Predicting with the trained model failed:\n{output}")
    scores, problem = read_scores(data, shape)
    if scores is None:
        return replace(used, problem=problem)
    labels_of = {split: part[1] for split, part in zip(splits, parts, strict=True)}
    return replace(used, score=grade(scores, secret, labels_of))
