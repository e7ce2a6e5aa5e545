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
INSIDES = "reaches into Python or PyTorch itself: write attributes by name, and keep a number of layers in an nn.ModuleList"
SEEDS = "sets a seed for everything: seeds belong to protocol.py; draw from a torch.Generator of your own"
MODULES = {
    **dict.fromkeys(
        (
            "os",
            "io",
            "pathlib",
            "shutil",
            "glob",
            "tempfile",
            "pickle",
            "shelve",
            "sqlite3",
            "mmap",
            "csv",
            "h5py",
            "zipfile",
            "tarfile",
            "posix",
        ),
        FILES,
    ),
    **dict.fromkeys(
        (
            "PIL",
            "pandas",
            "cv2",
            "joblib",
            "fsspec",
            "safetensors",
            "torchvision.io",
            "torch.serialization",
            "numpy.lib.npyio",
            "numpy.lib.format",
        ),
        FILES,
    ),
    **dict.fromkeys(("subprocess", "multiprocessing", "concurrent", "signal", "pty"), PROCESSES),
    **dict.fromkeys(
        (
            "socket",
            "urllib",
            "requests",
            "http",
            "ftplib",
            "httpx",
            "aiohttp",
            "huggingface_hub",
            "wandb",
        ),
        NETWORK,
    ),
    **dict.fromkeys(
        (
            "sys",
            "importlib",
            "builtins",
            "ctypes",
            "gc",
            "inspect",
            "runpy",
            "atexit",
            "code",
            "loading",
            "probe",
            "torch._C",
        ),
        INSIDES,
    ),
    **dict.fromkeys(
        ("torchvision.datasets", "sklearn.datasets", "datasets", "timm", "torch.hub"),
        "brings other data or trained weights",
    ),
}
CALLS = {
    **dict.fromkeys(
        (
            "open",
            "numpy.load",
            "numpy.save",
            "numpy.savez",
            "numpy.memmap",
            "numpy.fromfile",
            "numpy.genfromtxt",
            "torch.load",
            "torch.save",
            "torch.from_file",
            "torch.hub.load",
            "torch.jit.load",
        ),
        FILES,
    ),
    **dict.fromkeys(
        (
            "eval",
            "exec",
            "compile",
            "__import__",
            "globals",
            "locals",
            "vars",
            "setattr",
            "delattr",
            "breakpoint",
        ),
        INSIDES,
    ),
    **dict.fromkeys(
        (
            "torch.manual_seed",
            "torch.seed",
            "torch.set_rng_state",
            "torch.random.manual_seed",
            "torch.cuda.manual_seed",
            "torch.cuda.manual_seed_all",
            "torch.default_generator.manual_seed",
            "pytorch_lightning.seed_everything",
            "lightning.seed_everything",
            "numpy.random.seed",
            "random.seed",
        ),
        SEEDS,
    ),
}
INSIDE_NAMES = {
    "__globals__",
    "__dict__",
    "__builtins__",
    "__code__",
    "__subclasses__",
    "__bases__",
    "__mro__",
    "__closure__",
    "__getattribute__",
    "__setattr__",
    "__loader__",
    "__spec__",
    "f_globals",
    "f_back",
    "tb_frame",
    "gi_frame",
    "_engine_run_backward",
    "_global_optimizer_pre_hooks",
    "_global_optimizer_post_hooks",
}
WITHIN = {
    "os",
    "sys",
    "io",
    "builtins",
    "subprocess",
    "socket",
    "shutil",
    "importlib",
    "ctypes",
    "pathlib",
    "pickle",
    "multiprocessing",
}
TRAINER = {"fit_loop", "callbacks"}  # of the Trainer, which is protocol.py's
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
    found: dict[
        tuple[int, str], Breach
    ] = {}  # one a line and reason: a long name holds its shorter ones
    for breach in sorted(_Reader(new).find(), key=lambda breach: breach.line):
        if allowed[breach.code, breach.why]:
            allowed[breach.code, breach.why] -= 1
        else:
            found.setdefault((breach.line, breach.why), breach)
    return list(found.values())


