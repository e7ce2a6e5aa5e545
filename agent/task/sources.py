"""A data set's name -> its images and labels as they come, before they are split; checked, whoever made them.

Raises Fault("data", ...) where they cannot be had or are not what they should be.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np

from agent.util.errors import Fault
from agent.util.secrets import clean_environment

Arrays = dict[str, np.ndarray]


def load(name: str, python: Path, data_dir: Path | None, aside: Path, cache: Path) -> Arrays:
    """train_images, train_labels and, where the set has an official test, test_images, test_labels.

    python: an interpreter with torchvision. aside: a folder for what is in the making. cache: where downloads are kept.
    """
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return {
            "train_images": np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None],
            "train_labels": digits.target.astype(np.int64),
        }
    file = (
        Path(name)
        if name.endswith(".npz")
        else _read_with_torchvision(name, python, data_dir, aside, cache)
    )
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise Fault("data", f"{file}: not a readable .npz file of plain arrays: {error}") from error
    except Exception as error:  # zipfile raises its own classes for a damaged file
        raise Fault("data", f"{file}: damaged: {error}") from error
    return _checked(file, arrays)


def _read_with_torchvision(
    name: str, python: Path, data_dir: Path | None, aside: Path, cache: Path
) -> Path:
    out = aside / "raw.npz"
    roots = [folder for folder in (data_dir, os.environ.get("ASSAY_DATA")) if folder]
    command = [
        str(python),
        "-I",
        str(Path(__file__).with_name("torchvision_reader.py")),
        name,
        str(out),
    ]
    command += [str(cache / "torchvision"), *map(str, roots[:1])]
    done = subprocess.run(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(HOME=str(aside)),
        check=False,
    )
    if done.returncode == 0:
        return out
    reason = (done.stderr.strip().splitlines() or ["the reader died"])[-1]
    where = f"in {roots[0]}" if roots else "(no --data-dir and no ASSAY_DATA was given)"
    raise Fault(
        "data",
        f"{name} was not found intact {where} and could not be downloaded ({reason}). "
        f"Give the folder that torchvision uses as root with --data-dir, or use --dataset digits, which needs no download",
    )


def _checked(file: Path, arrays: Arrays) -> Arrays:
    """A user's npz: images and labels (or x_train, y_train), and perhaps test_images, test_labels (x_test, y_test)."""
    names = {
        "images": "train_images",
        "labels": "train_labels",
        "x_train": "train_images",
        "y_train": "train_labels",
        "x_test": "test_images",
        "y_test": "test_labels",
    }
    given = ", ".join(arrays) or "nothing"
    arrays = {names.get(key, key): value for key, value in arrays.items()}
    for part in ("train", "test"):
        if f"{part}_images" not in arrays and part == "test":
            break
        try:
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"].reshape(-1)
        except KeyError as error:
            raise Fault("data", f"{file}: holds {given}; expected images and labels") from error
        images = images[..., None] if images.ndim == 3 else images
        if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] not in (1, 3):
            raise Fault(
                "data",
                f"{file}: images of shape {images.shape}; expected [n, size, size, 1 or 3 channels]",
            )
        if images.dtype != np.uint8 and not (
            images.dtype.kind == "f" and images.min() >= 0 and images.max() <= 1
        ):
            raise Fault(
                "data",
                f"{file}: images of {images.dtype} that are not all in 0..1; expected uint8, or floats in 0..1",
            )
        if len(images) != len(labels) or len(labels) < 30 or labels.dtype.kind not in "iu":
            raise Fault(
                "data",
                f"{file}: {len(images)} images, {len(labels)} labels of {labels.dtype}; expected as many "
                "whole-number labels as images, at least 30",
            )
        arrays[f"{part}_images"] = images if images.dtype == np.uint8 else images.astype(np.float32)
        arrays[f"{part}_labels"] = labels
    classes = np.unique(arrays["train_labels"])
    for part in ("train", "test"):
        if f"{part}_labels" in arrays:
            if not np.isin(arrays[f"{part}_labels"], classes).all():
                raise Fault("data", f"{file}: the test has labels that the training data has not")
            arrays[f"{part}_labels"] = np.searchsorted(classes, arrays[f"{part}_labels"]).astype(
                np.int64
            )
    return arrays
