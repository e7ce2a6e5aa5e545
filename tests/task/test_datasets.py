"""Data: splits, duplicates, subsets, a user's npz, damaged and missing
sets, and the real CIFAR-100 where it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.task.dataset import Dataset, check_name, prepare
from agent.util.errors import Fault, UserError

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def load(dataset: Dataset) -> dict[str, np.ndarray]:
    return {
        path.stem: np.load(path)
        for folder in (dataset.arrays, dataset.hidden)
        for path in folder.glob("*.npy")
    }


def images(count: int, size: int = 6, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(
        0, 256, (count, size, size, channels), dtype=np.uint8
    )


def test_digits_are_split_in_three_without_overlap_and_the_test_is_not_beside_the_rest():
    dataset = prepare("digits", Path("no-python-is-needed"))
    arrays = load(dataset)
    info = dataset.info
    assert {path.name for path in dataset.arrays.iterdir()} == {
        "train_images.npy",
        "train_labels.npy",
        "val_images.npy",
        "val_labels.npy",
        "info.json",
    }
    assert (
        info["train_count"] + info["val_count"] + info["test_count"] + info["duplicates_dropped"]
        == 1797
    )
    seen = [
        {image.tobytes() for image in arrays[f"{part}_images"]} for part in ("train", "val", "test")
    ]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert arrays["train_images"].dtype == np.uint8 and arrays["train_images"].max() == 255
    assert set(arrays["val_labels"]) == set(range(10))
    assert abs(arrays["train_images"].mean() / 255 - info["mean"][0]) < 1e-9


def test_the_same_name_gives_the_same_arrays_and_another_size_a_subset_of_them():
    whole = prepare("digits", Path())
    again = prepare("digits", Path())
    part = prepare("digits", Path(), train_size=100)
    assert whole.folder == again.folder != part.folder
    assert np.array_equal(load(whole)["train_images"][:100], load(part)["train_images"])
    assert np.array_equal(load(whole)["val_images"], load(part)["val_images"])
    assert whole.info["split"] != part.info["split"]


def test_planted_duplicates_across_splits_are_dropped_and_counted(tmp_path):
    train = images(200)
    test = images(50, seed=1)
    train[:5] = test[:5]
    labels = np.arange(200) % 4
    np.savez(tmp_path / "mine.npz", x_train=train, y_train=labels, x_test=test, y_test=labels[:50])
    dataset = prepare(str(tmp_path / "mine.npz"), Path())
    assert dataset.info["duplicates_dropped"] == 5 and dataset.info["test_count"] == 50


def test_a_users_npz_may_have_any_whole_labels_and_float_images(tmp_path):
    np.savez(
        tmp_path / "mine.npz",
        images=images(100, channels=1)[..., 0] / 255.0,
        labels=np.array([7, -3] * 50),
    )
    dataset = prepare(str(tmp_path / "mine.npz"), Path())
    assert dataset.info["classes"] == 2 and dataset.info["channels"] == 1
    assert load(dataset)["train_images"].dtype == np.float32 and set(
        load(dataset)["train_labels"]
    ) == {0, 1}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": images(40)}, "holds images"),
        ({"images": images(40), "labels": np.zeros(39, int)}, "as many"),
        ({"images": images(40)[:, :5], "labels": np.zeros(40, int)}, "expected \\[n, size, size"),
        ({"images": images(40), "labels": np.zeros(40)}, "whole-number"),
        (
            {"images": np.full((40, 6, 6, 1), np.nan), "labels": np.zeros(40, int)},
            "not all in 0..1",
        ),
        ({"images": images(40), "labels": np.array([None] * 40)}, "readable|damaged"),
    ],
)
def test_an_npz_that_is_no_image_set_is_a_fault_that_says_why(tmp_path, arrays, message):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(Fault, match=message) as caught:
        prepare(str(tmp_path / "mine.npz"), Path())
    assert caught.value.kind == "data"


def test_a_damaged_npz_is_a_fault_and_a_name_that_cannot_be_is_the_users_mistake(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(Fault, match=r"damaged|readable"):
        prepare(str(tmp_path / "mine.npz"), Path())
    for name, message in (
        ("imagenet", "use one of cifar10"),
        (str(tmp_path / "absent.npz"), "no such file"),
    ):
        with pytest.raises(UserError, match=message):
            check_name(name)
    with pytest.raises(UserError, match="has 1079 training images"):
        prepare("digits", Path(), train_size=5000)


def test_a_missing_or_damaged_set_names_the_way_to_get_it_and_the_one_that_works_now(
    tmp_path, experiments_environment
):
    broken = tmp_path / "data" / "cifar-100-python"
    broken.mkdir(parents=True)
    (broken / "train").write_bytes(b"not CIFAR")
    with pytest.raises(Fault) as caught:
        prepare("cifar100", experiments_environment.python, tmp_path / "data")
    assert "--data-dir" in str(caught.value) and "--dataset digits" in str(caught.value)


@pytest.mark.skipif(
    not (SHARED / "cifar-100-python").is_dir(), reason="the real CIFAR-100 and MNIST are not here"
)
@pytest.mark.parametrize(
    ("name", "counts", "size"), [("cifar100", 60_000, 32), ("mnist", 70_000, 28)]
)
def test_the_real_sets_are_read_from_a_read_only_folder(
    name, counts, size, experiments_environment
):
    dataset = prepare(name, experiments_environment.python, SHARED)
    info = dataset.info
    assert (
        info["train_count"] + info["val_count"] + info["test_count"] + info["duplicates_dropped"]
        == counts
    )
    assert (info["test_count"], info["size"], info["classes"]) == (
        10_000,
        size,
        100 if name == "cifar100" else 10,
    )
    assert not (dataset.folder / "raw.npz").exists()
