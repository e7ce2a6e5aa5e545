"""This module says where downloads, data sets and environments are kept between experiments."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $ASSAY_CACHE, else the folder assay under the user's cache folder."""
    if folder := os.environ.get("ASSAY_CACHE"):
        return Path(folder).expanduser().resolve()
    parent = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    return Path(parent).expanduser() / "assay"
