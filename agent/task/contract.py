"""This module is the contract with a scaffold's program: file names, variables, options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent.archive.run import Budget

if TYPE_CHECKING:
    from agent.task.dataset import Dataset

MAIN = "main.py"
PROTOCOL = "protocol.py"
REQUIREMENTS = "requirements.txt"

IMAGES = "predict_images.npy"
PREDICTIONS = "predictions.npy"
CHECKPOINT = "model.pt"

_OUT_DIR = re.compile(r"""["'](--out[_-]dir)["']""")


def environment_variables(
    dataset: Dataset | None,
    budget: Budget,
    *,
    arm: str,
    stage: str = "train",
    confirming: bool = False,
) -> dict[str, str]:
    """Return how the harness's decisions reach protocol.py.

    confirming: with nothing to learn from validation data.
    """
    variables = {
        "ASSAY_ARM": arm,
        "ASSAY_STAGE": stage,
        "ASSAY_SEED": str(budget.seed),
        "ASSAY_EPOCHS": str(budget.epochs),
        "ASSAY_DEVICE": budget.device,
        "ASSAY_THREADS": str(budget.threads),
    }
    if dataset:
        return {"ASSAY_ARRAYS": str(_visible_arrays(dataset, stage, confirming))} | variables
    return variables


def _visible_arrays(dataset: Dataset, stage: str, confirming: bool) -> Path:
    if stage == "predict":
        return dataset.unlabelled
    return dataset.confirming if confirming else dataset.arrays


def out_dir_arguments(main: Path) -> tuple[str, ...]:
    """Return `--out_dir=.` where an open scaffold declares that option.

    So its results land in the working folder.
    """
    declared = _OUT_DIR.search(main.read_text(encoding="utf-8", errors="replace"))
    return (f"{declared[1]}=.",) if declared else ()
