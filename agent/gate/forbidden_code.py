"""Breaches of what main.py may do, read from its syntax tree: a lint with reasons, not a wall. The
wall is the sandbox.

Only what the scaffold itself does not do is reported. Not covered: whatever a program hides from
its own syntax.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from agent.gate.forbidden_names import (
    CALLS,
    INSIDE_NAMES,
    INSIDES,
    LIGHTNING,
    METHODS,
    NOT_BY_TEXT,
    OWN_TRAINER,
    PROTOCOL,
    REACHED_THROUGH_OTHERS,
    TRAINER_CHANGED,
    TRAINER_PARTS,
    TRAINER_REACHED,
    VALIDATION,
    VALIDATION_LOADERS,
    VALIDATION_SPLIT,
    module_reason,
)

_BINDING = (
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.Delete,
    ast.For,
    ast.NamedExpr,
    ast.With,
)


@dataclass(frozen=True)
class Breach:
    """A construct that may not be there."""

    line: int
    code: str  # as Python would write it
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: `{self.code[:120]}` {self.why}"


def breaches(base: str, new: str) -> list[Breach]:
    """Return the breaches of `new` that the scaffold's main.py does not have, in order of lines.

    Raises SyntaxError.
    """
    in_scaffold = _Reader(base).find()
    allowed = Counter((breach.code, breach.why) for breach in in_scaffold)
    # Of the breaches of one line for one reason the first is kept: a long name holds its shorter
    # ones.
    reported = dict[tuple[int, str], Breach]()
    in_order = sorted(_Reader(new).find(), key=lambda breach: breach.line)
    for breach in in_order:
        if allowed[breach.code, breach.why]:
            allowed[breach.code, breach.why] -= 1
        else:
            reported.setdefault((breach.line, breach.why), breach)
    return list(reported.values())


class _Reader:
    """One pass over a main.py."""

    def __init__(self, source: str):
        self.nodes = list(ast.walk(ast.parse(source)))
        self.own_names = _bound_names(self.nodes)
        # A local name -> what it is a name of, through imports and plain assignments.
        self.origins = dict[str, str]()
        self.of_protocol = set[str]()
        for node in self.nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
        for node in self.nodes:
            if isinstance(node, ast.Assign):
                self._follow(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            first = alias.name.split(".")[0]
            name = alias.asname or first
            if isinstance(node, ast.ImportFrom):
                self.origins[name] = f"{node.module}.{alias.name}"
                if node.module == PROTOCOL:
                    self.of_protocol.add(name)
            else:
                self.origins[name] = alias.name if alias.asname else first

    def _follow(self, node: ast.Assign) -> None:
        """Note another name for something that was imported."""
        if not isinstance(node.value, (ast.Name, ast.Attribute)):
            return
        if _root(node.value) not in self.origins:
            return
        path = self._path(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.origins[target.id] = path

    def _path(self, node: ast.expr) -> str:
        """Return `a.b.c` of an attribute chain, with what `a` is a name of in its place."""
        root, _, rest = _dotted(node).partition(".")
        origin = self.origins.get(root, root)
        if origin and rest:
            return f"{origin}.{rest}"
        return origin or rest

    def find(self) -> Iterator[Breach]:
        """Yield every breach, whether the scaffold has it or not."""
        for node in self.nodes:
            for why in filter(None, self._reasons(node)):
                line: int = node.lineno  # type: ignore[attr-defined]
                code = ast.unparse(node).split("\n")[0]
                yield Breach(line, code, why)

    def _reasons(self, node: ast.AST) -> list[str]:
        """Return why parts of a node may not be there, with '' for a part that may."""
        if isinstance(node, ast.Import):
            return [module_reason(alias.name) for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            return [_import_reason(node)]
        if isinstance(node, ast.Call):
            return [_call_reason(node)]
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            return [self._name_reason(node)]
        if isinstance(node, _BINDING):
            return [self._target_reason(target) for target in _targets(node)]
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in self.of_protocol:
            return [f"takes the place of {node.name}, which belongs to protocol.py"]
        return []

    def _name_reason(self, node: ast.Name | ast.Attribute) -> str:
        """Return why something may not even be named: under another name it could be called."""
        path = self._path(node)
        if why := _attribute_reason(node, path):
            return why
        if isinstance(node, ast.Name) and self._is_own(node.id):
            return ""
        if path in CALLS:
            return CALLS[path]
        if path.endswith(".Trainer"):
            return OWN_TRAINER
        if _root(node) not in self.origins or path.startswith(f"{PROTOCOL}."):
            return ""
        if why := module_reason(path):
            return why
        inner = path.split(".")[1:]
        return "" if REACHED_THROUGH_OTHERS.isdisjoint(inner) else INSIDES

    def _is_own(self, name: str) -> bool:
        return name in self.own_names and name not in self.origins

    def _target_reason(self, target: ast.expr) -> str:
        """Return why something may not be assigned to."""
        if isinstance(target, ast.Name):
            if target.id in self.of_protocol:
                return f"sets {target.id}, which belongs to protocol.py"
            return ""
        root = _root(target)
        if root in self.origins:
            return f"changes {root}, which is not yours"
        return TRAINER_CHANGED if ".trainer." in f"{_dotted(target)}." else ""


def _bound_names(nodes: list[ast.AST]) -> set[str]:
    names = set[str]()
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
    return names


def _targets(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a statement assigns to or deletes, tuples taken apart."""
    if isinstance(node, (ast.Assign, ast.Delete)):
        targets = list(node.targets)
    elif isinstance(node, ast.With):
        targets = [item.optional_vars for item in node.items if item.optional_vars]
    else:
        targets = [node.target]  # type: ignore[attr-defined]
    for target in targets:
        if isinstance(target, (ast.Tuple, ast.List)):
            yield from target.elts
        else:
            yield target


