"""The baseline: a small convolutional network on {{ dataset.name }}, trained with PyTorch Lightning.

Data: {{ dataset.classes }} classes, images of {{ dataset.channels }} x {{ dataset.size }} x {{ dataset.size }},
{{ dataset.train_count }} to train on and {{ dataset.val_count }} to validate on.

Keep this baseline whole, add the idea beside it, and choose between the two with IDEA: with IDEA false the
program must compute exactly what it computes now. Seeds, epochs, device, data and the Trainer belong to
protocol.py, which nobody edits.
"""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from protocol import CHANNELS, CLASSES, EPOCHS, IDEA, SIZE, Batches, run, train_data, val_data  # noqa: F401

BATCH_SIZE = 64
LEARNING_RATE = 1e-3


class Model(pl.LightningModule):
    """Three convolutions, two linear layers. Input [batch, CHANNELS, SIZE, SIZE], output [batch, CLASSES] logits."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(128 * (SIZE // 8) ** 2, 256)
        self.fc2 = nn.Linear(256, CLASSES)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = self.pool(F.relu(self.conv3(x)))
        x = self.dropout(F.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        loss = F.cross_entropy(logits, labels)
        self.log_dict({"train_loss": loss, "train_acc": accuracy(logits, labels)}, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.log_dict({"val_loss": F.cross_entropy(logits, labels), "val_acc": accuracy(logits, labels)})

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE, fused=True)

    def train_dataloader(self):
        return Batches(train_data(), BATCH_SIZE, shuffle=True, augment=True)

    def val_dataloader(self):
        return Batches(val_data(), 512)


def accuracy(logits, labels):
    return (logits.argmax(1) == labels).float().mean()


if __name__ == "__main__":
    run(Model)
