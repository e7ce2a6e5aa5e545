"""requirements.txt as the coder left it, untrusted text -> the packages that it adds to the scaffold's, or what is wrong.

A name that is not in the scaffold's environment must be on a list: models invent names, and others register them. The
scaffold's own lines stay as they are, for protocol.py needs them.
Not covered: environment markers, extras, hashes; what a package on the list itself depends on, which comes with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

MAX_BYTES, MAX_LINES, MAX_LINE = 2**15, 30, 200  # lines: that the coder added; characters of one
# Nothing here brings data or trained weights, which the guard would refuse (a test compares them).
PACKAGES = (
    "einops",
    "entmax",
    "geotorch",
    "gpytorch",
    "kornia",
    "lion-pytorch",
    "numba",
    "numpy",
    "opt-einsum",
    "pot",
    "ptwt",
    "pytorch-msssim",
    "pytorch-wavelets",
    "pywavelets",
    "schedulefree",
    "scikit-learn",
    "scipy",
    "torch-dct",
    "torch-geometric",
    "torchdiffeq",
    "torchinfo",
    "torchmetrics",
    "torchsde",
)
FOR_OPEN = (
    "matplotlib",
    "pandas",
    "scikit-image",
    "seaborn",
    "timm",
    "tqdm",
    "transformers",
)  # open scaffolds do what they like

NOTABLE = frozenset(
    {*PACKAGES, *FOR_OPEN, "torch", "torchvision", "pytorch-lightning"}
)  # the coder is told which of these are there


@dataclass(frozen=True)
class RequirementPolicy:
    """What a requirements.txt is held against."""

    own: str  # the scaffold's requirements.txt
    installed: Mapping[str, str]  # name -> version of what the baseline runs with
    addable: frozenset[str]
    fixed: bool  # the user's own interpreter: nothing is installed


@dataclass(frozen=True)
class Additions:
    """What is to be installed: lines for uv, in order; or why not, for the coder."""

    lines: tuple[str, ...] = ()
    problem: str = ""


def addable(scaffold_is_open: bool, allowed: Sequence[str]) -> frozenset[str]:
    """The names that a coder may add: well-known ones, and those that the user allows."""
    return frozenset(
        {*PACKAGES, *(FOR_OPEN if scaffold_is_open else ()), *map(canonicalize_name, allowed)}
    )


def read(data: bytes | None, rules: RequirementPolicy) -> Additions:
    """data: of the file; None where it is not a plain file."""
    if data is None:
        return Additions(problem="requirements.txt is not a plain file.")
    if len(data) > MAX_BYTES:
        return Additions(problem=f"requirements.txt is longer than {MAX_BYTES} bytes.")
    own, numbered = (
        _lines(rules.own),
        list(enumerate(data.decode("utf-8", "replace").splitlines(), 1)),
    )
    there = {_bare(line) for _, line in numbered}
    problems = [
        f"`{line}` is missing: the lines of the baseline stay as they are"
        for line in own
        if line not in there
    ]
    added = [
        (number, line) for number, text in numbered if (line := _bare(text)) and line not in own
    ]
    if len(added) > MAX_LINES:
        return Additions(
            problem=f"requirements.txt adds {len(added)} lines, more than {MAX_LINES}."
        )
    wanted = set()
    for number, line in added:
        found, problem = _judge(line, rules)
        if problem:
            problems.append(f"line {number}, `{line[:MAX_LINE]}`: {problem}")
        elif found:
            wanted.add(found)
    return (
        Additions(problem="\n".join(f"- {problem}" for problem in problems[:5]))
        if problems
        else Additions(tuple(sorted(wanted)))
    )


def _judge(line: str, rules: RequirementPolicy) -> tuple[str, str]:
    """(what to install, '' where nothing need be; what is wrong)."""
    if len(line) > MAX_LINE:
        return "", f"is longer than {MAX_LINE} characters"
    if line.startswith("-"):
        return "", "options are not read. Write names only, as in `einops` or `einops>=0.8`"
    if (
        "://" in line
        or "@" in line
        or line.startswith((".", "/", "~"))
        or line.endswith((".whl", ".zip", ".gz"))
    ):
        return "", "addresses and paths are not read. Write the package's name"
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return (
            "",
            "cannot be read. Write a name and perhaps versions, as in `einops` or `einops>=0.8,<0.9`",
        )
    if (
        requirement.extras
        or requirement.marker
        or any(part.operator == "===" for part in requirement.specifier)
    ):
        return (
            "",
            "extras, conditions and `===` are not read. Write a name and perhaps versions, as in `einops>=0.8`",
        )
    return _allowed(requirement, rules)


def _allowed(requirement: Requirement, rules: RequirementPolicy) -> tuple[str, str]:
    name = canonicalize_name(requirement.name)
    if version := rules.installed.get(name):
        if requirement.specifier.contains(version, prereleases=True):
            return "", ""  # it is there
        return (
            "",
            f"{name} {version} is installed, which the baseline runs with, and stays. Take the line out",
        )
    if rules.fixed:
        return (
            "",
            f"{name} is not there, and nothing is installed into the interpreter of these runs. Do without it",
        )
    if name not in rules.addable:
        return (
            "",
            f"{name} is not among the packages that may be added. Do without it, or use one of {', '.join(sorted(rules.addable))}",
        )
    return f"{name}{requirement.specifier}", ""


def _lines(text: str) -> list[str]:
    return [line for line in map(_bare, text.splitlines()) if line]


def _bare(line: str) -> str:
    """Without its comment, as pip reads it."""
    line = line.strip()
    return "" if line.startswith("#") else line.split(" #")[0].strip()