def _import_reason(node: ast.ImportFrom) -> str:
    names = [alias.name for alias in node.names]
    if node.module == PROTOCOL:
        private = [name for name in names if name.startswith("_") or name == "*"]
        return f"takes {', '.join(private)} out of protocol.py" if private else ""
    if not INSIDE_NAMES.isdisjoint(names):
        return INSIDES
    if why := module_reason(node.module or ""):
        return why
    for name in names:
        path = f"{node.module}.{name}"
        if why := CALLS.get(path) or module_reason(path):
            return why
    return ""


def _attribute_reason(
    node: ast.Name | ast.Attribute,
    path: str,
) -> str:
    """Return why an attribute may not be read, whatever object it belongs to."""
    if path == VALIDATION_SPLIT:
        return VALIDATION
    if isinstance(node, ast.Name):
        return ""
    if node.attr in INSIDE_NAMES:
        return INSIDES
    if node.attr in TRAINER_PARTS and not path.startswith(LIGHTNING):
        return TRAINER_REACHED
    return VALIDATION if node.attr in VALIDATION_LOADERS else ""


def _call_reason(node: ast.Call) -> str:
    path = _dotted(node.func)
    name = path.rsplit(".", 1)[-1]
    if name == "Trainer" or path.endswith("trainer.fit"):
        return OWN_TRAINER
    if path == "getattr":
        return _getattr_reason(node)
    return METHODS.get(name, "")


def _getattr_reason(node: ast.Call) -> str:
    if len(node.args) < 2 or not isinstance(node.args[1], ast.Constant):
        return INSIDES  # which name it takes is known only when it runs
    name = node.args[1].value
    return INSIDES if name is None or name in NOT_BY_TEXT else ""


def _dotted(node: ast.expr) -> str:
    """Return `a.b.c` of an attribute chain; what is not a name in it is left out."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    return node.id if isinstance(node, ast.Name) else ""


def _root(node: ast.expr) -> str:
    """Return the name that an attribute chain begins with, or ''."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
