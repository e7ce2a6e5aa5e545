"""A data set's name becomes arrays on disk: train and validation, and a hidden test.

They are split once with a fixed seed. A run sees `Dataset.arrays` (train and validation), a confirm
run `Dataset.confirming` (validation is a part of train), a prediction `Dataset.unlabelled` (without
the labels of validation). The hidden test lies under another root, in a folder that only its owner
can open, and whose path no run is told; what confines a run does not show it.
Images are uint8 (or float32 in 0..1), [n, size, size, channels]; labels are int64 in 0..classes-1.
Not covered: image folders, HDF5, images that are not square.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.task.catalogue import CATALOGUE
from agent.task.sources import Arrays, load
from agent.util.cache import cache_folder
from agent.util.errors import Fault, UserError
from agent.util.files import disk_faults, read_json
from agent.util.hashes import short_hash
from agent.util.locks import locked

SPLIT_SEED = 20_240_917
VERSION = 4  # of what is stored; another number renews every cache

KINDS = ("images", "labels")
Splits = dict[str, tuple[np.ndarray, np.ndarray]]  # part -> images, labels


@dataclass(frozen=True)
class Dataset:
    """The place of the arrays of a split, and what they are."""

    name: str
    folder: Path

    @property
    def arrays(self) -> Path:
        """The folder that a run sees."""
        return self.folder / "arrays"

    @property
    def unlabelled(self) -> Path:
        """The folder that a prediction sees: no labels of the validation split."""
        return self.folder / "unlabelled"

    @property
    def confirming(self) -> Path:
        """The folder that a confirm run sees: its validation split is a part of its training split.

        So a program that learns from it learns nothing new.
        """
        return self.folder / "confirming"

    @property
    def hidden(self) -> Path:
        """The folder of the test, which no run sees."""
        return hidden_folder() / self.folder.name

    def labelled(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return images and labels of "val" or "test", for the harness to grade."""
        folder = self.hidden if split == "test" else self.arrays
        images = np.load(folder / f"{split}_images.npy")
        labels = np.load(folder / f"{split}_labels.npy")
        return images, labels

    @property
    def info(self) -> dict[str, Any]:
        """The description of the arrays.

        It has classes, channels, size, counts, mean, deviation, mirror, duplicates_dropped, split
        (a hash).
        """
        return read_json(self.arrays / "info.json")


def hidden_folder() -> Path:
    """Return the folder beside the cache: no path that a run is given leads through it."""
    return cache_folder().with_name(f"{cache_folder().name}-hidden")


def check_name(name: str) -> None:
    """Raise UserError for a name that can never be prepared."""
    if name.endswith(".npz"):
        if not Path(name).is_file():
            raise UserError(f"data set {name}: no such file")
    elif name not in CATALOGUE:
        expected = f"one of {', '.join(CATALOGUE)}, or the path of an .npz file"
        raise UserError(f"unknown data set {name!r}: use {expected}")


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def check_intact(dataset: Dataset) -> None:
    """Raise Fault("data", ...) where the arrays are not those that were stored.

    Without a sandbox a run can change them.
    """
    for name, stored in dataset.info["files"].items():
        path = dataset.arrays / name
        if not path.is_file() or file_hash(path) != stored:
            remedy = f"remove {dataset.folder} and start again"
            raise Fault("data", f"{path} was changed since it was prepared: {remedy}")


def find_prepared(name: str, train_size: int | None = None) -> Dataset | None:
    """Return the data set, if it was prepared before."""
    dataset = _dataset(name, train_size)
    info = dataset.arrays / "info.json"
    if info.is_file() and dataset.hidden.is_dir():
        return dataset
    return None


def prepare(
    name: str,
    python: Path,
    data_dir: Path | None = None,
    train_size: int | None = None,
) -> Dataset:
    """Return the data set, made on first need and found again.

    Raises Fault("data", ...) when the arrays cannot be had.
    python: an interpreter with torchvision, which reads and downloads the four sets that it knows.
    train_size: the first so many of the shuffled training split.
    """
    check_name(name)
    if prepared := find_prepared(name, train_size):
        return prepared
    dataset = _dataset(name, train_size)
    root = dataset.folder.parent
    key = dataset.folder.name
    with disk_faults(root):
        root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=root))
    try:
        arrays = load(name, python, data_dir, aside, cache_folder())
        splits, dropped = _split(arrays)
        splits = _cut(name, splits, train_size)
        _store(name, splits, dropped, aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)  # half a data set, of no use to anyone
        raise
    with locked(root / f"{key}.lock", wait=True), disk_faults(dataset.folder):
        hidden_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        _move(aside / "hidden", dataset.hidden)
        _move(aside, dataset.folder)
    shutil.rmtree(aside, ignore_errors=True)
    return dataset


def _move(source: Path, target: Path) -> None:
    if not target.exists():  # another process may have been quicker
        shutil.move(source, target)


