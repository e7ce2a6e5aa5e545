"""The packages that a coder adds to requirements.txt, untrusted text; or what is wrong with it.

A name that is not in the scaffold's environment must be on a list: models invent names, and others
register them. The scaffold's own lines stay as they are, for protocol.py needs them.
Not covered: environment markers, extras, hashes; what a package on the list itself depends on,
which comes with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

MAX_BYTES = 2**15
MAX_LINES = 30  # that the coder added
MAX_LINE = 200  # characters
MAX_PROBLEMS = 5  # that the coder reads at once
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
# Open scaffolds do what they like.
FOR_OPEN = (
    "matplotlib",
    "pandas",
    "scikit-image",
    "seaborn",
    "timm",
    "tqdm",
    "transformers",
)
# The coder is told which of these are there.
NOTABLE = frozenset({*PACKAGES, *FOR_OPEN, "torch", "torchvision", "pytorch-lightning"})


@dataclass(frozen=True)
class RequirementPolicy:
    """The rules that a requirements.txt is held against."""

    own: str  # the scaffold's requirements.txt
    installed: Mapping[str, str]  # name -> version of what the baseline runs with
    addable: frozenset[str]
    fixed: bool  # the user's own interpreter: nothing is installed


@dataclass(frozen=True)
class Additions:
    """The lines to install, in order; or why nothing is installed, for the coder."""

    lines: tuple[str, ...] = ()  # as uv reads them
    problem: str = ""


def addable(scaffold_is_open: bool, allowed: Sequence[str]) -> frozenset[str]:
    """Return the names that a coder may add: well-known ones, and those that the user allows."""
    names = {*PACKAGES, *map(canonicalize_name, allowed)}
    if scaffold_is_open:
        names |= set(FOR_OPEN)
    return frozenset(names)


def read(data: bytes | None, rules: RequirementPolicy) -> Additions:
    """Return what a requirements.txt adds. data: its bytes, None where it is not a plain file."""
    if data is None:
        return Additions(problem="requirements.txt is not a plain file.")
    if len(data) > MAX_BYTES:
        return Additions(problem=f"requirements.txt is longer than {MAX_BYTES} bytes.")
    own = list(filter(None, map(_bare, rules.own.splitlines())))
    lines = list(map(_bare, data.decode("utf-8", "replace").splitlines()))
    problems = []
    for line in own:
        if line not in lines:
            problems.append(f"`{line}` is missing: the lines of the baseline stay as they are")
    added = [(number, line) for number, line in enumerate(lines, 1) if line and line not in own]
    if len(added) > MAX_LINES:
        problem = f"requirements.txt adds {len(added)} lines, more than {MAX_LINES}."
        return Additions(problem=problem)
    wanted = set()
    for number, line in added:
        package, problem = _judge(line, rules)
        if problem:
            problems.append(f"line {number}, `{line[:MAX_LINE]}`: {problem}")
        elif package:
            wanted.add(package)
    if problems:
        listed = [f"- {problem}" for problem in problems[:MAX_PROBLEMS]]
        return Additions(problem="\n".join(listed))
    return Additions(tuple(sorted(wanted)))


def _judge(line: str, rules: RequirementPolicy) -> tuple[str, str]:
    """Return (what to install, what is wrong with the line).

    Both are '' where it is there already.
    """
    if len(line) > MAX_LINE:
        return "", f"is longer than {MAX_LINE} characters"
    if line.startswith("-"):
        return "", "options are not read. Write names only, as in `einops` or `einops>=0.8`"
    if _is_address(line):
        return "", "addresses and paths are not read. Write the package's name"
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        advice = "Write a name and perhaps versions, as in `einops` or `einops>=0.8,<0.9`"
        return "", f"cannot be read. {advice}"
    exact = any(part.operator == "===" for part in requirement.specifier)
    if requirement.extras or requirement.marker or exact:
        advice = "Write a name and perhaps versions, as in `einops>=0.8`"
        return "", f"extras, conditions and `===` are not read. {advice}"
    return _allowed(requirement, rules)


def _is_address(line: str) -> bool:
    marked = "://" in line or "@" in line
    return marked or line.startswith((".", "/", "~")) or line.endswith((".whl", ".zip", ".gz"))


def _allowed(requirement: Requirement, rules: RequirementPolicy) -> tuple[str, str]:
    name = canonicalize_name(requirement.name)
    version = rules.installed.get(name)
    if version:
        if requirement.specifier.contains(version, prereleases=True):
            return "", ""  # it is there
        stays = "is installed, which the baseline runs with, and stays. Take the line out"
        return "", f"{name} {version} {stays}"
    if rules.fixed:
        nothing = "nothing is installed into the interpreter of these runs. Do without it"
        return "", f"{name} is not there, and {nothing}"
    if name not in rules.addable:
        others = ", ".join(sorted(rules.addable))
        return "", (
            f"{name} is not among the packages that may be added. "
            f"Do without it, or use one of {others}"
        )
    return f"{name}{requirement.specifier}", ""


def _bare(line: str) -> str:
    """Return the line without its comment, as pip reads it."""
    line = line.strip()
    return "" if line.startswith("#") else line.split(" #")[0].strip()
