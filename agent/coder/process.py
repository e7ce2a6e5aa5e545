"""The process that one conversation lives in, seen from the harness: its environment, its lock, its
clock, its end.

Everything that a provider may need reaches it, nothing else of the user's: no other keys, no
agent's socket, no home folder. What lies in a home is found only where a variable names it:
AWS_SHARED_CREDENTIALS_FILE, GOOGLE_APPLICATION_CREDENTIALS, ...
Not covered: a process that leaves the group; the worker starts none but flake8.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Event, Timer
from typing import IO, Any, NoReturn

from agent.util.errors import Fault

WORKER = Path(__file__).with_name("worker") / "main.py"

START_SECONDS = 180

_SYSTEM = {
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_VERIFY",
}

_PROVIDER = re.compile(
    r"(https?|all|no)_proxy|SSL_CERT_\w+"
    r"|\w+_(API_?KEY|API_BASE|BASE_URL|API_VERSION|API_TYPE|API_TOKEN)"
    r"|(OPENAI|AWS|AZURE|VERTEX|VERTEXAI|GOOGLE|HF|OLLAMA|HOSTED_VLLM|LM_STUDIO|WATSONX|WX"
    r"|DATABRICKS|CLOUDFLARE|GIGACHAT)_\w+",
    re.I,
)

# Beginnings of variables that look like a provider's and often are not: passed on only for models
# whose names begin so.
_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "AWS": ("bedrock", "sagemaker"),
    "AZURE": ("azure",),
    "HF": ("huggingface/",),
    "HUGGINGFACE": ("huggingface/",),
    "WANDB": ("wandb/",),
    "GITHUB": ("github/",),
    "COMET": (),
    "NEPTUNE": (),
    "SENTRY": (),
    "STRIPE": (),
    "SENDGRID": (),
    "DATADOG": (),
    "SLACK": (),
    "GITLAB": (),
}


def provider_environment(models: list[str]) -> dict[str, str]:
    """Return the variables that the providers of these models may need, and any program."""

    def passed(name: str) -> bool:
        users = _ONLY_FOR.get(name.split("_")[0].upper())
        if users is not None and not any(model.startswith(users) for model in models):
            return False
        return name in _SYSTEM or bool(_PROVIDER.fullmatch(name))

    return {name: value for name, value in os.environ.items() if passed(name)}


class Worker:
    """A child process and its group, spoken to in JSON lines."""

    def __init__(
        self,
        lock: IO[bytes],
        models: list[str],
        command: tuple[str, ...] = (sys.executable, "-I", str(WORKER)),
    ):
        self._home = tempfile.TemporaryDirectory(prefix="assay-coder-")
        self._errors: IO[bytes] = open(Path(self._home.name) / "stderr", "wb+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=self._home.name,
            start_new_session=True,
            pass_fds=[lock.fileno()],
            env=provider_environment(models) | {"HOME": self._home.name},
        )

    def send(self, value: dict[str, Any]) -> None:
        """Send one message. Raises what receive() raises where the process has ended."""
        assert self._process.stdin
        try:
            print(json.dumps(value), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            self._died()

    def receive(self, seconds: float) -> dict[str, Any]:
        """Return one answer, or raise Fault("provider", ...) when none has come in time.

        This is the clock that the worker cannot hold up. Raises Fault("coder", ...) for a process
        that was killed, and RuntimeError for one that died of a bug.
        """
        assert self._process.stdout
        expired = Event()

        def expire() -> None:
            expired.set()
            self._kill()

        timer = Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:  # also when Ctrl-C ends the wait
            timer.cancel()
        if expired.is_set():
            raise Fault("provider", f"no answer from the coder's process within {seconds:.0f} s")
        if not line.endswith("\n"):
            self._died()
        return dict(json.loads(line))

    def close(self) -> str:
        """End the whole group at once, and return what it printed on its standard error."""
        self._kill()
        self._process.wait()
        self._errors.seek(0)
        printed = self._errors.read(2**20).decode("utf-8", "replace")
        self._errors.close()
        self._home.cleanup()
        return printed

    def _kill(self) -> None:
        # macOS: a group of nothing but the dead may not be killed.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _died(self) -> NoReturn:
        """Raise why the process ended by itself: somebody killed it, or it has a bug."""
        code = self._process.wait()
        if code < 0:
            raise Fault("coder", f"its process was killed by signal {-code}")
        self._errors.seek(0)
        printed = self._errors.read().decode("utf-8", "replace")
        raise RuntimeError(f"the coder's process died:\n{printed[-4000:]}")
