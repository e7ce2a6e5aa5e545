"""TODO: docstring."""

from __future__ import annotations

from dataclasses import dataclass

from agent.archive.paths import Archive
from agent.util.errors import Fault
from agent.util.files import read_json
from agent.util.text import bounded_line

NO_MODEL = "no model is at hand"  # the reason where there was nobody to ask
CHARACTERS = 500  # of a reading


@dataclass(frozen=True)
class Commentary:
    """The model's words, or why there are none."""

    text: str = ""
    model: str = ""  # that was asked
    refused: str = ""  # what was wrong with what it said
    absent: str = ""  # why it said nothing

    @property
    def note(self) -> str:
        """What is to be said where there is no text; '' where there was nobody to ask."""
        if self.refused:
            return f"the model's reading was refused: {self.refused}"
        return (
            f"no model's reading: {self.absent}" if self.absent and self.absent != NO_MODEL else ""
        )


def load_commentary(archive: Archive) -> Commentary:
    """Never raises: without a readable one there is none."""
    try:
        stored = read_json(archive.reading)
    except Fault:
        return Commentary()
    return Commentary(
        **{
            name: bounded_line(value, CHARACTERS)
            for name in Commentary.__dataclass_fields__
            if isinstance(value := stored.get(name), str)
        }
    )
