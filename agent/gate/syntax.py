"""A main.py as a syntax tree: what was added to it, without a word of its comments.

Comments and docstrings never leave this module, so a coder cannot talk to the judge, and a program
that differs from the scaffold in nothing else is the same program.
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
_NO_EVIDENCE = (
    *_DEFINITION,
    ast.Import,
    ast.ImportFrom,
    ast.Pass,
    ast.Global,
    ast.Nonlocal,
)


@dataclass(frozen=True)
class Statement:
    """An added statement that does something when it runs: no definition, no import."""

    line: int  # its first, in main.py as it was written
    last: int  # its last; of a compound statement the last line before its body
    text: str  # its first line without comments, as the judge sees it

    def ran(self, lines: set[int]) -> bool:
        """Return whether one of these executed lines is its own."""
        own = range(self.line, self.last + 1)
        return not lines.isdisjoint(own)


def unreadable(data: bytes) -> str:
    """Return why this module, or a person, would not read in a main.py what Python reads in it.

    '' where they would. An encoding named on the first lines can turn a comment into code; what is
    nested too deeply cannot be written down again.
    """
    try:
        source = data.decode("utf-8")
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        tree = ast.parse(source)
        depth = _depth(tree)
        if depth <= MOST_NESTED:
            ast.parse(ast.unparse(tree))
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"it cannot be read as Python: {error}"
    if encoding != "utf-8":
        return (
            f"it names another encoding ({encoding}) or begins with a byte order mark: "
            "leave both out"
        )
    return f"it is nested {depth} deep, {MOST_NESTED} at most" if depth > MOST_NESTED else ""


def _depth(tree: ast.AST) -> int:
    deepest = 0
    left = [(tree, 1)]
    while left:
        node, depth = left.pop()
        deepest = max(deepest, depth)
        for child in ast.iter_child_nodes(node):
            left.append((child, depth + 1))
    return deepest


def same_program(source: str, other: str) -> bool:
    """Return whether two sources differ in comments, docstrings and layout only.

    Raises SyntaxError.
    """
    return ast.dump(_bare(source)) == ast.dump(_bare(other))


def without_comments(source: str) -> str:
    """Return the source as Python would write it, without comments and docstrings.

    Raises SyntaxError.
    """
    return ast.unparse(_bare(source)) + "\n"


def diff_without_comments(base: str, new: str) -> str:
    """Return a unified diff of the two, without comments."""
    before = without_comments(base).splitlines()
    now = without_comments(new).splitlines()
    lines = difflib.unified_diff(before, now, "scaffold/main.py", "main.py", lineterm="")
    return "\n".join(lines) + "\n"


def added_statements(base: str, new: str) -> list[Statement]:
    """Return the statements of `new` whose first line the base does not have at that place, in
    order of lines.
    """
    bare = _bare(new)
    text = ast.unparse(bare)
    lines = text.splitlines()
    added = _added_lines(ast.unparse(_bare(base)), text)
    # The same statements in the same order, once with the line in main.py and once with the line
    # in `text`.
    pairs = zip(
        _statements(bare),
        _statements(ast.parse(text)),
        strict=True,
    )
    statements = []
    for written, clean in pairs:
        if clean.lineno in added and not isinstance(written, _NO_EVIDENCE):
            first = lines[clean.lineno - 1].strip()
            statements.append(Statement(written.lineno, _last_line(written), first))
    return sorted(statements, key=lambda statement: statement.line)


def definitions(
    base: str,
    new: str,
) -> dict[str, int]:
    """Return the functions, methods and classes that only `new` has: name -> line."""
    before = _definitions(base)
    added = {}
    for name, line in _definitions(new).items():
        if name not in before:
            added[name] = line
    return added


def _definitions(source: str) -> dict[str, int]:
    nodes = ast.walk(ast.parse(source))
    return {node.name: node.lineno for node in nodes if isinstance(node, _DEFINITION)}


def names_read(source: str) -> set[str]:
    """Return every name and attribute that the source reads."""
    names = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
    return names


def _bare(source: str) -> ast.Module:
    """Return the tree without docstrings; a body of nothing else gets a `pass`."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, *_DEFINITION)):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            nothing = ast.copy_location(ast.Pass(), node.body[0])
            node.body = node.body[1:] or [nothing]
    return tree


def _statements(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def _last_line(statement: ast.stmt) -> int:
    body: list[ast.stmt] = getattr(statement, "body", [])
    if body:
        return max(statement.lineno, body[0].lineno - 1)
    return statement.end_lineno or statement.lineno


def _added_lines(base: str, new: str) -> set[int]:
    """Return the numbers of the lines of `new` that the base does not have at that place."""
    matcher = difflib.SequenceMatcher(
        None,
        base.splitlines(),
        new.splitlines(),
        autojunk=False,
    )
    numbers = set[int]()
    for kind, _, _, first, last in matcher.get_opcodes():
        if kind in ("insert", "replace"):
            numbers.update(range(first + 1, last + 1))
    return numbers
