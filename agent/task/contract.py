"""TODO: docstring."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent.archive.run import Budget

if TYPE_CHECKING:
    from agent.task.dataset import Dataset


def environment_variables(
    dataset: Dataset | None,
    budget: Budget,
    *,
    arm: str,
    stage: str = "train",
    confirming: bool = False,
) -> dict[str, str]:
    """How the harness's decisions reach protocol.py. confirming: with nothing to learn from validation data."""
    arrays = {}
    if dataset:
        arrays["ASSAY_ARRAYS"] = str(
            dataset.unlabelled
            if stage == "predict"
            else dataset.confirming
            if confirming
            else dataset.arrays
        )
    return arrays | {
        "ASSAY_ARM": arm,
        "ASSAY_STAGE": stage,
        "ASSAY_SEED": str(budget.seed),
        "ASSAY_EPOCHS": str(budget.epochs),
        "ASSAY_DEVICE": budget.device,
        "ASSAY_THREADS": str(budget.threads),
    }


def out_dir_arguments(main: Path) -> tuple[str, ...]:
    """`--out_dir=.` where an open scaffold declares that option, so that its results land in the working folder."""
    declared = re.search(
        r"""["'](--out[_-]dir)["']""", main.read_text(encoding="utf-8", errors="replace")
    )
    return (f"{declared[1]}=.",) if declared else ()


IMAGES, PREDICTIONS, CHECKPOINT = "predict_images.npy", "predictions.npy", "model.pt"


MAIN, PROTOCOL, REQUIREMENTS = "main.py", "protocol.py", "requirements.txt"
