"""The scaffold that ships: real training on small data, through the protocol alone."""

from __future__ import annotations

import ast
import csv
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from agent.archive.paths import Archive
from agent.archive.provenance import cores
from agent.archive.run import Budget
from agent.execution.local import execute
from agent.execution.request import Request
from agent.report.export.wandb import upload
from agent.task.contract import environment_variables
from agent.task.dataset import prepare
from agent.task.scaffold import DEFAULT_SCAFFOLD, Scaffold, Workspace
from agent.util.files import append_event
from agent.util.secrets import clean_environment
from tests.conftest import confined
from tests.endpoint import Answer

DEEPER = (
    "        self.fc2 = nn.Linear(256, CLASSES)\n",
    "        self.fc2 = nn.Linear(256, CLASSES)\n        self.extra = nn.Linear(512, 512)\n",
)


@pytest.fixture
def digits(tmp_path):
    return prepare("digits", Path())


@pytest.fixture
def run(tmp_path, digits, experiments_environment, warm_server):
    """Run main.py of a rendered scaffold after replacing text in it; returns its working folder."""
    count = 0

    def start(
        *changes: tuple[str, str],
        arm="control",
        stage="smoke",
        expect=0,
        seed=0,
        beside=None,
        **extra,
    ) -> Path:
        nonlocal count
        count += 1
        workspace = Workspace(tmp_path / f"work_{count}")
        workspace.create(Scaffold(DEFAULT_SCAFFOLD), digits.info)
        for name, data in (beside or {}).items():
            (workspace.folder / name).write_bytes(data)
        main = workspace.folder / "main.py"
        for old, new in changes:
            assert old in main.read_text()
            main.write_text(main.read_text().replace(old, new))
        variables = (
            environment_variables(digits, Budget(2, seed, 60, "cpu", 1), arm=arm, stage=stage)
            | extra
        )
        request = Request(
            experiments_environment.python,
            workspace.folder,
            workspace.folder / "said",
            workspace.folder / "errors",
            120,
            confined("none"),
            {"WANDB_MODE": "offline"} | variables,
            cores(),
            server=warm_server,
        )
        execution = execute(request)
        errors = request.stderr.read_text()
        assert execution.exit_code == expect, errors
        with request.stdout.open("a") as said:
            said.write(errors)
        return workspace.folder

    return start


def losses(folder: Path) -> list[float]:
    return json.loads((folder / "trace.json").read_text())["losses"]


def test_unrendered_it_is_valid_python_and_a_jinja_template():
    source = (DEFAULT_SCAFFOLD / "main.py").read_text()
    ast.parse(source)
    assert "{{ dataset.name }}" in source


def test_a_training_leaves_metrics_a_checkpoint_and_wandb_files(run, digits):
    folder = run(stage="train")
    info = json.loads((folder / "final_info.json").read_text())
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert (
        info["val_accuracy"] > 0.3
        and info["samples"] == 2 * digits.info["train_count"]
        and info["epochs"] == 2
    )
    assert len(rows) == 3 and {
        "epoch",
        "train_loss",
        "train_acc",
        "val_loss",
        "val_acc",
        "lr",
        "images_per_second",
    } <= set(rows[0].split(","))
    assert float(rows[-1].split(",")[rows[0].split(",").index("val_acc")]) == pytest.approx(
        info["val_accuracy"], abs=1e-6
    )
    assert (
        list(folder.glob("wandb/offline-run-*/run-*.wandb"))
        and (folder / "model.pt").stat().st_size > 1000
    )
    assert info["parameters"] == 128_266


