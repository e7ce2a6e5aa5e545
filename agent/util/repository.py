"""This module says where Assay itself lies: its templates, its scaffold, its commit."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
