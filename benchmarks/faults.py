"""The faults that the tests must catch, as benchmarks/faults.yaml lists them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, kw_only=True)
class PlantedFault:
    """A text that is replaced in one file, and the tests that must notice."""

    what: str  # the promise that the fault breaks
    file: str
    old: str
    new: str
    tests: str  # a file below tests/, and options of pytest


def load_faults() -> list[PlantedFault]:
    """Read the list."""
    text = Path(__file__).with_name("faults.yaml").read_text(encoding="utf-8")
    return [PlantedFault(**entry) for entry in yaml.safe_load(text)]


FAULTS = load_faults()
