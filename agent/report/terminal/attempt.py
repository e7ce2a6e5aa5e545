"""One attempt of an experiment, close up: which is meant, its diff, its logs; and the chat. All of it is untrusted text."""

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

TAIL_LINES = 100  # of each log on a terminal; in a pipe all of it
MAX_LOG_BYTES = 2**26  # more than a run may write of each stream


def meant(archive: Archive, name: str, metric: Metric, *, best: bool) -> tuple[RunFolder, str]:
    """The attempt that `name` means, and why: 2 is run_2 or, where none succeeded, the last failed attempt at it; 0 is the baseline.

    '': the best run (best; as the harness chooses it), else the last attempt. Raises UserError where there is none.
    """
    events = [event for event in read_events(archive.events) if event["event"] == "attempt"]
    names = [event["folder"] for event in events]
    if name:
        wanted = f"run_{name}" if name.isdecimal() else name.rstrip("/")
        exact = [one for one in ("run_0", *names) if one == wanted]
        near = [one for one in names if one.startswith(f"{wanted}.failed_")]
        if not (found := exact or near):
            raise UserError(
                f"{archive.folder}: no attempt {name!r}; there are {', '.join(names) or 'none yet'}"
            )
        return archive.named(found[-1]), ""
    if not names:
        raise UserError(f"{archive.folder}: nothing was attempted yet")
    values = [event["value"] for event in events if event["value"] is not None]
    if best and values:
        top = next(event["folder"] for event in events if event["value"] == metric.best(values))
        return archive.named(top), f", the best of {len(values)} on validation data"
    return archive.named(names[-1]), ", the last attempt"


def show_diff(out: Console, archive: Archive, folder: RunFolder, why: str) -> None:
    """Against the run before it, after a failed attempt against that too, and against the scaffold."""
    if folder.folder == archive.run(0).folder:
        raise UserError("run_0 is the scaffold as it is: it has no diff")
    out.print(Text(f"{clean(folder.folder.name)}{why}", style="bold"))
    if not folder.code.is_dir():
        raise Fault("archive", f"{folder.code}: not there")
    for before in _before(archive, folder):
        print_diff(out, f"since {_called(before)}:", diff(before.code, folder.code))


def _before(archive: Archive, folder: RunFolder) -> list[RunFolder]:
    """The attempt before it, the last run before it, and the scaffold; each once."""
    names = [one.folder.name for one in archive.attempts()]
    earlier = names[: names.index(folder.folder.name)]
    runs = [name for name in earlier if ".failed_" not in name]
    wanted = dict.fromkeys([*earlier[-1:], *runs[-1:], "run_0"])
    return [before for name in wanted if (before := archive.named(name)).code.is_dir()]


def _called(folder: RunFolder) -> str:
    return "run_0, the scaffold" if folder.folder.name == "run_0" else clean(folder.folder.name)


def show_log(out: Console, folder: RunFolder, why: str) -> None:
    """What its programs wrote: of the training, the prediction, and the gate's short runs, where there was more than nothing."""
    out.print(Text(f"{clean(folder.folder.name)}{why}", style="bold"))
    logs = [
        folder.smoke(arm) / name
        for arm in ("control", "idea")
        for name in ("stdout.log", "stderr.log")
    ]
    logs += [
        folder.stdout,
        folder.stderr,
        folder.folder / "predict_stdout.log",
        folder.folder / "predict_stderr.log",
    ]
    written = [(path, data) for path in logs if (data := read_untrusted(path, MAX_LOG_BYTES))]
    for path, data in written:
        _print_log(out, path, clean(data.decode("utf-8", "replace")).rstrip("\n"))
    if not written:
        out.print(
            Text(
                "its programs wrote nothing"
                if any(path.is_file() for path in logs)
                else "no program of it was run"
            )
        )


def _print_log(out: Console, path: Path, text: str) -> None:
    lines = text.split("\n")
    out.print(Text(f"{clean(str(path))}:", style="italic"), soft_wrap=True)
    if out.is_terminal and len(lines) > TAIL_LINES:
        out.print(
            Text(f"[... {len(lines) - TAIL_LINES:,} lines left out; in a pipe all are shown ...]")
        )
        lines = lines[-TAIL_LINES:]
    out.print(Text("\n".join(lines)), soft_wrap=True)


def show_chat(out: Console, archive: Archive) -> None:
    data = read_untrusted(archive.chat, MAX_LOG_BYTES)
    if data is None:
        raise UserError(f"{archive.chat}: not there: no reply was asked for yet")
    out.print(Text(clean(data.decode("utf-8", "replace"))), soft_wrap=True)
