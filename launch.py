"""The main program: command line in, exit code out.

0: every experiment reached its end; 1: a fault; 2: wrong usage or an invalid idea.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from io import TextIOWrapper
from types import FrameType
from typing import Any

from agent.util.errors import Fault, UserError, record_bug
from agent.util.text import clean

# What the commands are called; anything else is an idea to run.
COMMANDS = (
    "review",
    "report",
    "watch",
    "verdict",
    "reproduce",
    "baseline",
    "sync",
    "doctor",
)
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code, and say in one line what kept it from its end."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _prepare_process()
    try:
        return _command(arguments)
    except (UserError, Fault) as error:
        if "--debug" in arguments:
            traceback.print_exc()
        print(f"launch.py: {clean(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        _on_endings(signal.SIG_IGN)  # Python's own last steps would be killed by it
        fresh = " without --fresh" if "--fresh" in arguments else ""
        message = f"interrupted; the same command{fresh} goes on from here"
        print(f"launch.py: {message}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception:
        print(f"launch.py: {record_bug('--debug' in arguments)}", file=sys.stderr)
        return 1


def _command(arguments: list[str]) -> int:
    """Run the command that is named first.

    Its module is imported now, so that `review` does not wait for what a training needs.
    """
    name = "run"
    if arguments and arguments[0] in COMMANDS:
        name, *arguments = arguments
    module = importlib.import_module(f"agent.cli.{name}")
    return int(module.command(arguments))


def _prepare_process() -> None:
    """Let both streams take every letter, and let signals that end the process end it in order."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for terminals that lack a letter
    for ending in ENDINGS:
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as under nohup
            signal.signal(ending, _interrupt)


def _on_endings(handler: Any) -> None:
    for ending in ENDINGS:
        signal.signal(ending, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End everything in order at the first Ctrl-C, and at once at the second.

    What runs then sees by itself that nobody waits for it, and ends.
    """
    _on_endings(lambda number, frame: os._exit(130))
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
