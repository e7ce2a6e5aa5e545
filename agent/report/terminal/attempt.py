"""Show one attempt of an experiment close up: its diff or its logs; and the chat.

All of it is untrusted text.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Metric
from agent.report.terminal.diffs import print_diff
from agent.util.diff import diff
from agent.util.errors import Fault, UserError
from agent.util.files import read_events, read_untrusted
from agent.util.text import clean

TAIL_LINES = 100  # lines of each log that a terminal shows; a pipe gets all of it
MAX_LOG_BYTES = 2**26  # more than a run may write of each stream


def meant(archive: Archive, name: str, metric: Metric, *, best: bool) -> tuple[RunFolder, str]:
    """Return the attempt that `name` means, and why.

    2 is run_2 or, where none succeeded, the last failed attempt at it; 0 is the baseline. '' is the
    best run as the harness chooses it where best is set, else the last attempt. Raises UserError
    where there is none.
    """
    events = [event for event in read_events(archive.events) if event["event"] == "attempt"]
    names = [event["folder"] for event in events]
    if name:
        return archive.named(_named_attempt(archive, name, names)), ""
    if not names:
        raise UserError(f"{archive.folder}: nothing was attempted yet")
    values = [event["value"] for event in events if event["value"] is not None]
    if best and values:
        top = metric.best(values)
        folder = next(event["folder"] for event in events if event["value"] == top)
        return archive.named(folder), f", the best of {len(values)} on validation data"
    return archive.named(names[-1]), ", the last attempt"


def _named_attempt(archive: Archive, name: str, names: list[str]) -> str:
    folder = f"run_{name}" if name.isdecimal() else name.rstrip("/")
    if folder in ("run_0", *names):
        return folder
    failed = [attempt for attempt in names if attempt.startswith(f"{folder}.failed_")]
    if not failed:
        attempts = ", ".join(names) or "none yet"
        raise UserError(f"{archive.folder}: no attempt {name!r}; there are {attempts}")
    return failed[-1]


def show_diff(out: Console, archive: Archive, folder: RunFolder, why: str) -> None:
    """Print the diff of an attempt against the run before it, and against the scaffold.

    After a failed attempt against that one too.
    """
    if folder.folder == archive.run(0).folder:
        raise UserError("run_0 is the scaffold as it is: it has no diff")
    out.print(Text(f"{clean(folder.folder.name)}{why}", style="bold"))
    if not folder.code.is_dir():
        raise Fault("archive", f"{folder.code}: not there")
    for before in _compared_with(archive, folder):
        print_diff(out, f"since {_title(before)}:", diff(before.code, folder.code))


def _compared_with(archive: Archive, folder: RunFolder) -> list[RunFolder]:
    """Return the attempt before it, the last run before it, and the scaffold; each once."""
    names = [attempt.folder.name for attempt in archive.attempts()]
    earlier = names[: names.index(folder.folder.name)]
    runs = [name for name in earlier if ".failed_" not in name]
    chosen = dict.fromkeys([*earlier[-1:], *runs[-1:], "run_0"])
    folders = map(archive.named, chosen)
    return [before for before in folders if before.code.is_dir()]


def _title(folder: RunFolder) -> str:
    if folder.folder.name == "run_0":
        return "run_0, the scaffold"
    return clean(folder.folder.name)


def show_log(out: Console, folder: RunFolder, why: str) -> None:
    """Print what the programs of an attempt wrote, each log that holds anything.

    They are the gate's short runs, the training and the prediction.
    """
    out.print(Text(f"{clean(folder.folder.name)}{why}", style="bold"))
    logs = _logs(folder)
    silent = True
    for path in logs:
        data = read_untrusted(path, MAX_LOG_BYTES)
        if data:
            silent = False
            _print_log(out, path, _readable(data).rstrip("\n"))
    if not silent:
        return
    if any(path.is_file() for path in logs):
        out.print(Text("its programs wrote nothing"))
    else:
        out.print(Text("no program of it was run"))


def _logs(folder: RunFolder) -> list[Path]:
    control = folder.smoke("control")
    idea = folder.smoke("idea")
    return [
        control / "stdout.log",
        control / "stderr.log",
        idea / "stdout.log",
        idea / "stderr.log",
        folder.stdout,
        folder.stderr,
        folder.folder / "predict_stdout.log",
        folder.folder / "predict_stderr.log",
    ]


def _print_log(out: Console, path: Path, text: str) -> None:
    lines = text.split("\n")
    out.print(Text(f"{clean(str(path))}:", style="italic"), soft_wrap=True)
    if out.is_terminal and len(lines) > TAIL_LINES:
        left_out = f"{len(lines) - TAIL_LINES:,} lines left out"
        out.print(Text(f"[... {left_out}; in a pipe all are shown ...]"))
        lines = lines[-TAIL_LINES:]
    out.print(Text("\n".join(lines)), soft_wrap=True)


def show_chat(out: Console, archive: Archive) -> None:
    """Print the conversation with the coder. Raises UserError where there is none."""
    data = read_untrusted(archive.chat, MAX_LOG_BYTES)
    if data is None:
        raise UserError(f"{archive.chat}: not there: no reply was asked for yet")
    out.print(Text(_readable(data)), soft_wrap=True)


def _readable(data: bytes) -> str:
    return clean(data.decode("utf-8", "replace"))
