"""No program gets out of a sandbox.

The attacks of tests/escapes.py under each, as this user and as an ordinary one.

ASSAY_TEST_SANDBOX=none runs them with the sandbox switched off: then they succeed, and nearly every
test fails. With "bwrap cold,landlock cold" the programs are executed, not forked from a warm
interpreter. With -s a table is printed at the end: attack, sandbox, user, what stopped it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from agent.execution.request import Execution
from agent.execution.sandbox.warm_server import ForkServer
from agent.util.errors import UserError
from tests.conftest import REPOSITORY
from tests.escapes import ATTACKS, Attack, Scene
from tests.replies import edit, scores

SECURITY = REPOSITORY / "SECURITY.md"
KINDS = os.environ.get("ASSAY_TEST_SANDBOX", "bwrap,landlock").split(",")
COLD = " cold"
USER = pwd.getpwuid(os.getuid()).pw_name
ATTACK_SECONDS = 900  # for all attacks in a process of its own
ROWS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    yield
    if ROWS:
        print(
            "\n| attack | sandbox | user | what stopped it |\n| --- | --- | --- | --- |",
            *ROWS,
            sep="\n",
            flush=True,
        )


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    surroundings = Scene(tmp_path)
    surroundings.build(monkeypatch)
    yield surroundings
    surroundings.close()


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """One for all attacks, as the runs of an experiment share one: none may harm the next."""
    with ForkServer(
        Path(sys.executable), 1, modules=("json", "multiprocessing", "socket", "tempfile")
    ) as warm:
        yield warm


def unavailable(kind: str) -> str:
    """Why this sandbox cannot be tried here, or ''."""
    if kind == "bwrap":
        if not (program := shutil.which("bwrap")):
            return "bubblewrap is not installed"
        done = subprocess.run(
            [program, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"],
            capture_output=True,
            check=False,
        )
        return done.stderr.decode().strip()
    if kind == "landlock" and ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) < 1:
        return "the kernel has no Landlock"
    return ""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if why := unavailable(request.param.removesuffix(COLD)):
        pytest.skip(why)
    return str(request.param)


def run(attack: Attack, kind: str, scene: Scene, server: ForkServer) -> Execution:
    try:
        return scene.run(attack, kind.removesuffix(COLD), None if kind.endswith(COLD) else server)
    except UserError as error:
        if not kind.startswith("landlock"):
            raise
        pytest.skip(str(error))  # for instance as root, whose capabilities reach past it


def what_stopped(attack: Attack, scene: Scene, execution: Execution) -> str:
    """The limit that was hit, or what the program was told."""
    if execution.limit and execution.limit != "time":
        return f"limit: {execution.limit}"
    lines = scene.stdout.read_text(errors="replace").splitlines()
    refusal = lines[-2] if lines[-1:] == ["-- end"] and len(lines) > 1 else ""
    if attack.anyway or not refusal:
        refusal = attack.anyway or (
            f"limit: {execution.limit}"
            if execution.limit
            else f"it ended with {execution.exit_code}"
        )
    return refusal.replace("|", "/")[-160:]


def named_in_security(attack: Attack) -> bool:
    return SECURITY.is_file() and f"`{attack.name}`" in SECURITY.read_text(encoding="utf-8")


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_no_attack_succeeds(attack: Attack, kind: str, scene: Scene, server: ForkServer) -> None:
    execution = run(attack, kind, scene, server)
    errors = scene.stderr.read_text(errors="replace")
    ran = b"-- end" in scene.output() or execution.limit or execution.exit_code not in (0, 1)
    assert ran, f"the program broke before it was stopped: {errors[-2000:]}"
    evidence = attack.check(scene)
    stopped = f"NOTHING: {evidence[:160]}" if evidence else what_stopped(attack, scene, execution)
    ROWS.append(f"| {attack} | {kind} | {USER} | {stopped} |")
    if evidence and kind.startswith("landlock") and attack.landlock_cannot:
        assert named_in_security(attack), (
            f"SECURITY.md does not name `{attack}`, which Landlock does not stop"
        )
    else:
        assert not evidence, (
            f"{evidence}; it said:\n{scene.stdout.read_text(errors='replace')[-2000:]}"
        )


@pytest.mark.parametrize(
    "attack", [attack for attack in ATTACKS if attack.landlock_cannot], ids=str
)
def test_security_md_names_what_landlock_cannot_stop(attack: Attack) -> None:
    assert named_in_security(attack), attack.landlock_cannot


HONEST = """
import json, multiprocessing, subprocess, tempfile, threading
import protocol

def square(number):
    return number * number

if __name__ == "__main__":
    assert protocol.VALUE == 7
    assert read(ARRAYS + "/train_images.npy") == b"images"
    # Through semaphores in /dev/shm, as the workers of a DataLoader.
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(square, [1, 2, 3]) == [1, 4, 9]
    worker = threading.Thread(target=os.getpid)
    worker.start()
    worker.join()
    with tempfile.TemporaryDirectory() as folder:
        overwrite(folder + "/x")
    assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout == b"1\\n"
    left, right = socket.socketpair()
    left.sendall(os.urandom(8))
    assert len(right.recv(8)) == 8
    os.makedirs("logs/version_0")
    overwrite("logs/version_0/aside")
    os.replace("logs/version_0/aside", "logs/version_0/metrics.csv")
    open("/dev/null", "w").write("x")
    piece = bytearray(b"x") * 2**27
    with open("final_info.json", "w") as file:
        json.dump({"val_accuracy": 0.5}, file)
    os.replace("final_info.json", "again.json")
    os.replace("again.json", "final_info.json")
