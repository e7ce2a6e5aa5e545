"""The protocol, which makes runs comparable: data, budget, seeds, logging, prediction.

Nobody edits this file. The harness decides through the environment, so that `python main.py` needs
no argument:

    ASSAY_ARRAYS   folder with {train,val}_{images,labels}.npy and info.json      (default ./data)
    ASSAY_ARM      idea or control: what IDEA says                                (default idea)
    ASSAY_STAGE    train, smoke (a few steps of each epoch, no loggers), predict  (default train)
    ASSAY_SEED, ASSAY_EPOCHS, ASSAY_DEVICE (auto, cpu, cuda, ...), ASSAY_THREADS

Written into the working folder:

    by train      metrics.csv (a row an epoch), progress.json, model.pt, wandb/, final_info.json
    by smoke      trace.json (see probe.py)
    by predict    predictions.npy: float32 scores [n, CLASSES] for the images in predict_images.npy

Everything here runs in one process with main.py: its numbers are evidence, not proof.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

import probe
from loading import (
    CHANNELS,
    CLASSES,
    SEED,
    SIZE,
    Batches,
    Images,
    device,
    normalise,
    train_data,
    val_data,
)

__all__ = [
    "CHANNELS",
    "CLASSES",
    "EPOCHS",
    "IDEA",
    "SEED",
    "SIZE",
    "Batches",
    "Images",
    "normalise",
    "run",
    "train_data",
    "val_data",
]

IDEA = os.environ.get("ASSAY_ARM", "idea") == "idea"
EPOCHS = int(os.environ.get("ASSAY_EPOCHS", "3"))
_STAGE = os.environ.get("ASSAY_STAGE", "train")

# The metrics that main.py logs as it ships; any other is the coder's own.
EXPECTED = ("train_loss", "train_acc", "val_loss", "val_acc")
SMOKE_EPOCHS = 3  # at most
SMOKE_STEPS = 3  # in each epoch


def run(model_class: type[pl.LightningModule]) -> None:
    """Do what the stage asks with a model_class(), and leave the results in the working folder.

    The stage train trains it for EPOCHS and scores it on the validation split.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch.utils")
    if threads := int(os.environ.get("ASSAY_THREADS", "0")):
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")
    pl.seed_everything(SEED, workers=True, verbose=False)
    model = model_class()
    # A model that drew more random numbers for its first weights must not get other dropout masks.
    pl.seed_everything(SEED + 1, workers=True, verbose=False)
    model = model.to(device())
    probe.meters.watch(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and not any(map(is_lazy, module.parameters())):
            # Faster. Other parameters keep the layout that main.py gave them.
            module.to(memory_format=torch.channels_last)
    if _STAGE == "predict":
        _predict(model)
    elif _STAGE == "smoke":
        _smoke(model)
    else:
        _train(model)


def predict(model: torch.nn.Module, images: torch.Tensor, batch_size: int = 512) -> torch.Tensor:
    """Return the model's scores [n, CLASSES] for stored images [n, SIZE, SIZE, CHANNELS].

    It gets no labels and computes no gradients. Every batch is whole: a smaller one may be computed
    by another kernel, and round differently. Raises ValueError for scores of another shape.
    """
    model.eval()
    padded = torch.arange(-(-len(images) // batch_size) * batch_size) % len(images)
    batches = []
    with torch.no_grad():
        for indices in padded.split(batch_size):
            batch = normalise(images[indices].to(device()))
            batches.append(model(batch).float())
    scores = torch.cat(batches)[: len(images)]
    expected = (len(images), CLASSES)
    if scores.shape != expected:
        raise ValueError(f"the model gives scores of shape {tuple(scores.shape)}, not {expected}")
    return scores


class Record(pl.Callback):
    """The record of a training: its steps, samples, training time, losses and logged metrics.

    It writes metrics.csv after every epoch, and progress.json in between.
    """

    def __init__(self):
        self.rows: list[dict] = []
        self.own: dict[str, float] = {}  # what main.py logs beyond EXPECTED, as it was last
        self.losses: list[float] = []  # of every step of the smoke stage
        self.recipes: list[dict] = []  # of every step of the smoke stage
        self.recipe = probe.Recipe()
        self.pace = probe.Pace()
        self._progress_time = 0.0  # when progress.json was written

    def on_train_epoch_start(self, trainer, module):
        """Begin to count the samples and the seconds of an epoch."""
        self.pace.start_epoch()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        """Count a step, and keep its recipe; in smoke also its loss."""
        self.pace.end_step(batch)
        step = probe.recipe(trainer, batch)
        self.recipe.add(step)
        if _STAGE == "smoke":
            if not isinstance(outputs, dict) or "loss" not in outputs:
                raise ValueError(
                    "training_step returned no loss: return it, with manual optimisation too"
                )
            self.losses.append(float(outputs["loss"]))
            self.recipes.append(step)
        elif time.monotonic() - self._progress_time > 0.5:
            self._progress_time = time.monotonic()
            share = (batch_idx + 1) / max(1, trainer.num_training_batches)
            _write_json("progress.json", {"done": (trainer.current_epoch + share) / EPOCHS})

    def on_train_epoch_end(self, trainer, module):
        """Add the epoch to the totals and to metrics.csv."""
        self.pace.end_epoch()
        logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
        own_names = [name for name in logged if name not in EXPECTED]
        self.own = {f"logged/{name}": logged[name] for name in own_names}
        optimizers = trainer.optimizers
        row = {
            "epoch": trainer.current_epoch + 1,
            **logged,
            "lr": optimizers[0].param_groups[0]["lr"] if optimizers else "",
            "images_per_second": probe.rate(self.pace.epoch_samples, self.pace.epoch_seconds),
            "seconds": round(self.pace.epoch_seconds, 3),
            "steps": self.pace.steps,
            "samples": self.pace.samples,
        }
        self.rows.append(row)
        if _STAGE == "train":
            _write_csv("metrics.csv", self.rows)
            shown = ("lr", "images_per_second", "samples")
            for logger in trainer.loggers:
                logger.log_metrics({f"protocol/{name}": row[name] for name in shown})

    def totals(self) -> dict:
        """Return what final_info.json says of the training."""
        last = self.rows[-1] if self.rows else {}
        totals = {
            "train_loss": last.get("train_loss"),
            "train_accuracy": last.get("train_acc"),
            "epochs": len(self.rows),
            "steps": self.pace.steps,
            "samples": self.pace.samples,
            **probe.meters.totals(),
            "train_seconds": round(self.pace.seconds, 3),
            "images_per_second": probe.rate(self.pace.samples, self.pace.seconds),
            "peak_memory_mb": probe.peak_memory_mb(device()),
            "device": str(device()),
        }
        recipe = {f"recipe/{name}": text for name, text in self.recipe.summary().items()}
        return totals | recipe | self.own


def _trainer(record: Record) -> pl.Trainer:
    smoke = _STAGE == "smoke"
    return pl.Trainer(
        max_epochs=min(EPOCHS, SMOKE_EPOCHS) if smoke else EPOCHS,
        limit_train_batches=SMOKE_STEPS if smoke else None,
        limit_val_batches=1 if smoke else None,
        accelerator=device().type,
        devices=1,
        deterministic=device().type == "cpu",
        logger=False if smoke else _wandb_logger(),
        callbacks=[record],
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _wandb_logger():
    """Return W&B's logger, or False where there is none.

    It is offline: a key never reaches this process. Its files stay in ./wandb, from where they can
    be synced.
    """
    if os.environ.get("WANDB_MODE") == "disabled":
        return False
    try:
        from pytorch_lightning.loggers import WandbLogger
    except ImportError:
        return False
    return WandbLogger(
        save_dir=".",
        offline=True,
        project=os.environ.get("WANDB_PROJECT"),
        name=os.environ.get("WANDB_NAME"),
        group=os.environ.get("WANDB_RUN_GROUP"),
    )


def _train(model) -> None:
    parameters = probe.count_parameters(model)
    record = Record()
    _trainer(record).fit(model)
    model.to(device())
    torch.save(model.state_dict(), "model.pt")
    data = val_data()
    scores = predict(model, data.images)
    info = {
        "val_accuracy": (scores.argmax(1) == data.labels).float().mean().item(),
        "val_loss": F.cross_entropy(scores, data.labels).item(),
        **record.totals(),
        "parameters": max(parameters, probe.count_parameters(model)),
    }
    _write_json("final_info.json", info)


def _smoke(model) -> None:
    record = Record()
    with probe.Operators() as operators:
        _trainer(record).fit(model)
        scores = predict(model.to(device()), val_data().images[:8], batch_size=8)
    trace = {
        "losses": record.losses,
        "scores": scores.flatten().tolist(),
        "recipes": record.recipes,
        "parameters": probe.count_parameters(model),
        "operators": operators.counts,
        "lines": sorted(probe.lines),
        "order": probe.order,
        "samples": record.pace.samples,
        "device": str(device()),
    }
    _write_json("trace.json", trace)


def _predict(model) -> None:
    model.load_state_dict(torch.load("model.pt", map_location=device(), weights_only=True))
    images = torch.from_numpy(np.load("predict_images.npy"))
    scores = predict(model, images).cpu().numpy()
    if probe.meters.updates or probe.meters.backwards:
        raise RuntimeError("main.py trains while it predicts: train in the training steps only")
    np.save("predictions.npy", scores)


def _write_json(name: str, value: dict) -> None:
    aside = Path(f"{name}.part")
    aside.write_text(json.dumps(value))
    aside.replace(name)


def _write_csv(name: str, rows: list[dict]) -> None:
    columns = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    aside = Path(f"{name}.part")
    with aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)
    aside.replace(name)
