"""What a coder's requirements.txt adds to the base environment: a folder of wheels beside it, last on the path of a run.

The base is never changed, and its versions are constraints: idea, control and baseline compute with the same torch. The
folder is found again by the hash of the base and of the lines; a half-built one never is, for its record is written last.

Nothing of an added package runs outside the sandbox: not while it is installed (wheels only), nor in the warm server, which
does not have the folder on its path (agent/execution/environment/import_hook.py). Its .pth files, sitecustomize and entry points lie where nothing reads
them at start, and it comes after the standard library and the base, so it cannot shadow either.
What stays uncovered: inside the sandbox it has a run's rights, and may change PyTorch for that run in both arms; packages that
need a .pth file of their own do not work; whoever controls the index controls the wheels (no hashes are pinned); while runs are
not confined, a program with the user's rights can change what lies in the folder.

A file that cannot be resolved is the coder's to mend, if the index still answers for a package that every index has. All else,
a damaged wheel included, is a Fault: it says nothing about the code.
"""

from __future__ import annotations

import hashlib
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
    """base with these packages, installed on first need; or what is wrong with them, for the coder.

    lines: as requirements.read() gives them; a package that base has is not among them.
    """
    if not lines:
        return base, ""
    folder = _folder(base, lines)
    with locked(folder.with_name(f"{folder.name}.lock"), wait=True):  # who waited finds it built
        if not (folder / RECORD).is_file():
            announce(f"installing {', '.join(lines)}")
            check_room(folder, NEEDED_BYTES)
            until = time.monotonic() + ADD_SECONDS
            pins, problem = _resolve(base, folder, lines, until)
            if problem:
                return None, problem
            _install(base, folder, lines, pins, until)
    return _load(base, folder), ""


def restore(
    base: Environment, record: dict[str, Any], announce: Callable[[str], None]
) -> Environment:
    """The environment that a run folder's environment.json tells of: the recorded versions of what was added, on this base."""
    added: dict[str, str] = record["added"]
    if base.fixed:
        if missing := [
            f"{name}=={version}" for name, version in added.items() if name not in base.packages
        ]:
            raise UserError(
                f"--python {base.python}: lacks {', '.join(missing)}, which the code was run with"
            )
        return base
    if not added:
        return base
    folder = _additions(base) / record["key"]
    if (folder / RECORD).is_file() and (found := _load(base, folder)).record() == record:
        return found
    pins = tuple(
        sorted(f"{name}=={version}" for name, version in added.items() if name not in base.packages)
    )
    environment, problem = add(base, pins, announce)
    if environment is None:
        raise Fault("environment", f"the recorded packages cannot be installed any more: {problem}")
    return environment


def _additions(base: Environment) -> Path:
    """Beside the interpreter: whoever may read that may read these."""
    return base.python.parent.parent / "additions"


def _folder(base: Environment, lines: tuple[str, ...]) -> Path:
    digest = hashlib.sha256(
        json.dumps([base.packages, sorted(lines)], sort_keys=True).encode()
    ).hexdigest()
    return _additions(base) / digest[:12]


def _load(base: Environment, folder: Path) -> Environment:
    record = read_json(folder / RECORD)
    added: dict[str, str] = record["packages"]
    if both := added.keys() & base.packages.keys():  # one version for both arms, by construction
        raise AssertionError(
            f"{folder} holds {', '.join(sorted(both))}, which the base environment has"
        )
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
    """The exact versions to install, dependencies included; or what is wrong with the lines."""
    write_text(
        constraints := folder / "base.txt",
        "".join(f"{name}=={version}\n" for name, version in base.packages.items()),
    )
    done = _compile(base, "\n".join(lines), until, "--constraints", str(constraints))
    if done.code and UNSOLVABLE in done.err:
        _compile(base, KNOWN, until, "--no-deps", "--no-cache").or_fault(
            f"asking the package index for {KNOWN}"
        )
        return (
            [],
            f"{_told(done.err)}\nOnly wheels are installed, and what the baseline runs with keeps its version.",
        )
    pins = done.or_fault(f"resolving {', '.join(lines)}").split()
    return [pin for pin in pins if pin.partition("==")[0] not in base.packages], ""


def _compile(base: Environment, given: str, until: float, *more: str) -> UvResult:
    return uv(
        "pip",
        "compile",
        "-",
        *WHEELS,
        "--no-header",
        "--no-annotate",
        "--python",
        str(base.python),
        *more,
        seconds=until - time.monotonic(),
        given=given,
    )


def _install(
    base: Environment, folder: Path, lines: tuple[str, ...], pins: list[str], until: float
) -> None:
    with disk_faults(folder):
        for left in folder.glob("site-*"):  # of a killed process
            shutil.rmtree(left, ignore_errors=True)
        site = Path(
            tempfile.mkdtemp(prefix="site-", dir=folder)
        )  # its uv may still be writing there, so never the same
    # Copies: through a link, a program that is not confined could change uv's cache for everybody.
    uv(
        "pip",
        "install",
        *WHEELS,
        "--no-deps",
        "--compile-bytecode",
        "--link-mode",
        "copy",
        "--python",
        str(base.python),
        "--target",
        str(site),
        *pins,
        seconds=until - time.monotonic(),
    ).or_fault(f"installing {', '.join(pins)}")
    packages = {
        canonicalize_name(found.metadata["Name"]): found.version
        for found in distributions(path=[str(site)])
    }
    write_json(folder / RECORD, {"lines": lines, "site": site.name, "packages": packages})


def _told(message: str) -> str:
    """What uv says, without its layout, addresses and paths."""
    text = clean(message)
    text = (
        " ".join(text[text.find("Because") :].replace("cause:", " ").split())
        if "Because" in text
        else " ".join(text.split())
    )
    text = re.sub(r"\w+://\S+|(?<![\w.])[/~][\w./~+-]+", "[...]", text)
    return bound(text, characters=1500)
