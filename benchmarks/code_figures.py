"""This script prints how densely Python code is written, for several checkouts side by side.

    python benchmarks/code_figures.py [--all] [[NAME=]DIR ...]

Without DIR, the repository that holds the script is measured. Product code is every .py file below
DIR, without links, hidden folders, virtual environments, the folders tests and test, the files
test_*.py and conftest.py, and, directly below DIR, benchmarks, docs, runs, build and dist. --all
counts tests and benchmarks too. Files that do not parse are named on stderr and left out.

  lines            All of them; every "per 1,000" is per 1,000 of these.
  lines of code    Lines with a part of a token other than a docstring.
  tokens           What tokenize reads, but for comments and layout; a string or an f-string is one
                   token. On a line of code without docstrings, in a function with them.
  lines over 100   Their share of the lines that are not blank.
  a, b = x, y      Assignments of a literal tuple to a tuple. Conditionals: `x if y else z`.
  comprehensions   Those of lists, sets and dicts, and generator expressions.
  string keys      x["k"], read or set, and x.get("k").
  broad except     Handlers of everything, Exception or BaseException; tuples are not looked into.
  class names      Names that more than one class has, in one file or in several.
  fragments        Docstrings that FRAGMENTS matches: "Of ...", "The same ...", a small letter.
  names of speech  Places that bind a name of SPEECH: variables, parameters, fields, functions.
  untyped dicts    dict[..., Any], dict[..., object], a bare dict in an annotation; so all of DICTS.
  functions        From `def` to the end, nested ones included. Quantiles are values that occur.
  statements, ...  As ruff counts for PLR0915, PLR0912 and PLR0913, but self and cls never count.
  typed            Of the parameters that count here, so without *args, **kwargs and dummies.

Not covered: docstrings beyond their first word; annotations in quotes; where an alias of an untyped
dict is used; code in strings and templates; whether a name fits. Generated files count like others.
A smaller figure is not better by itself: each can be met by code that nobody wants to read.

The rules were held against a table made by other means for Assay's agent/ and scaffold/ at 9d565b0.
All its figures come out but tokens on a line of code (11.0, there 11.2), files (104, there 100 for
agent/ alone), fmt: skip (121, there 122 with launch.py's) and untyped dicts (200, there 254).
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import fmean

TEST_FILE = re.compile(r"test_.*\.py|conftest\.py")
NO_PRODUCT = {"docs", "runs", "build", "dist"}
LAYOUT = {"NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER", "COMMENT"}
SKIP = re.compile(r"#\s*fmt:\s*skip\b")
FRAGMENTS = re.compile(r"\s*((Of|Nothing|What|Whether|That|As)\s|The same\b|[a-z])")
SPEECH = {"one", "said", "told", "found", "made", "asked"}
DICTS = {"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict"}
UNCOUNTED = re.compile(r"self|cls|_+|_[a-zA-Z0-9_]*[a-zA-Z0-9]")
RATES = ("a, b = x, y", "comprehensions", "conditionals", "walrus", "string keys", "broad except")
Definition = ast.FunctionDef | ast.AsyncFunctionDef
Clause = ast.ExceptHandler | ast.match_case
Loop = ast.For | ast.AsyncFor | ast.While


@dataclass
class Code:
    """Code is what was read of a checkout, file after file."""

    lines: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    skips: int = 0
    nodes: list[ast.AST] = field(default_factory=list)
    code_lines: int = 0
    code_tokens: int = 0
    functions: list[Definition] = field(default_factory=list)
    function_lines: list[int] = field(default_factory=list)
    function_tokens: list[int] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Add the text of a file, or raise SyntaxError, ValueError or TokenError."""
        nodes = list(ast.walk(ast.parse(text)))
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        lines = list(io.StringIO(text))
        self.lines += lines
        self.sizes.append(len(lines))
        self.skips += sum(bool(SKIP.match(token.string)) for token in tokens)
        self.nodes += nodes
        spans = list(join_tokens(tokens))
        docstrings = {node.lineno for node in docstrings_of(nodes)}
        code = [span for span in spans if span.start not in docstrings]
        self.code_lines += len(set[int]().union(*code))
        self.code_tokens += len(code)
        for node in nodes:
            if isinstance(node, Definition):
                whole = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                self.functions.append(node)
                self.function_lines.append(len(whole))
                self.function_tokens.append(sum(span.start in whole for span in spans))


