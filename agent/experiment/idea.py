"""Ideas, read from Markdown with optional YAML front matter.

Every mistake is named with file and line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from agent.task.recipe import VARIES
from agent.util.errors import UserError

FIELDS: dict[str, type | tuple[type, ...]] = {
    "dataset": str,
    "epochs": int,
    "runs": int,
    "metric": str,
    "direction": str,
    "scaffold": str,
    "criteria": list,
    "varies": list,  # of the training recipe, what the idea itself changes
    "smallest_effect": (int, float),  # percentage points
}


@dataclass(frozen=True)
class Idea:
    """An idea: a hypothesis and how to build it."""

    path: Path
    title: str
    text: str  # the Markdown below the title, without front matter
    settings: dict[str, Any] = field(default_factory=dict)  # front matter: a subset of FIELDS

    @property
    def slug(self) -> str:
        """The file's name, made safe for a folder name."""
        words = re.sub(r"\W+", "_", self.path.stem.lower())
        return words.strip("_") or "idea"


def load_idea(path: Path) -> Idea:
    """Read one idea.

    Raises UserError: not readable, not UTF-8, empty, no title, bad or unknown front matter.
    """
    lines = _read_text(path).splitlines()
    settings, start = _front_matter(path, lines)
    title, title_line = _title(path, lines, start)
    text = "\n".join(lines[title_line:]).strip()
    if not text:
        raise UserError(f"{path}:{title_line}: nothing follows the title: say what to build")
    return Idea(path, title, text, settings)


def find_ideas(paths: list[Path]) -> list[Idea]:
    """Read all ideas before anything is spent: files, and folders' *.md files in order of name."""
    ideas: dict[str, Idea] = {}
    for path in paths:
        for file in _files(path):
            idea = load_idea(file)
            other = ideas.setdefault(idea.slug, idea)
            if other.path.resolve() != file.resolve():
                clash = f"would share the archive {idea.slug!r} with {other.path}"
                raise UserError(f"{file}: {clash}: rename one")
    return list(ideas.values())


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    pages = sorted(path.glob("*.md"))
    files = [page for page in pages if page.name.lower() != "readme.md"]
    if not files:
        raise UserError(f"{path}: no idea (*.md) in this folder")
    return files


def _read_text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a file")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8: save the file as UTF-8 text") from error


def _front_matter(path: Path, lines: list[str]) -> tuple[dict[str, Any], int]:
    """Return the settings and the index of the first line after them."""
    stripped = [line.strip() for line in lines]
    if stripped[:1] != ["---"]:
        return {}, 0
    if "---" not in stripped[1:]:
        raise UserError(f"{path}:1: the front matter is not closed: add a line --- after it")
    end = stripped.index("---", 1)
    block = "\n".join(lines[1:end])
    node, values = _parse(path, block)
    if not isinstance(values, dict):
        raise UserError(f"{path}:2: front matter: expected lines of the form `name: value`")
    keys = [key for key, _ in node.value] if node else []
    names = [key.value for key in keys]
    repeated = next((name for name in names if names.count(name) > 1), "")
    if repeated:
        raise UserError(f"{path}:2: front matter: {repeated} stands there twice")
    line_of = {key.value: key.start_mark.line + 2 for key in keys}
    for key, value in values.items():
        if problem := _problem(key, value):
            raise UserError(f"{path}:{line_of.get(str(key), 2)}: front matter: {problem}")
    return values, end + 1


def _parse(path: Path, block: str) -> tuple[Any, Any]:
    """Return the YAML node, which knows its lines, and the values."""
    try:
        for token in yaml.scan(block):
            if isinstance(token, (yaml.AliasToken, yaml.TagToken)):
                raise UserError(f"{path}:2: front matter: aliases and tags are not needed here")
        node = yaml.compose(block, yaml.SafeLoader)
        if node is None:
            return None, {}
        return node, yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"{path}:{line}: front matter: {problem}") from error


def _problem(key: object, value: object) -> str:
    """Return what is wrong with one line of the front matter, or ''."""
    if key not in FIELDS:
        return f"unknown key {key!r}: known are {', '.join(FIELDS)}"
    expected = FIELDS[str(key)]
    if not isinstance(value, expected) or isinstance(value, bool):
        kinds = expected if isinstance(expected, tuple) else (expected,)
        names = " or ".join(kind.__name__ for kind in kinds)
        return f"{key} must be {names}, not {value!r}"
    if isinstance(value, (int, float)) and not 0 < value < 1e9:
        return f"{key} must be above 0, not {value}"
    if key == "metric" and not re.fullmatch(r"[\w./ -]{1,60}", str(value)):
        return f"metric must be a plain name, not {value!r}"
    if key == "direction" and value not in ("max", "min"):
        return f"direction must be max or min, not {value!r}"
    if isinstance(value, list):
        return _problem_of_list(str(key), value)
    return ""


def _problem_of_list(key: str, items: list[Any]) -> str:
    rule = f"{key} must be a list of sentences; put one that contains ': ' in quotes"
    if not items:
        return rule
    for item in items:
        if not isinstance(item, str) or not item.strip():
            return rule
    if key == "varies":
        for item in items:
            if item not in VARIES:
                return f"varies: unknown {item!r}: known are {', '.join(VARIES)}"
    return ""


def _title(path: Path, lines: list[str], start: int) -> tuple[str, int]:
    """Return the first heading and the number of its line.

    Text before it is not allowed, so that no half is lost.
    """
    for number, line in enumerate(lines[start:], start + 1):
        if match := re.match(r"#{1,6}\s+(.*?)\s*#*\s*$", line):
            if match[1]:
                return match[1], number
        elif line.strip():
            problem = "text before the title: begin with a heading, `# Title`"
            raise UserError(f"{path}:{number}: {problem}")
    problem = "no title: begin with a heading, `# Title`" if lines else "the file is empty"
    raise UserError(f"{path}:1: {problem}")
