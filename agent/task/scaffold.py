"""The scaffold is copied once; the coder edits the copy, which is copied again for every run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from agent.task.contract import MAIN, PROTOCOL, REQUIREMENTS
from agent.util.errors import UserError
from agent.util.files import NOT_CODE, copy_files, write_bytes, write_text
from agent.util.repository import REPOSITORY

DEFAULT_SCAFFOLD = REPOSITORY / "scaffold"


@dataclass(frozen=True)
class Scaffold:
    """A folder with a main.py. One without protocol.py is open: its numbers are its own."""

    folder: Path

    @property
    def open(self) -> bool:
        """True for a scaffold that reports its own numbers."""
        return not (self.folder / PROTOCOL).is_file()

    @property
    def requirements(self) -> Path:
        """Its own requirements.txt, else that of the scaffold that comes with Assay."""
        own = self.folder / REQUIREMENTS
        return own if own.is_file() else DEFAULT_SCAFFOLD / REQUIREMENTS

    @property
    def own_requirements(self) -> str:
        """The text of its own requirements.txt, with which a workspace begins; '' for none."""
        own = self.folder / REQUIREMENTS
        return own.read_text(encoding="utf-8") if own.is_file() else ""

    @property
    def fingerprint(self) -> str:
        """A hash over the names and the bytes of all its files."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder)
            if path.is_file() and not any(map(_is_left_behind, name.parts)):
                digest.update(f"{name}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


def _is_left_behind(part: str) -> bool:
    return any(fnmatch(part, pattern) for pattern in NOT_CODE)


def find_scaffold(folder: Path) -> Scaffold:
    """Return the scaffold in a folder. Raises UserError where there is none to be used."""
    main = folder / MAIN
    requirements = folder / REQUIREMENTS
    if not main.is_file():
        raise UserError(f"scaffold {folder}: has no {MAIN}")
    if main.is_symlink() or requirements.is_symlink():
        problem = f"{MAIN} and {REQUIREMENTS} must be files of their own, not links"
        raise UserError(f"scaffold {folder}: {problem}")
    return Scaffold(folder)


@dataclass(frozen=True)
class Workspace:
    """The folder in which the coder edits. No model-written process ever runs in here."""

    folder: Path

    @property
    def editable(self) -> list[str]:
        """The names of the files that the coder may edit."""
        names = (MAIN, REQUIREMENTS)
        return [name for name in names if (self.folder / name).is_file()]

    def create(self, scaffold: Scaffold, dataset: dict | None) -> None:
        """Copy the scaffold.

        Where it has a protocol, its main.py is a template and is rendered for the data set.
        """
        # Imported here: tables of many experiments do without jinja2.
        from agent.util.templates import render_text

        copy_files(scaffold.folder, self.folder)
        if not scaffold.open:
            main = self.folder / MAIN
            template = main.read_text(encoding="utf-8")
            write_text(main, render_text(template, dataset=dataset))
        requirements = self.folder / REQUIREMENTS
        if not requirements.is_file():
            write_text(requirements, "")

    def fingerprint(self) -> str:
        """Return a hash over the editable files.

        It shows if a turn changed anything; no reply is trusted to say so.
        """
        digest = hashlib.sha256()
        for name in self.editable:
            digest.update(f"{name}\0".encode())
            digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()[:16]

    def read(self) -> dict[str, str]:
        """Return the editable files, name -> text."""
        return {name: self._text(name) for name in self.editable}

    def _text(self, name: str) -> str:
        data = (self.folder / name).read_bytes()
        return data.decode("utf-8", "surrogateescape")

    def write(self, files: dict[str, str]) -> None:
        """Set the editable files to what read() gave earlier."""
        for name, text in files.items():
            data = text.encode("utf-8", "surrogateescape")
            write_bytes(self.folder / name, data)
