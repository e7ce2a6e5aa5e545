"""What makes runs comparable: data, budget, seeds, logging, prediction. Nobody edits this file.

The harness decides through the environment, so that `python main.py` needs no argument:

    ASSAY_ARRAYS   folder with {train,val}_{images,labels}.npy and info.json        (default ./data)
    ASSAY_ARM      idea or control: what IDEA says                                  (default idea)
    ASSAY_STAGE    train, smoke (a few steps of each epoch, no loggers), predict    (default train)
    ASSAY_SEED, ASSAY_EPOCHS, ASSAY_DEVICE (auto, cpu, cuda, ...), ASSAY_THREADS

Written into the working folder: final_info.json (last), metrics.csv (a row an epoch), model.pt, progress.json, wandb/;
by smoke: trace.json (see probe.py); by predict: predictions.npy, float32 scores [n, CLASSES] for the images in predict_images.npy.

Everything measured in here runs in one process with main.py, so a number from here is evidence, not proof.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import resource
import sys
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

EXPECTED = (
    "train_loss",
    "train_acc",
    "val_loss",
    "val_acc",
)  # what main.py logs; the rest is the coder's own
SMOKE_EPOCHS, SMOKE_STEPS = 3, 3  # epochs at most, steps in each


def run(model_class: type[pl.LightningModule]) -> None:
    """Train model_class() for EPOCHS, score it on the validation split, leave the results in the working folder."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch.utils")
    if threads := int(os.environ.get("ASSAY_THREADS", "0")):
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")
    pl.seed_everything(SEED, workers=True, verbose=False)
    model = model_class()
    # A model that drew more random numbers to initialise itself must not get other dropout masks for it.
    pl.seed_everything(SEED + 1, workers=True, verbose=False)
    model = model.to(device())
    built = _parameters(model)
    probe.meters.watch(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and not any(
            map(is_lazy, module.parameters())
        ):  # faster; other parameters keep the layout that main.py gave them
            module.to(memory_format=torch.channels_last)
    if _STAGE == "predict":
        return _predict(model)
    record = Record()
    if _STAGE == "smoke":
        return _smoke(model, record)
    _trainer(record).fit(model)
    model.to(device())
    torch.save(model.state_dict(), "model.pt")
    _write_json(
        "final_info.json",
        {**_validate(model), **record.totals(), "parameters": max(built, _parameters(model))},
    )


def predict(model: torch.nn.Module, images: torch.Tensor, batch_size: int = 512) -> torch.Tensor:
    """Scores [n, CLASSES] of model for stored images [n, SIZE, SIZE, CHANNELS], without labels, without gradients.

    Every batch is whole: a smaller one may be computed by another kernel, and round differently.
    """
    model.eval()
    padded = torch.arange(-(-len(images) // batch_size) * batch_size) % len(images)
    with torch.no_grad():
        scores = torch.cat(
            [
                model(normalise(images[part].to(device()))).float()
                for part in padded.split(batch_size)
            ]
        )[: len(images)]
    if scores.shape != (len(images), CLASSES):
        raise ValueError(
            f"the model gives scores of shape {tuple(scores.shape)}, not {(len(images), CLASSES)}"
        )
    return scores


class Record(pl.Callback):
    """Counts steps and samples, times the training part of each epoch, writes metrics.csv and progress.json."""

    def __init__(self):
        self.rows: list[dict] = []
        self.own: dict[str, float] = {}
        self.losses: list[float] = []
        self.recipes: list[dict] = []  # of every step of the smoke stage
        self.recipe: dict[
            str, dict[str, None]
        ] = {}  # of the whole training: the values that each part took, in order
        self.steps = self.samples = self.epoch_samples = 0
        self.seconds = self.epoch_seconds = self._since = self._told = 0.0

    def on_train_epoch_start(self, trainer, module):
        self.epoch_samples, self.epoch_seconds, self._since = 0, 0.0, time.monotonic()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.steps += 1
        self.epoch_samples += probe.rows(batch)
        self.epoch_seconds = time.monotonic() - self._since
        step = probe.recipe(trainer, batch)
        for name, value in step.items():
            self.recipe.setdefault(name, {})[str(value)] = None
        if _STAGE == "smoke":
            if not isinstance(outputs, dict) or "loss" not in outputs:
                raise ValueError(
                    "training_step returned no loss: return it, with manual optimisation too"
                )
            self.losses.append(float(outputs["loss"]))
            self.recipes.append(step)
        elif time.monotonic() - self._told > 0.5:
            self._told = time.monotonic()
            done = trainer.current_epoch + (batch_idx + 1) / max(1, trainer.num_training_batches)
            _write_json("progress.json", {"done": done / EPOCHS})

    def on_train_epoch_end(self, trainer, module):
        self.samples += self.epoch_samples
        self.seconds += self.epoch_seconds
        logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
        self.own = {
            f"logged/{name}": value for name, value in logged.items() if name not in EXPECTED
        }
        optimizers = trainer.optimizers
        row = {
            "epoch": trainer.current_epoch + 1,
            **logged,
            "lr": optimizers[0].param_groups[0]["lr"] if optimizers else "",
            "images_per_second": round(self.epoch_samples / max(self.epoch_seconds, 1e-9), 1),
            "seconds": round(self.epoch_seconds, 3),
            "steps": self.steps,
            "samples": self.samples,
        }
        self.rows.append(row)
        if _STAGE == "train":
            _write_csv("metrics.csv", self.rows)
            for logger in trainer.loggers:
                logger.log_metrics(
                    {
                        f"protocol/{name}": row[name]
                        for name in ("lr", "images_per_second", "samples")
                    }
                )

    def totals(self) -> dict:
        last = self.rows[-1] if self.rows else {}
        # An epoch's last batch may be smaller, or left out: the largest is what was asked for.
        recipe = self.recipe | {"batch_size": [max(self.recipe.get("batch_size", ["0"]), key=int)]}
        return (
            {
                "train_loss": last.get("train_loss"),
                "train_accuracy": last.get("train_acc"),
                "epochs": len(self.rows),
                "steps": self.steps,
                "samples": self.samples,
                **{name: getattr(probe.meters, name) for name in probe.METERS},
                "train_seconds": round(self.seconds, 3),
                "images_per_second": round(self.samples / max(self.seconds, 1e-9), 1),
                "peak_memory_mb": _peak_memory_mb(),
                "device": str(device()),
            }
            | {f"recipe/{name}": _bounded([*values]) for name, values in recipe.items()}
            | self.own
        )


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
    """W&B, offline: a key never reaches this process. Its files stay in ./wandb, from where they can be synced."""
    if os.environ.get("WANDB_MODE") == "disabled":
        return False
    try:
        from pytorch_lightning.loggers import WandbLogger
    except ImportError:
        return False
    names = {"project": "WANDB_PROJECT", "name": "WANDB_NAME", "group": "WANDB_RUN_GROUP"}
    return WandbLogger(
        save_dir=".", offline=True, **{key: os.environ.get(name) for key, name in names.items()}
    )


def _validate(model) -> dict:
    data = val_data()
    scores = predict(model, data.images)
    return {
        "val_accuracy": (scores.argmax(1) == data.labels).float().mean().item(),
        "val_loss": F.cross_entropy(scores, data.labels).item(),
    }


def _smoke(model, record: Record) -> None:
    with probe.Operators() as operators:
        _trainer(record).fit(model)
        scores = predict(model.to(device()), val_data().images[:8], batch_size=8)
    _write_json(
        "trace.json",
        {
            "losses": record.losses,
            "scores": scores.flatten().tolist(),
            "recipes": record.recipes,
            "parameters": _parameters(model),
            "operators": operators.counts,
            "lines": sorted(probe.lines),
            "order": probe.order,
            "samples": record.samples,
            "device": str(device()),
        },
    )


def _predict(model) -> None:
    model.load_state_dict(torch.load("model.pt", map_location=device(), weights_only=True))
    images = torch.from_numpy(np.load("predict_images.npy"))
    scores = predict(model, images).cpu().numpy()
    if probe.meters.updates or probe.meters.backwards:
        raise RuntimeError("main.py trains while it predicts: train in the training steps only")
    np.save("predictions.npy", scores)


def _bounded(values: list[str]) -> str:
    """The values as one short text; a schedule's many by number, first and last."""
    return (
        ", ".join(values)
        if len(values) <= 3
        else f"{len(values)} values, {values[0]} to {values[-1]}"
    )


def _peak_memory_mb() -> float:
    if device().type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = (
        2**20 if sys.platform == "darwin" else 2**10
    )  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _parameters(model) -> int:
    """All of them: one that is frozen in the end was learned before, or takes part."""
    return sum(parameter.numel() for parameter in model.parameters() if not is_lazy(parameter))


def _write_json(name: str, value: dict) -> None:
    aside = Path(f"{name}.part")
    aside.write_text(json.dumps(value))
    aside.replace(name)


def _write_csv(name: str, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    aside = Path(f"{name}.part")
    with aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    aside.replace(name)
