"""The baseline: a small convolutional network on digits, trained with PyTorch Lightning.

Data: 10 classes, images of 1 x 8 x 8,
1079 to train on and 359 to validate on.

Keep this baseline whole, add the idea beside it, and choose between the two with IDEA: with IDEA false the
program must compute exactly what it computes now. Seeds, epochs, device, data and the Trainer belong to
protocol.py, which nobody edits.
"""

import math

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from protocol import CHANNELS, CLASSES, EPOCHS, IDEA, SIZE, Batches, run, train_data, val_data  # noqa: F401

BATCH_SIZE = 64
LEARNING_RATE = 1e-3

BLOCKS = 4  # gated residual blocks between conv2 and conv3
BLOCK_WIDTH = 32  # channels inside a block
GATE_WIDTH = 16  # hidden units of a gate
START_SHARE = 0.7  # probability that a gate is open before it has learned anything
TEMPERATURE = 1.0  # of the relaxed gate in training
SHARE_PRICE = 0.02  # what the loss pays for executing every block for every image


class DepthGate(nn.Module):
    """Whether each image takes the block behind this gate, from its features [b, channels, h, w], which it does not shape."""

    def __init__(self, channels):
        super().__init__()
        self.hidden = nn.Linear(channels, GATE_WIDTH)
        self.score = nn.Linear(GATE_WIDTH, 1)
        nn.init.constant_(self.score.bias, math.log(START_SHARE / (1 - START_SHARE)))

    def forward(self, x):
        """The decision, 0 or 1, and the probability that the noisy gate opens; both [b]."""
        score = self.score(F.relu(self.hidden(x.detach().mean((2, 3))))).squeeze(1)
        probability = torch.sigmoid(score)
        if not self.training:
            return (score > 0).float(), probability
        noise = torch.logit(torch.rand_like(score), eps=1e-6)
        soft = torch.sigmoid((score + noise) / TEMPERATURE)
        hard = (soft > 0.5).float()
        return hard + soft - soft.detach(), probability  # the value of hard, the gradient of soft


class GatedBlock(nn.Module):
    """x + gate * branch(x), with a gate of its own for every image."""

    def __init__(self, channels):
        super().__init__()
        self.gate = DepthGate(channels)
        self.branch = nn.Sequential(
            nn.Conv2d(channels, BLOCK_WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(BLOCK_WIDTH, channels, 3, padding=1),
        )

    def forward(self, x):
        """The new features, the decisions and their probabilities."""
        gate, probability = self.gate(x)
        if self.training:
            return x + gate * self.branch(x), gate, probability
        taken = gate.bool()
        deeper = x.clone()
        if taken.any():
            deeper[taken] += self.branch(x[taken])
        return deeper, gate, probability


class GatedStack(nn.Module):
    """The gated blocks in a row; remembers what the gates did with the last batch."""

    def __init__(self, channels):
        super().__init__()
        self.blocks = nn.ModuleList(GatedBlock(channels) for _ in range(BLOCKS))
        self.executed = self.probability = None  # [b, BLOCKS]

    def forward(self, x):
        gates, probabilities = [], []
        for block in self.blocks:
            x, gate, probability = block(x)
            gates.append(gate.detach())
            probabilities.append(probability)
        self.executed, self.probability = torch.stack(gates, 1), torch.stack(probabilities, 1)
        return x


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
        if IDEA:
            self.depth = GatedStack(64)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        if IDEA:
            x = self.depth(x)
        x = self.pool(F.relu(self.conv3(x)))
        x = self.dropout(F.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        loss = F.cross_entropy(logits, labels)
        self.log_dict({"train_loss": loss, "train_acc": accuracy(logits, labels)}, on_step=False, on_epoch=True)
        if IDEA:
            self.log("train_depth_share", self.depth.executed.mean(), on_step=False, on_epoch=True)
            loss = loss + SHARE_PRICE * self.depth.probability.mean()
        return loss

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images)
        self.log_dict({"val_loss": F.cross_entropy(logits, labels), "val_acc": accuracy(logits, labels)})
        if IDEA:
            self.log("depth_share", self.depth.executed.mean())

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
