"""The data of a run: one split in one tensor on the device, whole batches cut out of it.

Nobody edits this file. main.py takes everything from protocol.py, which says how the environment
decides.
"""

from __future__ import annotations

import json
import os
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

import probe

ARRAYS = Path(os.environ.get("ASSAY_ARRAYS", "data"))
if not (ARRAYS / "info.json").is_file():
    sys.exit(
        f"protocol.py: no data in {ARRAYS}: "
        "start this program through launch.py, or set ASSAY_ARRAYS"
    )
INFO = json.loads((ARRAYS / "info.json").read_text())
SEED = int(os.environ.get("ASSAY_SEED", "0"))
CLASSES: int = INFO["classes"]
CHANNELS: int = INFO["channels"]
SIZE: int = INFO["size"]  # pixels; images are square


class Images(Dataset):
    """The images and labels of one split, in memory.

    images: uint8 (or float32 in 0..1) tensor [n, SIZE, SIZE, CHANNELS] on the training device
    labels: int64 tensor [n] on the training device
    data[i] gives a normalised float image [CHANNELS, SIZE, SIZE] and its label, so that a
    DataLoader works too.
    """

    def __init__(self, split: str, device: torch.device):
        self.split = split
        self.images = torch.from_numpy(np.load(ARRAYS / f"{split}_images.npy")).to(device)
        self.labels = torch.from_numpy(np.load(ARRAYS / f"{split}_labels.npy")).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.note([index])
        return normalise(self.images[index][None])[0], self.labels[index]

    def note(self, indices: list[int]) -> None:
        """Tell the gate's probe which training images are about to be used."""
        if probe.ACTIVE and self.split == "train":
            probe.order.append(indices)


class Batches:
    """The fast default loader, which cuts whole batches out of one tensor.

    It yields pairs: images float [b, CHANNELS, SIZE, SIZE], labels int64 [b].

    shuffle: take the samples in a new order each epoch, from a generator of its own, so that a
        model with more parameters sees the same order.
    augment: shift each sample at random by up to SIZE // 8 pixels, and mirror it at random where
        the data set allows that.
    order: a function that returns the indices to use in an epoch, given the epoch's number (a
        curriculum, a resampling). Every epoch has len(data) samples, so fewer indices are repeated
        and more are cut: the budget stays equal.
    """

    def __init__(
        self,
        data: Images,
        batch_size: int,
        *,
        shuffle: bool = False,
        augment: bool = False,
        order=None,
    ):
        self.data = data
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.order = order
        # Two, so that another order comes with the same shifts and flips.
        self.order_random = torch.Generator().manual_seed(SEED + 1)
        self.augment_random = torch.Generator().manual_seed(SEED + 2)
        self.epoch = 0
        self.pad = SIZE // 8 if augment else 0
        self.mirror = augment and INFO["mirror"]
        self.windows = data.images
        if self.pad:
            padded = F.pad(data.images, (0, 0, self.pad, self.pad, self.pad, self.pad))
            shifted = padded.unfold(1, SIZE, 1).unfold(2, SIZE, 1)
            # [n, rows, columns, SIZE, SIZE, C]: a view in which one index picks a shifted window
            self.windows = shifted.permute(0, 1, 2, 4, 5, 3)

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def __iter__(self):
        indices = self._indices(len(self.data)).to(self.data.images.device)
        self.epoch += 1
        for chosen in indices.split(self.batch_size):
            if probe.ACTIVE:  # a list of a GPU's indices costs time
                self.data.note(chosen.tolist())
            yield normalise(self._cut(chosen)), self.data.labels[chosen]

    def _indices(self, count: int) -> torch.Tensor:
        if self.order is not None:
            indices = torch.as_tensor(self.order(self.epoch), dtype=torch.int64).flatten()
            if len(indices) == 0:
                raise ValueError(f"order({self.epoch}) returned no index")
            return indices.repeat(-(-count // len(indices)))[:count]
        if self.shuffle:
            return torch.randperm(count, generator=self.order_random)
        return torch.arange(count)

    def _cut(self, chosen: torch.Tensor) -> torch.Tensor:
        count = len(chosen)
        if self.pad:
            shift = torch.randint(0, 2 * self.pad + 1, (2, count), generator=self.augment_random)
            shift = shift.to(chosen.device)
            images = self.windows[chosen, shift[0], shift[1]]
        else:
            images = self.windows[chosen]
        if self.mirror:
            flip = torch.rand(count, generator=self.augment_random).to(chosen.device) < 0.5
            images = torch.where(flip[:, None, None, None], images.flip(2), images)
        return images


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Return stored images [b, SIZE, SIZE, CHANNELS] as a model takes them.

    That is float [b, CHANNELS, SIZE, SIZE], channels last in memory, with mean 0 and deviation 1 on
    the train split.
    """
    scale, shift = _scale_and_shift(images.device, images.dtype)
    return torch.addcmul(shift, images.float(), scale).permute(0, 3, 1, 2)


@lru_cache
def _scale_and_shift(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    unit = 255.0 if dtype == torch.uint8 else 1.0
    mean = torch.tensor(INFO["mean"], device=device)
    deviation = torch.tensor(INFO["deviation"], device=device)
    return 1 / (unit * deviation), -mean / deviation


@lru_cache
def train_data() -> Images:
    """Return the split to train on."""
    return Images("train", device())


@lru_cache
def val_data() -> Images:
    """Return the split to validate on."""
    return Images("val", device())


@lru_cache
def device() -> torch.device:
    """Return the device of ASSAY_DEVICE; auto is the first GPU, or the CPU where there is none."""
    name = os.environ.get("ASSAY_DEVICE", "auto")
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