def join_tokens(tokens: Iterable[tokenize.TokenInfo]) -> Iterator[range]:
    """Yield the lines of each token, with what Python 3.12 makes of an f-string joined again."""
    depth = 0
    start = 0
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if depth == 0:
            start = token.start[0]
        depth += kind.endswith("STRING_START") - kind.endswith("STRING_END")
        if depth == 0 and kind not in LAYOUT:
            yield range(start, token.end[0] + 1)


def docstrings_of(nodes: list[ast.AST]) -> Iterator[ast.Constant]:
    """Yield the docstrings of modules, classes and functions."""
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | Definition):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as docstring), *_]:
                    yield docstring


def count_clauses(node: ast.AST) -> int:
    """Count the else and finally clauses of a statement; an elif is none."""
    match node:
        case ast.If(col_offset=column, orelse=[ast.If(col_offset=other)]) if column == other:
            return 0
    return bool(getattr(node, "orelse", [])) + bool(getattr(node, "finalbody", []))


def count_statements(node: ast.AST) -> int:
    """Count statements as ruff does: no return, no for, a finally twice, nothing in a class."""
    total = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | Clause):
            total += not isinstance(child, ast.For | ast.AsyncFor | ast.Return)
            total += bool(getattr(child, "finalbody", []))
            total += len(getattr(child, "handlers", [])) > 1
            total += 0 if isinstance(child, Loop) else count_clauses(child)
            total += 0 if isinstance(child, ast.ClassDef) else count_statements(child)
    return total


def count_branches(node: ast.AST) -> int:
    """Count branches as ruff does, without those of nested functions and classes."""
    total = isinstance(node, ast.If | Loop | Clause) + count_clauses(node)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Definition | ast.ClassDef | ast.expr):
            total += count_branches(child)
    return total


def parameters_of(function: Definition) -> list[ast.arg]:
    """Return the parameters that ruff counts: no dummies, none where another signature decides."""
    if any(name_of(mark) in ("overload", "override") for mark in function.decorator_list):
        return []
    arguments = function.args
    parameters = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
    return [parameter for parameter in parameters if not UNCOUNTED.fullmatch(parameter.arg)]


def name_of(node: ast.AST | None) -> str:
    """Return the last word of a name such as `typing.Any`, and '' for anything else."""
    return getattr(node, "attr", "") or getattr(node, "id", "")


def bound_name(node: ast.AST) -> str | None:
    """Return the name that a node binds."""
    match node:
        case ast.Name(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()):
            return name_of(node)
        case ast.arg(arg=name):
            return name
    return getattr(node, "asname", None) or getattr(node, "name", None)


def feature_of(node: ast.AST) -> str | None:
    """Return under which of the RATES a node is counted."""
    match node:
        case ast.Assign(targets=[*_, ast.Tuple()], value=ast.Tuple()):
            return "a, b = x, y"
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return "comprehensions"
        case ast.IfExp():
            return "conditionals"
        case ast.NamedExpr():
            return "walrus"
        case ast.Subscript(slice=ast.Constant(value=str())):
            return "string keys"
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str()), *_]):
            return "string keys"
        case ast.ExceptHandler(type=None | ast.Name(id="Exception" | "BaseException")):
            return "broad except"
    return None


def count_untyped_dicts(node: ast.AST) -> int:
    """Count `dict[..., Any]` in a node itself, and dicts without brackets in its annotations."""
    match node:
        case ast.Subscript(value=kind, slice=ast.Tuple(elts=[_, value])):
            return name_of(kind) in DICTS and name_of(value) in ("Any", "object")
    total = 0
    for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
        parts = list(ast.walk(annotation)) if annotation else []
        total += sum(name_of(part) in DICTS for part in parts)
        total -= sum(name_of(getattr(part, "value", None)) in DICTS for part in parts)
    return total


def quantiles(sizes: list[int], *shares: float) -> str:
    """Return the sizes at these shares of the ordered sizes."""
    ordered = [*sorted(sizes), max(sizes, default=0)]
    return " / ".join(str(ordered[int(share * len(sizes))]) for share in shares)


