"""This program reads one of torchvision's data sets into an npz file.

    python torchvision_reader.py CLASS FOLDER OUT.npz CACHE [ROOT]

CLASS is a name in torchvision.datasets, FOLDER where the set lies under ROOT. The experiments'
interpreter runs this: the harness has no torch. ROOT may be read-only. What lies
there is used as it is where torchvision finds it whole; otherwise it is copied into CACHE, where
torchvision checks the md5 sums, unpacks, and downloads what is missing or damaged.
"""

import shutil
import socket
import sys
from pathlib import Path

import numpy as np
from torchvision import datasets


def load(kind: type, folder: str, cache: Path, root: "Path | None") -> dict:
    """Return the arrays of a data set, from root if it lies there whole, else through cache.

    kind: its class in torchvision. folder: where it lies under a root.
    """
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
    kind, folder, out, cache, *roots = sys.argv[1:]
    root = Path(roots[0]) if roots else None
    try:
        parts = load(getattr(datasets, kind), folder, Path(cache), root)
        np.savez(out, **parts)
    except (RuntimeError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
