"""The editable copy of the scaffold: made once, edited by the coder, copied for every run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from agent.task.contract import MAIN, PROTOCOL, REQUIREMENTS
from agent.util.errors import UserError
from agent.util.files import NOT_CODE, copy_files, write_bytes, write_text

DEFAULT_SCAFFOLD = Path(__file__).resolve().parents[2] / "scaffold"


@dataclass(frozen=True)
class Scaffold:
    """A folder with a main.py. One without protocol.py is open: its numbers are its own."""

    folder: Path

    @property
    def open(self) -> bool:
        return not (self.folder / PROTOCOL).is_file()

    @property
    def requirements(self) -> Path:
        """Its own requirements.txt, else those of the scaffold that comes with Assay."""
        own = self.folder / REQUIREMENTS
        return own if own.is_file() else DEFAULT_SCAFFOLD / REQUIREMENTS

    @property
    def own_requirements(self) -> str:
        """The text of its own requirements.txt, '' where it has none: what a workspace begins with."""
        own = self.folder / REQUIREMENTS
        return own.read_text(encoding="utf-8") if own.is_file() else ""

    @property
    def fingerprint(self) -> str:
        """A hash over the names and the bytes of all its files."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not any(
                fnmatch(part, pattern)
                for part in path.relative_to(self.folder).parts
                for pattern in NOT_CODE
            ):
                digest.update(
                    f"{path.relative_to(self.folder)}\0{path.stat().st_size}\0".encode()
                    + path.read_bytes()
                )
        return digest.hexdigest()[:16]


def find_scaffold(folder: Path) -> Scaffold:
    if not (folder / MAIN).is_file():
        raise UserError(f"scaffold {folder}: has no {MAIN}")
    if (folder / MAIN).is_symlink() or (folder / REQUIREMENTS).is_symlink():
        raise UserError(
            f"scaffold {folder}: {MAIN} and {REQUIREMENTS} must be files of their own, not links"
        )
    return Scaffold(folder)


@dataclass(frozen=True)
class Workspace:
    """Where the coder edits. No model-written process ever runs in here."""

    folder: Path

    @property
    def editable(self) -> list[str]:
        return [name for name in (MAIN, REQUIREMENTS) if (self.folder / name).is_file()]

    def create(self, scaffold: Scaffold, dataset: dict | None) -> None:
        """Copy the scaffold; main.py of a scaffold with a protocol is a template and is rendered for the data set."""
        from agent.util.templates import (
            render_text,  # here: tables of many experiments do without jinja2
        )

        copy_files(scaffold.folder, self.folder)
        main = self.folder / MAIN
        if not scaffold.open:
            write_text(main, render_text(main.read_text(encoding="utf-8"), dataset=dataset))
        if not (self.folder / REQUIREMENTS).is_file():
            write_text(self.folder / REQUIREMENTS, "")

    def fingerprint(self) -> str:
        """A hash over the editable files: whether a turn changed anything is read here, not in a reply."""
        digest = hashlib.sha256()
        for name in self.editable:
            digest.update(f"{name}\0".encode() + (self.folder / name).read_bytes())
        return digest.hexdigest()[:16]

    def read(self) -> dict[str, str]:
        """The editable files, name -> text."""
        return {
            name: (self.folder / name).read_bytes().decode("utf-8", "surrogateescape")
            for name in self.editable
        }

    def write(self, files: dict[str, str]) -> None:
        """Set the editable files to what read() gave earlier."""
        for name, text in files.items():
            write_bytes(self.folder / name, text.encode("utf-8", "surrogateescape"))
