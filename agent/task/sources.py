"""A data set's images and labels are fetched here as they come, before they are split.

They are checked, whoever wrote them. Raises Fault("data", ...) where they cannot be had or are not
what they should be.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np

from agent.task.catalogue import CATALOGUE
from agent.util.errors import Fault
from agent.util.secrets import clean_environment

Arrays = dict[str, np.ndarray]

READER = Path(__file__).with_name("torchvision_reader.py")

# A user's file may also call its arrays so.
_OTHER_NAMES = {
    "images": "train_images",
    "labels": "train_labels",
    "x_train": "train_images",
    "y_train": "train_labels",
    "x_test": "test_images",
    "y_test": "test_labels",
}


def load(
    name: str,
    python: Path,
    data_dir: Path | None,
    aside: Path,
    cache: Path,
) -> Arrays:
    """Return train_images, train_labels and, for an official test, test_images, test_labels.

    python: an interpreter with torchvision. aside: a folder for what is in the making. cache: where
    downloads are kept.
    """
    if name == "digits":
        return _load_digits()
    if name.endswith(".npz"):
        file = Path(name)
    else:
        file = _read_with_torchvision(name, python, data_dir, aside, cache)
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise Fault("data", f"{file}: not a readable .npz file of plain arrays: {error}") from error
    except Exception as error:  # zipfile raises its own classes for a damaged file
        raise Fault("data", f"{file}: damaged: {error}") from error
    return _checked(file, arrays)


def _load_digits() -> Arrays:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16))
    return {
        "train_images": images.astype(np.uint8)[..., None],
        "train_labels": digits.target.astype(np.int64),
    }


def _read_with_torchvision(
    name: str,
    python: Path,
    data_dir: Path | None,
    aside: Path,
    cache: Path,
) -> Path:
    dataset = CATALOGUE[name]
    out = aside / "raw.npz"
    root = data_dir or os.environ.get("ASSAY_DATA")
    command = [
        str(python),
        "-I",
        str(READER),
        dataset.reader,
        dataset.folder,
        str(out),
        str(cache / "torchvision"),
    ]
    if root:
        command.append(str(root))
    done = subprocess.run(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(HOME=str(aside)),
        check=False,
    )
    if done.returncode == 0:
        return out
    lines = done.stderr.strip().splitlines()
    reason = lines[-1] if lines else "the reader died"
    where = f"in {root}" if root else "(no --data-dir and no ASSAY_DATA was given)"
    raise Fault(
        "data",
        f"{name} was not found intact {where} and could not be downloaded ({reason}). "
        "Give the folder that torchvision uses as root with --data-dir, "
        "or use --dataset digits, which needs no download",
    )


def _checked(file: Path, arrays: Arrays) -> Arrays:
    """Return the arrays of a user's npz under our names, labels numbered from 0.

    It holds images and labels (or x_train, y_train), and perhaps test_images, test_labels (x_test,
    y_test).
    """
    given = ", ".join(arrays) or "nothing"
    arrays = {_OTHER_NAMES.get(key, key): value for key, value in arrays.items()}
    parts = ["train"]
    if "test_images" in arrays:
        parts.append("test")
    for part in parts:
        try:
            images = arrays[f"{part}_images"]
            labels = arrays[f"{part}_labels"].reshape(-1)
        except KeyError as error:
            raise Fault("data", f"{file}: holds {given}; expected images and labels") from error
        images = _checked_images(file, images)
        _check_labels(file, images, labels)
        arrays[f"{part}_images"] = images
        arrays[f"{part}_labels"] = labels
    return arrays | _numbered(file, arrays)


def _checked_images(file: Path, images: np.ndarray) -> np.ndarray:
    """Return images as uint8 or float32 in 0..1, [n, size, size, channels]."""
    if images.ndim == 3:
        images = images[..., None]
    if not _is_square(images.shape):
        raise Fault(
            "data",
            f"{file}: images of shape {images.shape}; expected [n, size, size, 1 or 3 channels]",
        )
    if images.dtype == np.uint8:
        return images
    fits = images.dtype.kind == "f" and images.min() >= 0 and images.max() <= 1
    if not fits:
        raise Fault(
            "data",
            f"{file}: images of {images.dtype} that are not all in 0..1; "
            "expected uint8, or floats in 0..1",
        )
    return images.astype(np.float32)


def _is_square(shape: tuple[int, ...]) -> bool:
    if len(shape) != 4:
        return False
    _, height, width, channels = shape
    return height == width and channels in (1, 3)


def _check_labels(file: Path, images: np.ndarray, labels: np.ndarray) -> None:
    count = len(labels)
    if count != len(images) or count < 30 or labels.dtype.kind not in "iu":
        raise Fault(
            "data",
            f"{file}: {len(images)} images, {count} labels of {labels.dtype}; "
            "expected as many whole-number labels as images, at least 30",
        )


def _numbered(file: Path, arrays: Arrays) -> Arrays:
    """Return the labels of each part as numbers of the classes that the training data has."""
    classes = np.unique(arrays["train_labels"])
    numbered = Arrays()
    for name in ("train_labels", "test_labels"):
        if name not in arrays:
            continue
        labels = arrays[name]
        if not np.isin(labels, classes).all():
            raise Fault("data", f"{file}: the test has labels that the training data has not")
        numbers = np.searchsorted(classes, labels)
        numbered[name] = numbers.astype(np.int64)
    return numbered
