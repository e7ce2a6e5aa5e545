"""The default loader against PIL transforms in worker processes.

Images per second, as a ratio in one process.

    python benchmarks/loader.py [--data-dir DIR] [--python PATH]

Both give the same augmentation (a shift of up to 4 pixels, a mirror image) and normalised float
batches of 64. The two take turns, five rounds; a round of the fast one is a whole epoch, of the
slow one as many images as ten seconds give. The workers are started before the clock. Without
CIFAR-100 random images of its shape stand in: neither loader looks at them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

MEASURE = '''
import itertools, statistics, sys, time
import numpy as np, torch
from PIL import Image
from torchvision import transforms
sys.path.insert(0, sys.argv[1])
import loading, protocol

class Pil(torch.utils.data.Dataset):
    """What most training scripts do: an image at a time, through PIL."""
    def __init__(self, data):
        self.images = data.images.numpy()
        self.labels = data.labels
        self.transform = transforms.Compose([
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(loading.INFO["mean"], loading.INFO["deviation"]),
        ])
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.images[i])), self.labels[i]

def rate(batches, seconds):
    iterator = iter(batches)
    next(iterator)                        # workers are up, caches are warm
    count = 0
    started = time.perf_counter()
    for images, labels in iterator:
        count += len(labels)
        if time.perf_counter() - started > seconds:
            break
    return count / (time.perf_counter() - started)

data = protocol.train_data()
fast = protocol.Batches(data, 64, shuffle=True, augment=True)
slow = torch.utils.data.DataLoader(Pil(data), 64, shuffle=True, num_workers=4)
ratios = []
for _ in range(5):
    ours = rate(fast, 60)
    theirs = rate(slow, 10)
    ratios.append(ours / theirs)
    print(f"{ours:10,.0f} images/s   {theirs:8,.0f} images/s   {ratios[-1]:6.1f} times")
ratios.sort()
print(f"ratio: median {statistics.median(ratios):.1f}, from {ratios[0]:.1f} to {ratios[-1]:.1f}")
'''


def main() -> int:
    from agent.execution.environment.base import ensure, existing
    from agent.task.dataset import prepare
    from agent.task.scaffold import DEFAULT_SCAFFOLD
    from agent.util.secrets import clean_environment

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--python", type=Path)
    given = parser.parse_args()
    if given.python:
        python = existing(given.python).python
    else:
        python = ensure(DEFAULT_SCAFFOLD / "requirements.txt", print).python
    with tempfile.TemporaryDirectory() as folder:
        if given.data_dir:
            arrays = prepare("cifar100", python, given.data_dir).arrays
        else:
            arrays = _random(Path(folder))
        environment = clean_environment(
            HOME=folder,
            ASSAY_ARRAYS=str(arrays),
            OMP_WAIT_POLICY="PASSIVE",
            OMP_NUM_THREADS=str(len(os.sched_getaffinity(0))),
        )
        print("default loader          PIL, 4 workers        ratio")
        return subprocess.run(
            [str(python), "-c", MEASURE, str(DEFAULT_SCAFFOLD)],
            env=environment,
            cwd=folder,
            check=False,
        ).returncode


def _random(folder: Path) -> Path:
    import numpy as np

    from agent.task.dataset import prepare

    rng = np.random.default_rng(0)
    np.savez(
        folder / "random.npz",
        images=rng.integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8),
        labels=rng.integers(0, 100, 50_000),
    )
    return prepare(str(folder / "random.npz"), Path(sys.executable)).arrays


if __name__ == "__main__":
    sys.exit(main())
