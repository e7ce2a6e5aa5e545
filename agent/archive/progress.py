"""A running program tells in progress.json how much of its work is done."""

from __future__ import annotations

import json
from pathlib import Path

from agent.util.files import read_untrusted
from agent.util.text import finite


def share_done(path: Path) -> float:
    """Return how much of a run is done, 0 to 1, as its program says."""
    try:
        done = finite(json.loads(read_untrusted(path, 4096) or b"{}")["done"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0.0
    return min(1.0, max(0.0, done or 0.0))
