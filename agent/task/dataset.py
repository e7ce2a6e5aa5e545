"""A data set's name -> arrays on disk, split once with a fixed seed: train and validation, and a hidden test.

A run sees `Dataset.arrays` (train and validation), a confirm run `Dataset.confirming` (validation is a part of train), a
prediction `Dataset.unlabelled` (without the labels of validation). The hidden test lies under another root, in a folder that
only its owner can open, and whose path no run is told; what confines a run does not show it.
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

from agent.task.sources import Arrays, load
from agent.util.cache import cache_folder
from agent.util.errors import Fault, UserError
from agent.util.files import disk_faults, read_json
from agent.util.locks import locked

TORCHVISION = ("cifar10", "cifar100", "mnist", "fashion_mnist")

NAMES = (*TORCHVISION, "digits")

SPLIT_SEED = 20_240_917

MIRRORED = ("cifar10", "cifar100", "fashion_mnist")  # a mirrored 3 is not a 3

VERSION = 4  # of what is stored; another number makes every cache new


@dataclass(frozen=True)
class Dataset:
    """Where the arrays of one split lie, and what they are."""

    name: str
    folder: Path

    @property
    def arrays(self) -> Path:
        return self.folder / "arrays"

    @property
    def unlabelled(self) -> Path:
        """What a prediction may see: `arrays` without the labels of the validation split."""
        return self.folder / "unlabelled"

    @property
    def confirming(self) -> Path:
        """What a confirm run sees: its validation split is a part of its training split, so that who learns from it learns nothing new."""
        return self.folder / "confirming"

    @property
    def hidden(self) -> Path:
        return hidden_folder() / self.folder.name

    def labelled(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of "val" or "test", for the harness to grade."""
        folder = self.hidden if split == "test" else self.arrays
        images, labels = (np.load(folder / f"{split}_{kind}.npy") for kind in ("images", "labels"))
        return images, labels

    @property
    def info(self) -> dict[str, Any]:
        """classes, channels, size, counts, mean, deviation, mirror, duplicates_dropped, split (a hash)."""
        info: dict[str, Any] = read_json(self.arrays / "info.json")
        return info


def hidden_folder() -> Path:
    """Beside the cache: no path that a run is given leads through it."""
    return cache_folder().with_name(f"{cache_folder().name}-hidden")


def check_name(name: str) -> None:
    """Raises UserError for a name that can never be prepared."""
    if name.endswith(".npz"):
        if not Path(name).is_file():
            raise UserError(f"data set {name}: no such file")
    elif name not in NAMES:
        raise UserError(
            f"unknown data set {name!r}: use one of {', '.join(NAMES)}, or the path of an .npz file"
        )


def file_hash(file: Path) -> str:
    with file.open("rb") as opened:
        digest = hashlib.sha256()
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def check_intact(dataset: Dataset) -> None:
    """Raises Fault("data", ...) where the arrays are not those that were stored: without a sandbox a run can change them."""
    for name, stored in dataset.info["files"].items():
        if not (dataset.arrays / name).is_file() or file_hash(dataset.arrays / name) != stored:
            raise Fault(
                "data",
                f"{dataset.arrays / name} was changed since it was prepared: remove {dataset.folder} and start again",
            )


def find_prepared(name: str, train_size: int | None = None) -> Dataset | None:
    """The data set, if it was prepared before."""
    dataset = Dataset(name, cache_folder() / "datasets" / _key(name, train_size))
    return dataset if (dataset.arrays / "info.json").is_file() and dataset.hidden.is_dir() else None


def prepare(
    name: str, python: Path, data_dir: Path | None = None, train_size: int | None = None
) -> Dataset:
    """Arrays of `name`, made on first need and found again. Raises Fault("data", ...) when they cannot be had.

    python: an interpreter with torchvision, which reads and downloads the four sets that it knows.
    train_size: the first so many of the shuffled training split.
    """
    check_name(name)
    if found := find_prepared(name, train_size):
        return found
    key = _key(name, train_size)
    root = cache_folder() / "datasets"
    dataset = Dataset(name, root / key)
    with disk_faults(root):
        root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=root))
    try:
        splits, dropped = _split(load(name, python, data_dir, aside, cache_folder()))
        _store(name, splits, dropped, train_size, aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)  # half a data set, of no use to anyone
        raise
    with locked(root / f"{key}.lock", wait=True), disk_faults(dataset.folder):
        hidden_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        for source, target in ((aside / "hidden", dataset.hidden), (aside, dataset.folder)):
            if not target.exists():  # another process may have been quicker
                shutil.move(source, target)
    shutil.rmtree(aside, ignore_errors=True)
    return dataset


