"""This program reads one of torchvision's data sets into an npz file.

    python torchvision_reader.py NAME OUT.npz CACHE [ROOT]

The experiments' interpreter runs it: the harness has no torch. ROOT may be read-only. What lies
there is used as it is where torchvision finds it whole; otherwise it is copied into CACHE, where
torchvision checks the md5 sums, unpacks, and downloads what is missing or damaged.
"""

import shutil
import socket
import sys
from pathlib import Path

import numpy as np
from torchvision import datasets

CLASSES = {
    "cifar10": (datasets.CIFAR10, "cifar-10-batches-py"),
    "cifar100": (datasets.CIFAR100, "cifar-100-python"),
    "mnist": (datasets.MNIST, "MNIST"),
    "fashion_mnist": (datasets.FashionMNIST, "FashionMNIST"),
}


def load(name: str, cache: Path, root: "Path | None") -> dict:
    """Return the arrays of a data set, from root if it lies there whole, else through cache."""
    kind, folder = CLASSES[name]
    if root is not None:
        try:
            return arrays(kind, root, download=False)
        except RuntimeError:  # not there, packed, or damaged
            if (root / folder).is_dir():
                shutil.copytree(root / folder, cache / folder, dirs_exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    socket.setdefaulttimeout(60)  # seconds without a byte
    return arrays(kind, cache, download=True)


def arrays(kind: type, root: Path, *, download: bool) -> dict:
    """Return the official train and test sets.

    Images are uint8 [n, size, size, channels], labels int64 [n].
    """
    parts = {}
    for part, train in (("train", True), ("test", False)):
        data = kind(str(root), train=train, download=download)
        images = np.asarray(data.data, dtype=np.uint8)
        if images.ndim != 4:
            images = images[..., None]
        parts[f"{part}_images"] = images
        parts[f"{part}_labels"] = np.asarray(data.targets, dtype=np.int64)
    return parts


if __name__ == "__main__":
    name, out, cache, *root = sys.argv[1:]
    try:
        parts = load(name, Path(cache), Path(root[0]) if root else None)
        np.savez(out, **parts)
    except (RuntimeError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