def figures(code: Code) -> dict[str, str]:
    """Return the figures of a checkout, each under its label."""
    wide = [len(line.rstrip("\n")) > 100 for line in code.lines if line.strip()]
    features = Counter(map(feature_of, code.nodes))
    thousands = max(len(code.lines), 1) / 1000
    classes = Counter(node.name for node in code.nodes if isinstance(node, ast.ClassDef))
    docstrings = [str(node.value) for node in docstrings_of(code.nodes)]
    signatures = list(map(parameters_of, code.functions))
    typed = [bool(each.annotation) for each in chain.from_iterable(signatures)]
    statements = map(count_statements, code.functions)
    branches = map(count_branches, code.functions)
    return {
        "lines": str(len(code.lines)),
        "lines of code": str(code.code_lines),
        "files": str(len(code.sizes)),
        "files over 300 lines": str(sum(size > 300 for size in code.sizes)),
        "tokens on a line of code": f"{code.code_tokens / max(code.code_lines, 1):.1f}",
        "lines over 100 columns, %": f"{100 * fmean(wide or [False]):.1f}",
        "# fmt: skip": str(code.skips),
        **{f"{name} per 1,000": f"{features[name] / thousands:.1f}" for name in RATES},
        "class names defined twice": str(sum(count > 1 for count in classes.values())),
        "docstrings that begin as fragments": str(sum(map(bool, map(FRAGMENTS.match, docstrings)))),
        "names of speech": str(sum(bound_name(node) in SPEECH for node in code.nodes)),
        "untyped dicts": str(sum(map(count_untyped_dicts, code.nodes))),
        "functions: tokens median / p90 / p99": quantiles(code.function_tokens, 0.5, 0.9, 0.99),
        "functions: lines median / p90 / max": quantiles(code.function_lines, 0.5, 0.9, 1),
        "functions over 30 statements": str(sum(count > 30 for count in statements)),
        "functions over 10 branches": str(sum(count > 10 for count in branches)),
        "functions over 5 parameters": str(sum(len(each) > 5 for each in signatures)),
        "parameters typed, %": f"{100 * fmean(typed or [False]):.1f}",
    }


def find_files(folder: Path, with_tests: bool, left_out: set[str]) -> Iterator[Path]:
    """Yield the Python files below a folder, but for names left out directly in it."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in left_out or path.is_symlink():
            continue
        if path.is_dir() and not (path / "pyvenv.cfg").exists():
            if with_tests or path.name not in ("tests", "test"):
                yield from find_files(path, with_tests, set())
        elif path.suffix == ".py" and (with_tests or not TEST_FILE.fullmatch(path.name)):
            yield path


def measure(folder: Path, with_tests: bool = False) -> dict[str, str]:
    """Return the figures of a checkout, and name on stderr the files that do not parse."""
    code = Code()
    left_out = NO_PRODUCT if with_tests else {*NO_PRODUCT, "benchmarks"}
    for path in find_files(folder, with_tests, left_out):
        try:
            with tokenize.open(path) as file:
                code.add(file.read())
        except (SyntaxError, ValueError, tokenize.TokenError) as error:
            print(f"{path} is left out: {error}", file=sys.stderr)
    return figures(code)


def render(columns: list[dict[str, str]]) -> str:
    """Return the lines of a table with a column for each checkout."""
    lines = []
    for label in columns[0]:
        cells = [label.ljust(36), *(column[label].rjust(15) for column in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, in Markdown, for the checkouts that the command line names."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="count tests and benchmarks too")
    parser.add_argument("checkouts", nargs="*", metavar="[NAME=]DIR")
    arguments = parser.parse_args()
    columns = []
    for checkout in arguments.checkouts or [str(Path(__file__).resolve().parent.parent)]:
        name, _, folder = checkout.rpartition("=")
        if not Path(folder).is_dir():
            parser.error(f"{folder} is no folder")
        head = {"": name or Path(folder).resolve().name, "---": "--:"}
        columns.append(head | measure(Path(folder), arguments.all))
    print(render(columns))


if __name__ == "__main__":
    main()