def _key(name: str, train_size: int | None) -> str:
    content = hashlib.sha256(Path(name).read_bytes()).hexdigest() if name.endswith(".npz") else name
    digest = hashlib.sha256(f"{content} {train_size} {SPLIT_SEED} {VERSION}".encode()).hexdigest()[
        :12
    ]
    return f"{Path(name).stem}-{digest}"


def _split(arrays: Arrays) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], int]:
    """train, val and test (images, labels), and how many exact duplicates across them were dropped."""
    images, labels = arrays["train_images"], arrays["train_labels"]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    if "test_images" in arrays:
        test = arrays["test_images"], arrays["test_labels"]
        val, train = np.split(order, [len(order) // 10])
    else:
        hidden, val, train = np.split(order, [len(order) // 5, 2 * len(order) // 5])
        test = images[hidden], labels[hidden]
    seen = {image.tobytes() for image in test[0]}
    splits, dropped = {"test": test}, 0
    for name, indices in (("val", val), ("train", train)):
        digests = [images[index].tobytes() for index in indices]
        kept = indices[[digest not in seen for digest in digests]]
        dropped += len(indices) - len(kept)
        seen.update(digests)
        splits[name] = images[kept], labels[kept]
    return splits, dropped


def _store(name: str, splits: dict, dropped: int, train_size: int | None, aside: Path) -> None:
    images, labels = splits["train"]
    if train_size and train_size > len(labels):
        raise UserError(f"--train-size {train_size}: {name} has {len(labels)} training images")
    splits = splits | {"train": (images[:train_size], labels[:train_size])}
    if few := [part for part, (_, kept) in splits.items() if len(kept) == 0]:
        raise Fault(
            "data",
            f"{name}: no image is left in {' and '.join(few)} once duplicates across the splits are dropped",
        )
    digest = hashlib.sha256()
    with disk_faults(aside):
        for folder in ("arrays", "unlabelled", "confirming", "hidden"):
            (aside / folder).mkdir(mode=0o700, exist_ok=True)
        for part, folder in (("train", "arrays"), ("val", "arrays"), ("test", "hidden")):
            for kind, array in zip(("images", "labels"), splits[part], strict=True):
                digest.update(np.ascontiguousarray(array).tobytes())
                file = _save(aside / folder / f"{part}_{kind}.npy", array)
                if folder == "arrays" and file.name != "val_labels.npy":
                    os.link(file, aside / "unlabelled" / file.name)
                if part == "train":
                    os.link(file, aside / "confirming" / file.name)
                    _save(aside / "confirming" / f"val_{kind}.npy", array[: len(splits["val"][1])])
        info = _describe(splits, dropped, mirror=name in MIRRORED) | {
            "name": Path(name).stem,
            "split": digest.hexdigest()[:16],
        }
        info["files"] = {
            file.name: file_hash(file) for file in sorted((aside / "arrays").glob("*.npy"))
        }
        (aside / "arrays" / "info.json").write_text(json.dumps(info, indent=2))
        for folder in ("unlabelled", "confirming"):
            os.link(aside / "arrays" / "info.json", aside / folder / "info.json")
        shutil.rmtree(aside / "scratch", ignore_errors=True)
        (aside / "raw.npz").unlink(missing_ok=True)


def _save(file: Path, array: np.ndarray) -> Path:
    np.save(file, np.ascontiguousarray(array))
    file.chmod(0o400 if file.parent.name == "hidden" else 0o444)
    return file


def _describe(splits: dict, dropped: int, mirror: bool) -> dict:
    images, labels = splits["train"]
    pixels = images.reshape(-1, images.shape[-1])
    unit = 255.0 if images.dtype == np.uint8 else 1.0
    return {
        "classes": int(max(labels.max() for _, labels in splits.values())) + 1,
        "channels": int(images.shape[3]),
        "size": int(images.shape[1]),
        "mirror": mirror,
        "train_count": len(labels),
        "val_count": len(splits["val"][1]),
        "test_count": len(splits["test"][1]),
        "duplicates_dropped": dropped,
        "mean": (pixels.mean(0, dtype=np.float64) / unit).tolist(),
        "deviation": (np.maximum(pixels.std(0, dtype=np.float64) / unit, 1e-3)).tolist(),
    }
