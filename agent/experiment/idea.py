"""Markdown with optional YAML front matter -> Idea. Every mistake is named with file and line."""

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
    """A hypothesis and how to build it."""

    path: Path
    title: str
    text: str  # the Markdown below the title, without front matter
    settings: dict[str, Any] = field(default_factory=dict)  # front matter: a subset of FIELDS

    @property
    def slug(self) -> str:
        """The file's name, made safe for a folder name."""
        return re.sub(r"\W+", "_", self.path.stem.lower()).strip("_") or "idea"


def load_idea(path: Path) -> Idea:
    """Read one idea. Raises UserError: not readable, not UTF-8, empty, no title, bad or unknown front matter."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a file")
        source = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8: save the file as UTF-8 text") from error
    lines = source.splitlines()
    settings, start = _front_matter(path, lines)
    title, title_line = _title(path, lines, start)
    text = "\n".join(lines[title_line:]).strip()
    if not text:
        raise UserError(f"{path}:{title_line}: nothing follows the title: say what to build")
    return Idea(path, title, text, settings)


def find_ideas(paths: list[Path]) -> list[Idea]:
    """Files as they are, folders as their *.md files in order of name. All are read before anything is spent."""
    ideas: dict[str, Idea] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.glob("*.md") if file.name.lower() != "readme.md")
            if not files:
                raise UserError(f"{path}: no idea (*.md) in this folder")
        else:
            files = [path]
        for file in files:
            idea = load_idea(file)
            other = ideas.setdefault(idea.slug, idea)
            if other.path.resolve() != file.resolve():
                raise UserError(
                    f"{file}: would share the archive {idea.slug!r} with {other.path}: rename one"
                )
    return list(ideas.values())


def _front_matter(path: Path, lines: list[str]) -> tuple[dict[str, Any], int]:
    """The settings and the index of the first line after them."""
    if not lines or lines[0].strip() != "---":
        return {}, 0
    end = next((index for index, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise UserError(f"{path}:1: the front matter is not closed: add a line --- after it")
    block = "\n".join(lines[1:end])
    try:
        if any(isinstance(token, (yaml.AliasToken, yaml.TagToken)) for token in yaml.scan(block)):
            raise UserError(f"{path}:2: front matter: aliases and tags are not needed here")
        node = yaml.compose(block, yaml.SafeLoader)
        values = {} if node is None else yaml.safe_load(block)
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # a date that is none is a ValueError
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(
            f"{path}:{mark.line + 2 if mark else 1}: front matter: {problem}"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path}:2: front matter: expected lines of the form `name: value`")
    names = [key.value for key, _ in node.value] if node else []
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path}:2: front matter: {twice} stands there twice")
    line_of = {key.value: key.start_mark.line + 2 for key, _ in node.value} if node else {}
    for key, value in values.items():
        if problem := _problem(key, value):
            raise UserError(f"{path}:{line_of.get(str(key), 2)}: front matter: {problem}")
    return values, end + 1


def _problem(key: object, value: object) -> str:
    """What is wrong with one front matter line, or ''."""
    if key not in FIELDS:
        return f"unknown key {key!r}: known are {', '.join(FIELDS)}"
    expected = FIELDS[str(key)]
    if not isinstance(value, expected) or isinstance(value, bool):
        names = expected if isinstance(expected, tuple) else (expected,)
        return f"{key} must be {' or '.join(kind.__name__ for kind in names)}, not {value!r}"
    if isinstance(value, (int, float)) and not 0 < value < 1e9:
        return f"{key} must be above 0, not {value}"
    if key == "metric" and not re.fullmatch(r"[\w./ -]{1,60}", str(value)):
        return f"metric must be a plain name, not {value!r}"
    if key == "direction" and value not in ("max", "min"):
        return f"direction must be max or min, not {value!r}"
    if isinstance(value, list) and not (
        value and all(isinstance(item, str) and item.strip() for item in value)
    ):
        return f"{key} must be a list of sentences; put one that contains ': ' in quotes"
    if key == "varies" and (unknown := [item for item in value if item not in VARIES]):  # type: ignore[attr-defined]
        return f"varies: unknown {unknown[0]!r}: known are {', '.join(VARIES)}"
    return ""


def _title(path: Path, lines: list[str], start: int) -> tuple[str, int]:
    """The first heading and the number of its line; text before it is not allowed, so that no half is lost."""
    for number, line in enumerate(lines[start:], start + 1):
        if match := re.match(r"#{1,6}\s+(.*?)\s*#*\s*$", line):
            if match[1]:
                return match[1], number
        elif line.strip():
            raise UserError(
                f"{path}:{number}: text before the title: begin with a heading, `# Title`"
            )
    raise UserError(
        f"{path}:1: {'no title: begin with a heading, `# Title`' if lines else 'the file is empty'}"
    )