def test_the_predict_stage_scores_images_without_labels(run, digits):
    hidden = {kind: np.load(digits.hidden / f"test_{kind}.npy") for kind in ("images", "labels")}
    trained = run(stage="train")
    folder = run(
        stage="predict",
        beside={
            "model.pt": (trained / "model.pt").read_bytes(),
            "predict_images.npy": _npy(hidden["images"]),
        },
    )
    scores = np.load(folder / "predictions.npy", allow_pickle=False)
    assert scores.shape == (len(hidden["images"]), 10)
    accuracy = json.loads((trained / "final_info.json").read_text())["val_accuracy"]
    assert abs((scores.argmax(1) == hidden["labels"]).mean() - accuracy) < 0.1


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_a_wandb_upload_that_is_refused_is_one_line_without_the_key(
    run, endpoint, monkeypatch, experiments_environment
):
    key = "0123456789" * 4
    folder = run(stage="train", WANDB_MODE="offline")
    archive = Archive(folder.parent)
    (folder.parent / "run_1").mkdir()
    folder.rename(archive.run(1).work)
    append_event(archive.events, "attempt", folder="run_1")
    assert upload(archive, experiments_environment.python) == [], "without a key nothing is tried"
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", endpoint.url.removesuffix("/v1"))
    endpoint.script = [Answer(status=401)] * 20
    (problem,) = upload(archive, experiments_environment.python)
    assert "was not uploaded" in problem and key not in problem and "\n" not in problem
    assert endpoint.requests, "the server was asked"


def test_the_same_seed_gives_the_same_losses_and_another_seed_gives_others(run):
    first = run()
    same = run()
    other = run(seed=1)
    assert losses(first) == losses(same) != losses(other)


def train_losses(work: Path) -> list[str]:
    return [row["train_loss"] for row in csv.DictReader((work / "metrics.csv").open())]


def test_parameters_that_are_never_used_change_neither_the_order_nor_the_masks(run):
    """In a whole training: in the smoke stage dropout has seeds of its own."""
    plain, deeper = (train_losses(run(*changes, stage="train")) for changes in ((), (DEEPER,)))
    assert plain == deeper and len(plain) == 2


def test_the_arm_reaches_main_and_changes_what_it_switches(run):
    switched = (
        "x = self.pool(F.relu(self.conv2(x)))",
        "x = self.pool((F.gelu if IDEA else F.relu)(self.conv2(x)))",
    )
    plain = losses(run())
    assert losses(run(switched, arm="control")) == plain != losses(run(switched, arm="idea"))


def test_an_order_of_samples_keeps_the_budget_whatever_its_length(run, digits):
    ordered = (
        "BATCH_SIZE, shuffle=True, augment=True)",
        "BATCH_SIZE, augment=True, order=lambda epoch: list(range(10 + 5000 * epoch)))",
    )
    capped = ("range(10 + 5000 * epoch)", "range(10 + 500 * epoch)")
    info = json.loads((run(ordered, capped, stage="train") / "final_info.json").read_text())
    assert info["samples"] == 2 * digits.info["train_count"]


def test_a_pytorch_dataloader_works_in_place_of_the_fast_loader(run):
    own = (
        "return Batches(train_data(), BATCH_SIZE, shuffle=True, augment=True)",
        "return torch.utils.data.DataLoader(train_data(), BATCH_SIZE, shuffle=True)",
    )
    assert len(losses(run(own))) == 6


def test_scores_of_a_wrong_shape_end_in_an_error_that_says_so(run):
    wrong = ("return self.fc2(x)", "return self.fc2(x) if self.training else self.fc2(x)[:, :9]")
    folder = run(
        wrong, ('F.cross_entropy(logits, labels), "val_acc"', 'logits.mean(), "val_acc"'), expect=1
    )
    assert "the model gives scores of shape (8, 9), not (8, 10)" in (folder / "said").read_text()


def test_without_data_it_says_how_to_start_it(tmp_path, digits, experiments_environment):
    """As by somebody who types `python main.py` in a folder of code, without any server."""
    workspace = Workspace(tmp_path / "work")
    workspace.create(Scaffold(DEFAULT_SCAFFOLD), digits.info)
    done = subprocess.run(
        [experiments_environment.python, "main.py"],
        cwd=workspace.folder,
        capture_output=True,
        text=True,
        env=clean_environment(HOME=str(tmp_path), WANDB_MODE="offline")
        | environment_variables(digits, Budget(2, 0, 60, "cpu", 1), arm="control", stage="smoke")
        | {"ASSAY_ARRAYS": "/nowhere"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "start this program through launch.py" in done.stdout + done.stderr
