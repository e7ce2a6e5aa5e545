"""The rooms keep their shape: directions of imports, sizes of files, names, first sentences."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.code_figures import measure
from tests.conftest import REPOSITORY

AGENT = REPOSITORY / "agent"
LINES_OF_A_FILE = 300

# For each contract in pyproject.toml: a file of agent/, and an import that breaks it there.
VIOLATIONS = {
    "floors": ("archive/paths.py", "import agent.verdict.decide"),
    "report-reads-archives": ("report/summary.py", "import agent.experiment.loop"),
    "inside": ("execution/sandbox/inside/watchdog.py", "import psutil"),
    "import-hook": ("execution/environment/import_hook.py", "import agent.util.files"),
    "aider": ("coder/aider.py", "import aider"),
    "torch": ("execution/training.py", "import torch"),
    "screen": ("queue/scheduler.py", "from rich.console import Console"),
    "review-is-quick": ("util/text.py", "import numpy"),
}
SIDEWAYS = {
    "gate knows verdict": ("gate/checks.py", "import agent.verdict.decide"),
    "queue knows report": ("queue/scheduler.py", "import agent.report.summary"),
    "coder knows execution": ("coder/base.py", "import agent.execution.request"),
}


def contracts() -> list[str]:
    """The ids of all contracts, as pyproject.toml lists them."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[tool.importlinter]")[1]
    return [line.split('"')[1] for line in section.splitlines() if line.startswith("id = ")]


def lint_imports(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the copy of the code in a folder."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what import-linter reads, to be broken."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(AGENT, tmp_path / "agent", ignore=ignored)
    (tmp_path / "tests").mkdir()
    shutil.copy(REPOSITORY / "tests" / "contracts.py", tmp_path / "tests")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def plant(copy: Path, file: str, line: str) -> None:
    """Append an import to a file of the copy."""
    path = copy / "agent" / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")


def test_all_contracts_on_imports_are_kept(copy: Path):
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout
    assert f"{len(contracts())} kept, 0 broken" in done.stdout


def test_every_contract_has_a_violation_that_is_planted_here():
    assert sorted(contracts()) == sorted(VIOLATIONS)


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_an_import_that_breaks_a_contract_is_found(copy: Path, contract: str):
    plant(copy, *VIOLATIONS[contract])
    done = lint_imports(copy, "--contract", contract)
    assert done.returncode == 1, done.stdout
    assert "0 kept, 1 broken" in done.stdout


@pytest.mark.parametrize("what", SIDEWAYS)
def test_the_two_rooms_of_a_floor_do_not_know_each_other(copy: Path, what: str):
    plant(copy, *SIDEWAYS[what])
    done = lint_imports(copy, "--contract", "floors")
    assert done.returncode == 1, done.stdout


def test_a_room_that_no_floor_names_is_found(copy: Path):
    (copy / "agent" / "attic").mkdir()
    (copy / "agent" / "attic" / "__init__.py").write_text("")
    done = lint_imports(copy, "--contract", "floors")
    assert done.returncode == 1, done.stdout
    assert "attic" in done.stdout


def modules() -> Iterator[Path]:
    """Every file of Assay's own code."""
    yield from sorted(AGENT.rglob("*.py"))
    yield from sorted((REPOSITORY / "scaffold").glob("*.py"))
    yield REPOSITORY / "launch.py"


def test_no_file_is_longer_than_three_hundred_lines():
    files = [*modules(), *(REPOSITORY / "benchmarks").glob("*.py")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = [
        f"{path.name}: {length}" for path, length in lengths.items() if length > LINES_OF_A_FILE
    ]
    assert long == []


def test_every_room_says_what_belongs_there():
    for init in AGENT.rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
        assert len(text) > 40 and text.endswith("."), init


def test_the_folders_of_tests_are_rooms():
    folders = {path.parent.name for path in (REPOSITORY / "tests").glob("*/test_*.py")}
    rooms = {path.parent.name for path in AGENT.glob("*/__init__.py")}
    assert folders <= rooms


def test_figures_of_style_that_only_fall():
    """What a script can see of the rules of style. The tables of system calls are not formatted."""
    figures = measure(REPOSITORY)
    assert figures["class names defined twice"] == "0"
    assert figures["names of speech"] == "0"
    assert figures["docstrings that begin as fragments"] == "0"
    assert figures["# fmt: skip"] == "4"
    assert figures["functions over 30 statements"] == "0"
    assert figures["functions over 10 branches"] == "0"


def public_definitions(path: Path) -> Iterator[ast.AST]:
    """The module, its public classes and functions, and their public methods."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield tree
    places: list[ast.AST] = [tree]
    while places:
        for node in ast.iter_child_nodes(places.pop()):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    places.append(node)


def test_everything_public_has_a_docstring_that_begins_with_a_whole_sentence():
    lacking = list[str]()
    for path in modules():
        if path == REPOSITORY / "scaffold" / "main.py":
            continue  # its class is what the coder edits
        for node in public_definitions(path):
            text = ast.get_docstring(node) or ""
            first = text.split("\n\n")[0]
            if (
                not first
                or first[0].islower()
                or not first.rstrip("`\"'").endswith((".", ":", "?"))
            ):
                lacking.append(f"{path.relative_to(REPOSITORY)}: {getattr(node, 'name', 'module')}")
    assert lacking == []
