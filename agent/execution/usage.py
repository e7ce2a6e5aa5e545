"""The amounts of the machine's memory, processes and disk that a program took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """The most that a program and all that it started used at one time, as far as it was seen."""

    memory: int = 0  # bytes
    processes: int = 0
    disk: int = 0  # bytes in its folder
