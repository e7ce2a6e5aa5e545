"""What main.py may not do, read from its syntax tree: a lint with reasons, not a wall. The wall is the sandbox.

Only what the scaffold itself does not do is found. Not covered: whatever a program hides from its own syntax.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

FILES = "reads or writes files: data comes from protocol.py, results are written by it"
PROCESSES = "starts processes"
NETWORK = "uses the network, which a run must not need"
INSIDES = "reaches into Python itself"
SEEDS = "sets a seed for everything: seeds belong to protocol.py; draw from a torch.Generator of your own"
MODULES = {
    **dict.fromkeys(("os", "io", "pathlib", "shutil", "glob", "tempfile", "pickle", "shelve", "sqlite3", "mmap", "csv", "h5py"), FILES),
    **dict.fromkeys(
        ("PIL", "pandas", "cv2", "joblib", "fsspec", "safetensors", "torchvision.io", "torch.serialization", "numpy.lib"), FILES
    ),
    **dict.fromkeys(("subprocess", "multiprocessing", "concurrent", "signal", "pty"), PROCESSES),
    **dict.fromkeys(("socket", "urllib", "requests", "http", "ftplib", "httpx", "aiohttp", "huggingface_hub", "wandb"), NETWORK),
    **dict.fromkeys(("sys", "importlib", "builtins", "ctypes", "gc", "inspect", "runpy", "atexit", "code", "loading", "probe"), INSIDES),
    **dict.fromkeys(("torchvision.datasets", "sklearn.datasets", "datasets", "timm", "torch.hub"), "brings other data or trained weights"),
}
CALLS = {
    **dict.fromkeys(("open", "np.load", "np.save", "np.savez", "np.memmap", "np.fromfile", "numpy.load", "numpy.save", "torch.load",
                     "torch.save", "torch.from_file", "torch.hub.load"), FILES),
    **dict.fromkeys(("eval", "exec", "compile", "__import__", "globals", "locals", "vars", "setattr", "delattr", "breakpoint"), INSIDES),
    **dict.fromkeys(("torch.manual_seed", "torch.seed", "torch.set_rng_state", "torch.random.manual_seed", "torch.cuda.manual_seed",
                     "torch.cuda.manual_seed_all", "pl.seed_everything", "seed_everything", "np.random.seed", "numpy.random.seed",
                     "random.seed"), SEEDS),
}  # fmt: skip
DUNDERS = {"__globals__", "__dict__", "__builtins__", "__code__", "__subclasses__", "__bases__", "__mro__", "__closure__",
           "__getattribute__", "__loader__", "__spec__", "f_globals", "f_back", "tb_frame", "gi_frame"}  # fmt: skip
# Of the validation split main.py makes one loader, as the scaffold does; trained on, it would be more data than the control has.
VALIDATION, VALIDATION_LOADERS = "val_data", ("val_dataloader", "val_dataloaders")
PROTOCOL = "protocol"


@dataclass(frozen=True)
class Breach:
    """One construct that may not be there."""

    line: int
    code: str  # as Python would write it
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: `{self.code[:120]}` {self.why}"


def breaches(base: str, new: str) -> list[Breach]:
    """What `new` does of this that the scaffold's main.py does not, in order of lines. Raises SyntaxError."""
    allowed = Counter((breach.code, breach.why) for breach in _Reader(base).find())
    found = []
    for breach in sorted(_Reader(new).find(), key=lambda breach: breach.line):
        if allowed[breach.code, breach.why]:
            allowed[breach.code, breach.why] -= 1
        else:
            found.append(breach)
    return found


class _Reader:
    """One pass over a main.py."""

    def __init__(self, source: str):
        self.tree = ast.parse(source)
        self.nodes = list(ast.walk(self.tree))
        imports = [node for node in self.nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
        self.imported = {alias.asname or alias.name.split(".")[0] for node in imports for alias in node.names}
        self.of_protocol = {alias.asname or alias.name for node in imports if isinstance(node, ast.ImportFrom)
                            and node.module == PROTOCOL for alias in node.names}  # fmt: skip

    def find(self) -> Iterator[Breach]:
        for node in self.nodes:
            for why in self._why(node):
                yield Breach(node.lineno, ast.unparse(node).split("\n")[0], why)  # type: ignore[attr-defined]

    def _why(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from filter(None, (_module(alias.name) for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            yield from filter(None, [self._from(node)])
        elif isinstance(node, ast.Call):
            yield from filter(None, [_call(node)])
        elif isinstance(node, ast.Attribute) and node.attr in DUNDERS:
            yield INSIDES
        elif (isinstance(node, ast.Attribute) and node.attr in VALIDATION_LOADERS) or (
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id == VALIDATION
        ):
            yield "uses the validation split once more: it is there to be measured on, in val_dataloader, not to be learned from"
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete, ast.For, ast.NamedExpr, ast.With)):
            yield from filter(None, map(self._target, _targets(node)))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in self.of_protocol:
            yield f"takes the place of {node.name}, which belongs to protocol.py"

    def _from(self, node: ast.ImportFrom) -> str:
        if node.module == PROTOCOL:
            private = [alias.name for alias in node.names if alias.name.startswith("_") or alias.name == "*"]
            return f"takes {', '.join(private)} out of protocol.py" if private else ""
        return _module(node.module or "") or next(filter(None, (_module(f"{node.module}.{alias.name}") for alias in node.names)), "")

    def _target(self, target: ast.expr) -> str:
        """Why something may not be assigned to."""
        if isinstance(target, ast.Name):
            return f"sets {target.id}, which belongs to protocol.py" if target.id in self.of_protocol else ""
        path, root = _dotted(target), _root(target)
        if root in self.imported or root in self.of_protocol:
            return f"changes {root}, which is not yours"
        if ".trainer." in f"{path}.":
            return "changes the Trainer, which belongs to protocol.py"
        return ""


def _targets(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement assigns to or deletes, tuples taken apart."""
    if isinstance(node, (ast.Assign, ast.Delete)):
        found = list(node.targets)
    elif isinstance(node, ast.With):
        found = [item.optional_vars for item in node.items if item.optional_vars]
    else:
        found = [node.target]  # type: ignore[attr-defined]
    for target in found:
        yield from target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _module(name: str) -> str:
    if name.split(".")[0] == PROTOCOL:
        return "imports protocol as a whole: take the names that you need, `from protocol import ...`"
    parts = name.split(".")
    return next((MODULES[prefix] for k in range(len(parts)) if (prefix := ".".join(parts[: k + 1])) in MODULES), "")


def _call(node: ast.Call) -> str:
    path = _dotted(node.func)
    if path in CALLS:
        return CALLS[path]
    name = path.rsplit(".", 1)[-1]
    if name == "Trainer" or path.endswith("trainer.fit"):
        return "builds a Trainer of its own: protocol.run(Model) has the one that counts"
    if name in ("tofile", "write_text", "write_bytes", "savetxt", "loadtxt", "load_from_checkpoint", "save_checkpoint"):
        return FILES
    if name == "load_state_dict_from_url":
        return NETWORK
    if path == "getattr" and not (len(node.args) > 1 and isinstance(node.args[1], ast.Constant)):
        return INSIDES
    return ""


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain; what is not a name in it is left out."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript):
        return _dotted(node.value)
    return node.id if isinstance(node, ast.Name) else ""


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
