"""The folder of wheels beside the base environment that a coder's requirements.txt asks for.

It comes last on the path of a run. The base is never changed, and its versions are constraints:
idea, control and baseline compute with the same torch. The folder is found again by the hash of the
base and of the lines; a half-built one never is, for its record is written last.

Nothing of an added package runs outside the sandbox: not while it is installed (wheels only), nor
in the warm server, which does not have the folder on its path
(agent/execution/environment/import_hook.py). Its .pth files, sitecustomize and entry points lie
where nothing reads them at start, and it comes after the standard library and the base, so it
cannot shadow either.
What stays uncovered: inside the sandbox it has a run's rights, and may change PyTorch for that run
in both arms; packages that need a .pth file of their own do not work; whoever controls the index
controls the wheels (no hashes are pinned); while runs are not confined, a program with the user's
rights can change what lies in the folder.

A file that cannot be resolved is the coder's to mend, if the index still answers for a package that
every index has. All else, a damaged wheel included, is a Fault: it says nothing about the code.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from agent.execution.environment.base import RECORD, Environment
from agent.execution.environment.uv import UvResult, check_room, uv
from agent.util.errors import Fault, UserError
from agent.util.files import disk_faults, read_json, write_json, write_text
from agent.util.hashes import short_hash
from agent.util.locks import locked
from agent.util.text import bound, clean

ADD_SECONDS = 900.0  # for resolving and installing together
NEEDED_BYTES = 2 * 2**30
KNOWN = "typing-extensions"  # torch needs it, so an index without it is not one
WHEELS = ("--quiet", "--only-binary", ":all:")
UNSOLVABLE = "No solution found"  # uv's words, for what no other index or another day would mend


def add(
    base: Environment, lines: tuple[str, ...], announce: Callable[[str], None]
) -> tuple[Environment | None, str]:
    """Return base with these packages, installed on first need; or what is wrong, for the coder.

    lines: as requirements.read() gives them; a package that base has is not among them.
    """
    if not lines:
        return base, ""
    folder = _folder(base, lines)
    with locked(folder.with_name(f"{folder.name}.lock"), wait=True):
        if not (folder / RECORD).is_file():  # by the process that was waited for
            announce(f"installing {', '.join(lines)}")
            check_room(folder, NEEDED_BYTES)
            until = time.monotonic() + ADD_SECONDS
            pins, problem = _resolve(base, folder, lines, until)
            if problem:
                return None, problem
            site = _install(base, folder, pins, until)
            record = {
                "lines": lines,
                "site": site.name,
                "packages": _packages(site),
            }
            write_json(folder / RECORD, record)
    return _load(base, folder), ""


def restore(
    base: Environment, record: dict[str, Any], announce: Callable[[str], None]
) -> Environment:
    """Return the environment that a run folder's environment.json tells of.

    It is this base with the recorded versions of what was added.
    """
    added: dict[str, str] = record["added"]
    missing = [f"{name}=={version}" for name, version in added.items() if name not in base.packages]
    if base.fixed:
        if missing:
            lacks = f"lacks {', '.join(missing)}, which the code was run with"
            raise UserError(f"--python {base.python}: {lacks}")
        return base
    if not added:
        return base
    folder = _additions(base) / record["key"]
    if (folder / RECORD).is_file():
        recorded = _load(base, folder)
        if recorded.record() == record:
            return recorded
    environment, problem = add(base, tuple(sorted(missing)), announce)
    if environment is None:
        raise Fault("environment", f"the recorded packages cannot be installed any more: {problem}")
    return environment


def _additions(base: Environment) -> Path:
    """Return the folder of all additions, which can be read by who can read the interpreter."""
    return base.python.parent.parent / "additions"


def _folder(base: Environment, lines: tuple[str, ...]) -> Path:
    parts = json.dumps([base.packages, sorted(lines)], sort_keys=True)
    return _additions(base) / short_hash(parts, 12)


def _load(base: Environment, folder: Path) -> Environment:
    record = read_json(folder / RECORD)
    added: dict[str, str] = record["packages"]
    both = ", ".join(sorted(added.keys() & base.packages.keys()))
    if both:  # one version for both arms, by construction
        raise AssertionError(f"{folder} holds {both}, which the base environment has")
    return replace(
        base,
        key=folder.name,
        packages=base.packages | added,
        folder=folder / record["site"],
        added=tuple(sorted(added)),
    )


def _resolve(
    base: Environment, folder: Path, lines: tuple[str, ...], until: float
) -> tuple[list[str], str]:
    """Return the exact versions to install, dependencies included; or what is wrong with lines."""
    constraints = folder / "base.txt"
    pinned = [f"{name}=={version}\n" for name, version in base.packages.items()]
    write_text(constraints, "".join(pinned))
    resolved = _compile(base, lines, ("--constraints", str(constraints)), until)
    if resolved.code and UNSOLVABLE in resolved.err:
        known = _compile(base, (KNOWN,), ("--no-deps", "--no-cache"), until)
        known.or_fault(f"asking the package index for {KNOWN}")
        rule = "Only wheels are installed, and what the baseline runs with keeps its version."
        return [], f"{_reason(resolved.err)}\n{rule}"
    pins = resolved.or_fault(f"resolving {', '.join(lines)}").split()
    new = [pin for pin in pins if pin.partition("==")[0] not in base.packages]
    return new, ""


def _compile(
    base: Environment, lines: tuple[str, ...], options: tuple[str, ...], until: float
) -> UvResult:
    command = [
        "pip",
        "compile",
        "-",
        *WHEELS,
        "--no-header",
        "--no-annotate",
        "--python",
        str(base.python),
        *options,
    ]
    return uv(*command, seconds=until - time.monotonic(), given="\n".join(lines))


def _install(base: Environment, folder: Path, pins: list[str], until: float) -> Path:
    """Install into a new folder and return it."""
    with disk_faults(folder):
        for left_over in folder.glob("site-*"):  # of a killed process
            shutil.rmtree(left_over, ignore_errors=True)
        # That one's uv may still be writing there, so never the same.
        site = Path(tempfile.mkdtemp(prefix="site-", dir=folder))
    command = [
        "pip",
        "install",
        *WHEELS,
        "--no-deps",
        "--compile-bytecode",
        # Through a link, a program that is not confined could change uv's cache for everybody.
        "--link-mode",
        "copy",
        "--python",
        str(base.python),
        "--target",
        str(site),
        *pins,
    ]
    installed = uv(*command, seconds=until - time.monotonic())
    installed.or_fault(f"installing {', '.join(pins)}")
    return site


def _packages(site: Path) -> dict[str, str]:
    installed = distributions(path=[str(site)])
    packages: dict[str, str] = {}
    for package in installed:
        name = canonicalize_name(package.metadata["Name"])
        packages[name] = package.version
    return packages


def _reason(message: str) -> str:
    """Return what uv says, without its layout, addresses and paths."""
    text = clean(message)
    if "Because" in text:
        text = text[text.find("Because") :].replace("cause:", " ")
    text = " ".join(text.split())
    text = re.sub(r"\w+://\S+|(?<![\w.])[/~][\w./~+-]+", "[...]", text)
    return bound(text, characters=1500)
