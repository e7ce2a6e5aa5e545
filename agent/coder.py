"""What edits the workspace: the Coder protocol, its scripted twin, and Aider behind a process boundary."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Timer
from typing import IO, Any, Protocol

from agent.archive import Archive
from agent.errors import Fault, UserError
from agent.files import read_events, write_text

WORKER = Path(__file__).with_name("aider_worker.py")
START_SECONDS = 180
REPLIES_A_TURN = 4  # aider's first reply and three repairs
COMPLETED = "ALL_COMPLETED"


@dataclass(frozen=True)
class Reply:
    """What one turn of the coder gave. Whether the workspace changed is for the workspace to say."""

    text: str  # all replies of the turn, repairs included
    status: str = "ok"  # ok, truncated, session_ended, cost_limit
    unmatched: bool = False  # the last SEARCH block that matched nothing was never repaired
    refused: tuple[str, ...] = ()  # paths the coder may not edit
    repairs: int = 0  # replies after the first
    tokens_sent: int = 0
    tokens_received: int = 0
    cost: float | None = 0.0  # US dollars; None: unknown
    seconds: float = 0.0  # spent waiting for the model
    messages: list[dict] = field(default_factory=list)  # what the turn added to the conversation

    @property
    def completed(self) -> bool:
        """The coder says that it is done, on a line of its own."""
        return any(line.strip().strip("*`") == COMPLETED for line in self.text.splitlines())


class Coder(Protocol):
    """Edits the workspace when it is told what to do."""

    def edit(self, turn: int, prompt: str) -> Reply:
        """Raises Fault("provider", ...) when no reply can be had. The turn can then be repeated."""
        ...

    def close(self) -> None: ...


class ScriptedCoder:
    """Plays a list of functions that edit the workspace and return the text of a reply."""

    def __init__(self, steps: list[Callable[[], str]]):
        self.steps, self.prompts = steps, list[str]()

    def edit(self, turn: int, prompt: str) -> Reply:
        self.prompts.append(prompt)
        if not self.steps:
            return Reply("", "session_ended")
        return Reply(self.steps.pop(0)())

    def close(self) -> None:
        return None


@dataclass(frozen=True)
class ModelOptions:
    """Which model is asked, and how."""

    name: str
    replies: list[dict] | None = None  # a recording that stands in for the provider
    price: tuple[float, float] | None = None  # US dollars a token, in and out
    timeout: float = 300.0  # seconds for one request
    stream: bool = False

    @property
    def identity(self) -> str:
        """The same for the same model; for a recording it is the replies that count, not where they lie."""
        if self.replies is None:
            return self.name
        return "replay:" + hashlib.sha256(json.dumps(self.replies).encode()).hexdigest()[:16]


class AiderCoder:
    """Aider in a child process: its pins, its prints, its keys and its hangs stay there."""

    def __init__(self, archive: Archive, editable: list[str], model: ModelOptions, cost_left: Callable[[], float | None]):
        self._archive, self._model, self._cost_left = archive, model, cost_left
        taken, self._recorded, history = _recording(archive)
        replies = None if model.replies is None else model.replies[taken:]
        files = {name: str(getattr(archive, name).resolve()) for name in ("workspace", "session", "requests", "chat")}
        config = files | {"model": model.name, "editable": editable, "history": history, "replies": replies,
                          "price": model.price, "timeout": model.timeout, "stream": model.stream}  # fmt: skip
        self._home = tempfile.TemporaryDirectory(prefix="assay-coder-")
        self._errors: IO[bytes] = open(Path(self._home.name) / "stderr", "wb+")  # noqa: SIM115
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AIDER_"))}
        self._process = subprocess.Popen([sys.executable, "-I", str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=self._errors, cwd=self._home.name, start_new_session=True,
                                         env=environment | {"HOME": self._home.name}, text=True)  # fmt: skip
        self._send(config)

    def ready(self) -> bool:
        """Wait until the model can be asked. True if its price is known. Raises UserError for an unusable model."""
        answer = self._receive(START_SECONDS)
        if "error" in answer:
            raise UserError(answer["error"])
        return bool(answer["priced"])

    def edit(self, turn: int, prompt: str) -> Reply:
        self._send({"turn": turn, "message": prompt, "recorded": self._recorded.pop(turn, []), "cost_left": self._cost_left()})
        started = time.monotonic()
        answer = self._receive(REPLIES_A_TURN * (3 * self._model.timeout + 60))
        if answer["status"] in ("provider", "context"):
            raise Fault("provider", answer["detail"])
        return _reply(answer, time.monotonic() - started)

    def close(self) -> None:
        """End the process, keep what it said."""
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        if said := self._errors.read(2**20).decode("utf-8", "replace"):
            write_text(self._archive.coder_log, said)
        self._errors.close()
        self._home.cleanup()

    def _send(self, value: dict[str, Any]) -> None:
        assert self._process.stdin
        try:
            print(json.dumps(value), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            self._died()

    def _receive(self, seconds: float) -> dict[str, Any]:
        """One answer. The clock that the worker cannot hold up is this one."""
        assert self._process.stdout
        expired = Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:  # also when Ctrl-C ends the wait
            timer.cancel()
        if expired.is_set():
            raise Fault("provider", f"no answer from {self._model.name} within {seconds:.0f} s")
        return json.loads(line) if line else self._died()

    def _died(self) -> dict[str, Any]:
        self._errors.seek(0)
        raise RuntimeError(f"the coder's process died:\n{self._errors.read().decode('utf-8', 'replace')[-4000:]}")


def _recording(archive: Archive) -> tuple[int, dict[int, list[dict]], list[dict]]:
    """How many replies were taken, those of unfinished turns by turn, and the conversation of the finished ones."""
    history, recorded = list[dict](), dict[int, list[dict]]()
    replies = [line for line in read_events(archive.session) if "reply" in line]
    for line in replies:
        recorded.setdefault(line["turn"], []).append(line)
    for event in read_events(archive.events):
        if event["event"] == "edit":
            history += event["messages"]
            recorded.pop(event["turn"], None)
    return len(replies), recorded, history


def _reply(answer: dict[str, Any], seconds: float) -> Reply:
    replies = [call for call in answer["calls"] if "reply" in call]
    costs = [call.get("cost") for call in replies]
    return Reply(
        text="\n\n".join(call["reply"] for call in replies),
        status=answer["status"], unmatched=answer["unmatched"], refused=tuple(answer["refused"]),
        repairs=max(0, len(replies) - 1),
        tokens_sent=sum(call.get("prompt_tokens") or 0 for call in replies),
        tokens_received=sum(call.get("completion_tokens") or 0 for call in replies),
        cost=None if None in costs else sum(costs),
        seconds=round(sum(call.get("seconds") or 0 for call in answer["calls"]) or seconds, 3),
        messages=answer["messages"],
    )  # fmt: skip
