"""A main.py as a syntax tree: what was added to it, without a word of its comments.

Comments and docstrings never leave this module, so a coder cannot talk to the judge, and a program that differs from the
scaffold in nothing else is the same program.
Not covered: a string that is used as a value is code and is kept.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from dataclasses import dataclass

MOST_NESTED = 150  # levels of the tree; Python writes down again about 220
_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NO_EVIDENCE = (*_DEFINITION, ast.Import, ast.ImportFrom, ast.Pass, ast.Global, ast.Nonlocal)


@dataclass(frozen=True)
class Statement:
    """One added statement that does something when it runs: no definition, no import."""

    line: int  # its first, in main.py as it was written
    last: int  # its last; of a compound statement the last line before its body
    text: str  # its first line without comments, as the judge sees it

    def ran(self, lines: set[int]) -> bool:
        """Whether one of these executed lines is its own."""
        return not lines.isdisjoint(range(self.line, self.last + 1))


def unreadable(data: bytes) -> str:
    """Why this module, or a person, would not read in a main.py what Python reads in it, or ''.

    An encoding named on the first lines can turn a comment into code; what is nested too deeply cannot be written down again.
    """
    try:
        source = data.decode("utf-8")
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        tree = ast.parse(source)
        depth = _depth(tree)
        text = ast.unparse(tree) if depth <= MOST_NESTED else ""
        ast.parse(text)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"it cannot be read as Python: {error}"
    if encoding != "utf-8":
        return f"it names another encoding ({encoding}) or begins with a byte order mark: leave both out"
    return f"it is nested {depth} deep, {MOST_NESTED} at most" if depth > MOST_NESTED else ""


def _depth(tree: ast.AST) -> int:
    deepest, left = 0, [(tree, 1)]
    while left:
        node, depth = left.pop()
        deepest = max(deepest, depth)
        left += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return deepest


def same_program(one: str, other: str) -> bool:
    """Whether two sources differ in comments, docstrings and layout only. Raises SyntaxError."""
    return ast.dump(_bare(one)) == ast.dump(_bare(other))


def without_comments(source: str) -> str:
    """The source as Python would write it: no comment, no docstring. Raises SyntaxError."""
    return ast.unparse(_bare(source)) + "\n"


def diff_without_comments(base: str, new: str) -> str:
    """A unified diff of the two, without comments."""
    old, now = without_comments(base).splitlines(), without_comments(new).splitlines()
    return (
        "\n".join(difflib.unified_diff(old, now, "scaffold/main.py", "main.py", lineterm="")) + "\n"
    )


def added_statements(base: str, new: str) -> list[Statement]:
    """The statements of `new` whose first line the base does not have at that place, in order of lines."""
    bare = _bare(new)
    text = ast.unparse(bare)
    lines, added = text.splitlines(), _added_lines(ast.unparse(_bare(base)), text)
    # The same statements in the same order, once with the line in main.py and once with the line in `text`.
    pairs = zip(_statements(bare), _statements(ast.parse(text)), strict=True)
    found = [
        Statement(mine.lineno, _last_line(mine), lines[clean.lineno - 1].strip())
        for mine, clean in pairs
        if clean.lineno in added and not isinstance(mine, _NO_EVIDENCE)
    ]
    return sorted(found, key=lambda statement: statement.line)


def definitions(base: str, new: str) -> dict[str, int]:
    """Functions, methods and classes that only `new` has: name -> line."""
    old = {node.name for node in ast.walk(ast.parse(base)) if isinstance(node, _DEFINITION)}
    return {
        node.name: node.lineno
        for node in ast.walk(ast.parse(new))
        if isinstance(node, _DEFINITION) and node.name not in old
    }


def names_read(source: str) -> set[str]:
    """Every name and attribute that the source reads."""
    tree = ast.parse(source)
    names = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _bare(source: str) -> ast.Module:
    """The tree without docstrings; a body of nothing else gets a `pass`."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, *_DEFINITION))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
    return tree


def _statements(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def _last_line(statement: ast.stmt) -> int:
    body = getattr(statement, "body", None)
    return (
        max(statement.lineno, body[0].lineno - 1)
        if body
        else statement.end_lineno or statement.lineno
    )


def _added_lines(base: str, new: str) -> set[int]:
    matcher = difflib.SequenceMatcher(None, base.splitlines(), new.splitlines(), autojunk=False)
    return {
        line + 1
        for kind, _, _, first, last in matcher.get_opcodes()
        if kind in ("insert", "replace")
        for line in range(first, last)
    }