def _dataset(name: str, train_size: int | None) -> Dataset:
    content = file_hash(Path(name)) if name.endswith(".npz") else name
    key = f"{content} {train_size} {SPLIT_SEED} {VERSION}"
    digest = short_hash(key, 12)
    return Dataset(name, cache_folder() / "datasets" / f"{Path(name).stem}-{digest}")


def _split(arrays: Arrays) -> tuple[Splits, int]:
    """Return train, val and test, and how many exact duplicates across them were dropped."""
    images = arrays["train_images"]
    labels = arrays["train_labels"]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    if "test_images" in arrays:
        test = arrays["test_images"], arrays["test_labels"]
        tenth = len(order) // 10
        val, train = np.split(order, [tenth])
    else:
        fifth = len(order) // 5
        two_fifths = 2 * len(order) // 5
        hidden, val, train = np.split(order, [fifth, two_fifths])
        test = images[hidden], labels[hidden]
    splits = {"test": test}
    seen = {image.tobytes() for image in test[0]}
    dropped = 0
    for name, indices in (("val", val), ("train", train)):
        digests = [images[index].tobytes() for index in indices]
        kept = indices[[digest not in seen for digest in digests]]
        dropped += len(indices) - len(kept)
        seen.update(digests)
        splits[name] = images[kept], labels[kept]
    return splits, dropped


def _cut(name: str, splits: Splits, train_size: int | None) -> Splits:
    """Return the splits with so many training images. Raises where that leaves one empty."""
    images, labels = splits["train"]
    if train_size and train_size > len(labels):
        raise UserError(f"--train-size {train_size}: {name} has {len(labels)} training images")
    train = images[:train_size], labels[:train_size]
    splits = splits | {"train": train}
    empty = [part for part, (_, kept) in splits.items() if len(kept) == 0]
    if empty:
        parts = " and ".join(empty)
        raise Fault(
            "data",
            f"{name}: no image is left in {parts} once duplicates across the splits are dropped",
        )
    return splits


def _store(name: str, splits: Splits, dropped: int, aside: Path) -> None:
    """Write the arrays, with links to those that a prediction and a confirm run see too."""
    arrays = aside / "arrays"
    unlabelled = aside / "unlabelled"
    confirming = aside / "confirming"
    hidden = aside / "hidden"
    digest = hashlib.sha256()
    with disk_faults(aside):
        for folder in (arrays, unlabelled, confirming, hidden):
            folder.mkdir(mode=0o700, exist_ok=True)
        for part in ("train", "val", "test"):
            folder = hidden if part == "test" else arrays
            for kind, array in zip(KINDS, splits[part], strict=True):
                digest.update(np.ascontiguousarray(array).tobytes())
                _save(folder / f"{part}_{kind}.npy", array)
        val_count = len(splits["val"][1])
        for kind, array in zip(KINDS, splits["train"], strict=True):
            _save(confirming / f"val_{kind}.npy", array[:val_count])
        info = _describe(splits, dropped, mirror=_may_be_mirrored(name))
        info["name"] = Path(name).stem
        info["split"] = digest.hexdigest()[:16]
        files = sorted(arrays.glob("*.npy"))
        info["files"] = {file.name: file_hash(file) for file in files}
        (arrays / "info.json").write_text(json.dumps(info, indent=2))
        train = ("train_images.npy", "train_labels.npy")
        _link(arrays, unlabelled, (*train, "val_images.npy", "info.json"))
        _link(arrays, confirming, (*train, "info.json"))
        shutil.rmtree(aside / "scratch", ignore_errors=True)
        (aside / "raw.npz").unlink(missing_ok=True)


def _save(file: Path, array: np.ndarray) -> None:
    np.save(file, np.ascontiguousarray(array))
    file.chmod(0o400 if file.parent.name == "hidden" else 0o444)


def _link(source: Path, target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        os.link(source / name, target / name)


def _may_be_mirrored(name: str) -> bool:
    return name in CATALOGUE and CATALOGUE[name].mirror


def _describe(splits: Splits, dropped: int, mirror: bool) -> dict[str, Any]:
    images, labels = splits["train"]
    pixels = images.reshape(-1, images.shape[-1])
    unit = 255.0 if images.dtype == np.uint8 else 1.0
    mean = pixels.mean(0, dtype=np.float64) / unit
    deviation = pixels.std(0, dtype=np.float64) / unit
    highest = max(part_labels.max() for _, part_labels in splits.values())
    return {
        "classes": int(highest) + 1,
        "channels": int(images.shape[3]),
        "size": int(images.shape[1]),
        "mirror": mirror,
        "train_count": len(labels),
        "val_count": len(splits["val"][1]),
        "test_count": len(splits["test"][1]),
        "duplicates_dropped": dropped,
        "mean": mean.tolist(),
        "deviation": np.maximum(deviation, 1e-3).tolist(),
    }