"""


def test_an_honest_program_is_not_hindered(kind: str, scene: Scene, server: ForkServer) -> None:
    execution = run(Attack("honest", HONEST), kind, scene, server)
    assert execution.ok and not execution.limit, scene.stderr.read_text()
    assert (scene.work / "final_info.json").read_text() == '{"val_accuracy": 0.5}'
    assert (scene.work / "logs" / "version_0" / "metrics.csv").is_file()
    assert not scene.changed() and not scene.alive()


def test_no_path_in_a_reply_leads_out_of_the_workspace(quick_launch, session, tmp_path):
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    paths = {
        "absolute": str(home / "absolute.py"),
        "upwards": "../../../../upwards.py",
        "through the file itself": "main.py/../../through.py",
        "home": "~/.ssh/authorized_keys",
        "a variable": "$HOME/variable.py",
        "another drive": "C:\\main.py",
        "protocol": "protocol.py",
        "a hook": ".git/hooks/pre-commit",
        "settings of aider": ".aider.conf.yml",
        "settings of flake8": ".flake8",
        "a module of the same name": "flake8.py",
        "a file of the system": "/etc/cron.d/assay",
        "a file of the harness": str(REPOSITORY / "agent" / "escape.py"),
        "a process's own files": "/proc/self/cwd/../escape.py",
    }
    reply = "".join(edit("", "x = 1", path=path) for path in paths.values())
    done = quick_launch(
        "--model", f"replay:{session(reply, *scores(0.6))}", "--runs", "1", HOME=str(home)
    )
    first = done.events("edit")[0]
    assert done.statuses == ["success"] and sorted(first["refused"]) == sorted(paths.values())
    written = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and path.read_bytes().strip() == b"x = 1"
    ]
    assert (
        written == []
        and not (REPOSITORY / "agent" / "escape.py").exists()
        and not Path("/etc/cron.d/assay").exists()
    )
    ROWS.extend(
        f"| a reply that edits {name}: `{path}` | any | {USER} | "
        "agent/coder/worker/main.py: refused |"
        for name, path in paths.items()
    )


@dataclass(frozen=True)
class User:
    """A user made for a test."""

    name: str
    uid: int
    gid: int
    home: Path


@pytest.fixture
def ordinary_user() -> Iterator[User]:
    if os.geteuid() != 0:
        pytest.skip("these tests run as an ordinary user already")
    if missing := [
        name
        for name in ("useradd", "userdel", "setpriv", "unshare", "mount")
        if not shutil.which(name)
    ]:
        pytest.skip(f"no {', '.join(missing)} here")
    name = f"assay-{secrets.token_hex(4)}"
    created = subprocess.run(
        ["useradd", "--system", "--create-home", name], capture_output=True, text=True, check=False
    )
    if created.returncode:
        pytest.skip(f"no user can be made: {created.stderr.strip()}")
    entry = pwd.getpwnam(name)
    yield User(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))
    for process in psutil.process_iter():
        if process.username() == name:
            process.kill()
    subprocess.run(["userdel", "--remove", name], capture_output=True, check=False)


def closed_folder(path: Path) -> Path | None:
    """The first folder on the way to path that others may not pass."""
    return next(
        (folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None
    )


def opened(stash: Path) -> str:
    """Shell commands that let every user see this interpreter and this
    repository, in a mount name space of their own.
    """
    needed = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_prefix).resolve(), REPOSITORY}
    lines: dict[Path, list[str]] = {}
    commands = ["set -e"]
    for number, path in enumerate(sorted(needed)):
        if folder := closed_folder(path):
            commands += [
                f"mkdir -p '{stash}/{number}'",
                f"mount --rbind '{path}' '{stash}/{number}'",
            ]
            lines.setdefault(folder, []).extend(
                [f"mkdir -p '{path}'", f"mount --rbind '{stash}/{number}' '{path}'"]
            )
    for folder, binds in lines.items():
        commands += [f"mount -t tmpfs -o mode=0755 none '{folder}'", *binds]
    return "\n".join(commands)


@pytest.mark.slow
def test_no_attack_succeeds_as_an_ordinary_user(ordinary_user: User) -> None:
    """The same in a process of its own, where the interpreter
    may lie in a home that others cannot enter.
    """
    base = Path(tempfile.mkdtemp(prefix="assay-user-"))
    try:
        shutil.chown(base, ordinary_user.uid, ordinary_user.gid)
        stash = base / "stash"
        become = (
            f"exec setpriv --reuid={ordinary_user.uid} --regid={ordinary_user.gid} --clear-groups "
            "--bounding-set=-all --inh-caps=-all"
        )
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "LANG", "ASSAY_TEST_SANDBOX")
        }
        environment |= {"HOME": str(ordinary_user.home), "PYTHONDONTWRITEBYTECODE": "1"}
        tests = [
            f"tests/execution/test_escapes.py::{name}"
            for name in ("test_no_attack_succeeds", "test_an_honest_program_is_not_hindered")
        ]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-s",
            "-p",
            "no:cacheprovider",
            f"--basetemp={base / 'pytest'}",
            *tests,
        ]
        script = f'{opened(stash)}\n{become} "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=ATTACK_SECONDS,
            check=False,
        )
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(*re.findall(r"^\|.*", done.stdout, re.MULTILINE), sep="\n")
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip(done.stderr.strip()[-300:])
    assert done.returncode == 0 and f"| {ordinary_user.name} |" in done.stdout, (
        done.stdout + done.stderr
    )[-6000:]
