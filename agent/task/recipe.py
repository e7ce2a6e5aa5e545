"""The training recipe has parts that an idea may change only if it names them."""

from __future__ import annotations

# These say how a training step works: the same in both arms. What an idea changes of it on purpose
# it has to name, else the gate sends it back.
RECIPE = (
    "optimizer",
    "learning_rate",
    "weight_decay",
    "momentum",
    "batch_size",
)

METERS = ("updates", "backwards", "images")  # of each, the idea may have no more than the baseline

# An idea may say that it changes these.
VARIES = (
    *RECIPE,
    *(f"{name}_per_batch" for name in METERS),
)

_SPOKEN = {
    "updates_per_batch": "number of updates per batch",
    "backwards_per_batch": "number of backward passes per batch",
    "images_per_batch": "number of images per batch",
}


def implied(varies: tuple[str, ...]) -> set[str]:
    """Return what changes with what an idea names.

    A larger batch holds more images, smaller ones make more updates, and an optimizer around
    another steps twice. Backward passes over the whole training are compared all the same.
    """
    names = set[str]()
    if "batch_size" in varies:
        names |= {"updates_per_batch", "images_per_batch"}
    if "optimizer" in varies:
        names.add("updates_per_batch")
    return names


def spoken(name: str) -> str:
    """Return a name from VARIES in words, to be put after `the`."""
    return _SPOKEN.get(name, name.replace("_", " "))