class _Reader:
    """One pass over a main.py."""

    def __init__(self, source: str):
        self.tree = ast.parse(source)
        self.nodes = list(ast.walk(self.tree))
        self.origin = dict[
            str, str
        ]()  # a local name -> what it is a name of, through imports and plain assignments
        self.of_protocol = set[str]()
        for node in self.nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
        self.stored = {
            node.id
            for node in self.nodes
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        }
        self.stored |= {node.arg for node in self.nodes if isinstance(node, ast.arg)}
        self.stored |= {
            node.name for node in self.nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        }
        for node in self.nodes:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, (ast.Name, ast.Attribute))
                and _root(node.value) in self.origin
            ):
                self.origin |= {
                    target.id: self._path(node.value)
                    for target in node.targets
                    if isinstance(target, ast.Name)
                }

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            if isinstance(node, ast.Import):
                self.origin[name] = alias.name if alias.asname else name
            else:
                self.origin[name] = f"{node.module}.{alias.name}"
                self.of_protocol |= {name} if node.module == PROTOCOL else set()

    def _path(self, node: ast.expr) -> str:
        """`a.b.c` of an attribute chain, with what `a` is a name of in its place."""
        root, _, rest = _dotted(node).partition(".")
        return ".".join(filter(None, (self.origin.get(root, root), rest)))

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
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            yield from filter(None, [self._reference(node)])
        elif isinstance(
            node,
            (
                ast.Assign,
                ast.AugAssign,
                ast.AnnAssign,
                ast.Delete,
                ast.For,
                ast.NamedExpr,
                ast.With,
            ),
        ):
            yield from filter(None, map(self._target, _targets(node)))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in self.of_protocol:
            yield f"takes the place of {node.name}, which belongs to protocol.py"

    def _reference(self, node: ast.Name | ast.Attribute) -> str:
        """Why something may not even be named: under another name it could be called."""
        path = self._path(node)
        if isinstance(node, ast.Attribute) and node.attr in INSIDE_NAMES:
            return INSIDES
        if (
            isinstance(node, ast.Attribute)
            and node.attr in TRAINER
            and not path.startswith(("pytorch_lightning.", "lightning."))
        ):
            return "reaches into the Trainer, which belongs to protocol.py"
        if (
            isinstance(node, ast.Attribute) and node.attr in VALIDATION_LOADERS
        ) or path == f"{PROTOCOL}.{VALIDATION}":
            return "uses the validation split once more: it is there to be measured on, in val_dataloader, not to be learned from"
        if isinstance(node, ast.Name) and node.id in self.stored and node.id not in self.origin:
            return ""  # a name of its own
        if path in CALLS:
            return CALLS[path]
        if path.endswith(".Trainer"):
            return "builds a Trainer of its own: protocol.run(Model) has the one that counts"
        if _root(node) not in self.origin or path.startswith(f"{PROTOCOL}."):
            return ""
        return _module(path) or (INSIDES if WITHIN & set(path.split(".")[1:]) else "")

    def _from(self, node: ast.ImportFrom) -> str:
        if node.module == PROTOCOL:
            private = [
                alias.name
                for alias in node.names
                if alias.name.startswith("_") or alias.name == "*"
            ]
            return f"takes {', '.join(private)} out of protocol.py" if private else ""
        if any(alias.name in INSIDE_NAMES for alias in node.names):
            return INSIDES
        return _module(node.module or "") or next(
            filter(None, (_named(f"{node.module}.{alias.name}") for alias in node.names)), ""
        )

    def _target(self, target: ast.expr) -> str:
        """Why something may not be assigned to."""
        if isinstance(target, ast.Name):
            return (
                f"sets {target.id}, which belongs to protocol.py"
                if target.id in self.of_protocol
                else ""
            )
        path, root = _dotted(target), _root(target)
        if root in self.origin:
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
        return (
            "imports protocol as a whole: take the names that you need, `from protocol import ...`"
        )
    parts = name.split(".")
    return next(
        (
            MODULES[prefix]
            for k in range(len(parts))
            if (prefix := ".".join(parts[: k + 1])) in MODULES
        ),
        "",
    )


def _named(path: str) -> str:
    return CALLS.get(path, "") or _module(path)


def _call(node: ast.Call) -> str:
    path = _dotted(node.func)
    name = path.rsplit(".", 1)[-1]
    if name == "Trainer" or path.endswith("trainer.fit"):
        return "builds a Trainer of its own: protocol.run(Model) has the one that counts"
    if name in (
        "tofile",
        "write_text",
        "write_bytes",
        "savetxt",
        "loadtxt",
        "load_from_checkpoint",
        "save_checkpoint",
    ):
        return FILES
    if name == "load_state_dict_from_url":
        return NETWORK
    if path == "getattr":
        asked = (
            node.args[1].value
            if len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
            else None
        )
        return (
            INSIDES
            if asked is None
            or asked in INSIDE_NAMES
            or asked in VALIDATION_LOADERS
            or asked in TRAINER
            else ""
        )
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
