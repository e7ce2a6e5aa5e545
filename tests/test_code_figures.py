"""These tests hold the figures of code_figures.py against a source that was counted by hand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.code_figures import (
    Code,
    count_branches,
    count_statements,
    figures,
    measure,
    parameters_of,
    render,
)

SOURCE = '''"""The same.

Two lines more, which are no code.
"""

# A comment is no code.
from typing import Any


class Box:
    """A Box holds things."""

    said: dict[str, Any]

    def open(self, key, *keys, wide: bool = False) -> dict:
        """of small letters"""
        made, size = 1, 2  # fmt: skip
        if (lid := self.said["lid"]) and self.said.get("k"):
            return {one: f"{lid} {size}" for one in keys}
        try:
            return key if wide else made
        except Exception:
            pass
'''

NESTED = """
def whole(self, first, _second, *rest, last):
    if first:
        pass
    elif last:
        pass
    else:
        if rest:
            pass
    for item in rest:
        with item:
            break
    else:
        pass
    while last:
        pass
    try:
        pass
    except ValueError:
        pass
    except KeyError:
        pass
    else:
        pass
    finally:
        pass

    def inner():
        if last:
            return

    class Inner:
        def method(self):
            pass

    match first:
        case 1:
            return 1
        case _:
            pass
"""


def read(*texts: str) -> dict[str, str]:
    """Return the figures of these files."""
    code = Code()
    for text in texts:
        code.add(text)
    return figures(code)


def test_a_source_has_the_figures_that_were_counted_by_hand() -> None:
    lines = 23
    assert read(SOURCE) == {
        "lines": str(lines),
        "lines of code": "11",
        "files": "1",
        "files over 300 lines": "0",
        "tokens on a line of code": f"{84 / 11:.1f}",
        "lines over 100 columns, %": "0.0",
        "# fmt: skip": "1",
        "a, b = x, y per 1,000": f"{1000 / lines:.1f}",
        "comprehensions per 1,000": f"{1000 / lines:.1f}",
        "conditionals per 1,000": f"{1000 / lines:.1f}",
        "walrus per 1,000": f"{1000 / lines:.1f}",
        "string keys per 1,000": f"{2000 / lines:.1f}",
        "broad except per 1,000": f"{1000 / lines:.1f}",
        "class names defined twice": "0",
        "docstrings that begin as fragments": "2",
        "names of speech": "3",
        "untyped dicts": "2",
        "functions: tokens median / p90 / p99": "70 / 70 / 70",
        "functions: lines median / p90 / max": "9 / 9 / 9",
        "functions over 30 statements": "0",
        "functions over 10 branches": "0",
        "functions over 5 parameters": "0",
        "parameters typed, %": "50.0",
    }


def test_statements_branches_and_parameters_are_counted_as_ruff_counts_them() -> None:
    function = ast.parse(NESTED).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert count_statements(function) == 31
    assert count_branches(function) == 13
    assert [parameter.arg for parameter in parameters_of(function)] == ["first", "last"]


def test_what_is_over_a_limit_counts_once() -> None:
    long_file = "class Twice:\n    pass\n" + "\n" * 300
    wide_signature = "class Twice:\n    def new(self, a, b, c, d, e, f): pass\n"
    counted = read(long_file, wide_signature, NESTED)
    assert counted["files"] == "3"
    assert counted["files over 300 lines"] == "1"
    assert counted["class names defined twice"] == "1"
    assert counted["functions over 30 statements"] == "1"
    assert counted["functions over 10 branches"] == "1"
    assert counted["functions over 5 parameters"] == "1"


def test_an_f_string_is_one_token() -> None:
    assert read('f"{a:{b}} {c!r} {d}"\n')["tokens on a line of code"] == "1.0"
    assert read('f"""{a}\n{b}"""\n')["lines of code"] == "2"


def test_tests_benchmarks_and_environments_are_no_product_code(tmp_path: Path) -> None:
    for name in (
        "product.py",
        "package/runs/product.py",
        "tests/helper.py",
        "package/test_it.py",
        "benchmarks/speed.py",
        "docs/conf.py",
        "runs/main.py",
        ".hidden/tool.py",
        "environment/library.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    (tmp_path / "environment" / "pyvenv.cfg").touch()
    assert measure(tmp_path)["files"] == "2"
    assert measure(tmp_path, with_tests=True)["files"] == "5"


def test_a_file_that_does_not_parse_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text("x = (\n")
    (tmp_path / "whole.py").write_text("x = 1\n")
    assert measure(tmp_path)["files"] == "1"
    assert "broken.py is left out" in capsys.readouterr().err


def test_a_folder_without_code_has_figures_of_nothing(tmp_path: Path) -> None:
    counted = measure(tmp_path)
    assert counted["lines"] == "0"
    assert counted["functions: lines median / p90 / max"] == "0 / 0 / 0"


def test_checkouts_stand_side_by_side() -> None:
    table = render([{"": "first", "files": "1"}, {"": "second", "files": "2"}])
    heading, row = table.splitlines()
    assert heading.split() == ["|", "|", "first", "|", "second", "|"]
    assert row.split() == ["|", "files", "|", "1", "|", "2", "|"]
