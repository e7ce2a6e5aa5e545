"""This record is reading.json: a model's words on a verdict, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass

from agent.archive.paths import Archive
from agent.util.errors import Fault
from agent.util.files import read_json
from agent.util.text import bounded_line

NO_MODEL = "no model is at hand"  # the reason where there was nobody to ask
CHARACTERS = 500  # of a commentary


@dataclass(frozen=True)
class Commentary:
    """A model's words on a verdict, or why there are none."""

    text: str = ""
    model: str = ""  # the model that was asked
    refused: str = ""  # why its reply was not taken
    absent: str = ""  # why there was no reply

    @property
    def note(self) -> str:
        """The sentence that stands where there is no text; '' where there was nobody to ask."""
        if self.refused:
            return f"the model's reading was refused: {self.refused}"
        if self.absent and self.absent != NO_MODEL:
            return f"no model's reading: {self.absent}"
        return ""


def load_commentary(archive: Archive) -> Commentary:
    """Return the stored commentary, an empty one where none can be read."""
    try:
        stored = read_json(archive.reading)
    except Fault:
        return Commentary()
    fields = {}
    for name in Commentary.__dataclass_fields__:
        value = stored.get(name)
        if isinstance(value, str):
            fields[name] = bounded_line(value, CHARACTERS)
    return Commentary(**fields)
