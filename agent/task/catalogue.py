"""The data sets that can be asked for by name: the one place that lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedDataset:
    """A data set with a name, and where it comes from."""

    name: str
    reader: str = ""  # its class in torchvision.datasets; '' where it comes with scikit-learn
    folder: str = ""  # where it lies under torchvision's root
    mirror: bool = False  # a mirrored image shows the same thing


CATALOGUE = {
    dataset.name: dataset
    for dataset in (
        NamedDataset("cifar10", "CIFAR10", "cifar-10-batches-py", mirror=True),
        NamedDataset("cifar100", "CIFAR100", "cifar-100-python", mirror=True),
        NamedDataset("mnist", "MNIST", "MNIST"),  # a mirrored 3 is not a 3
        NamedDataset("fashion_mnist", "FashionMNIST", "FashionMNIST", mirror=True),
        NamedDataset("digits"),
    )
}
