"""TODO: docstring."""

from __future__ import annotations

# How a training step is made: what an idea changes of it on purpose it has to name, else the gate sends it back.
RECIPE = (
    "optimizer",
    "learning_rate",
    "weight_decay",
    "momentum",
    "batch_size",
)  # the same in both arms

METERS = ("updates", "backwards", "images")  # of each, the idea may have no more than the baseline

VARIES = (
    *RECIPE,
    *(f"{name}_per_batch" for name in METERS),
)  # what an idea may say that it changes

_SPOKEN = {
    "updates_per_batch": "number of updates per batch",
    "backwards_per_batch": "number of backward passes per batch",
    "images_per_batch": "number of images per batch",
}


def implied(varies: tuple[str, ...]) -> set[str]:
    """What changes with what an idea names: a larger batch holds more images, smaller ones make more updates, and an optimizer
    around another steps twice. Backward passes over the whole training are compared all the same.
    """
    of_batch = {"updates_per_batch", "images_per_batch"} if "batch_size" in varies else set()
    return of_batch | ({"updates_per_batch"} if "optimizer" in varies else set())


def spoken(name: str) -> str:
    """One of VARIES in words, to be put after `the`."""
    return _SPOKEN.get(name, name.replace("_", " "))
