"""What a confined program can still do, where the limits end it, and which sandbox is chosen.

Attacks are in test_escapes.py.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.archive.paths import RunFolder
from agent.archive.run import Metric, RunStatus
from agent.execution.local import execute
from agent.execution.request import Execution, Request
from agent.execution.result import read_run
from agent.execution.sandbox.detect import find_sandbox, proofs
from agent.execution.sandbox.policy import ResourceLimits, Sandbox
from agent.util.errors import Fault, UserError
from tests.conftest import REPOSITORY, confined
from tests.execution.test_runner import left_in

PYTHON = Path(sys.executable)
SMALL = ResourceLimits(memory=2**28, processes=60, disk=2**26)
KINDS = ["bwrap", "landlock", "none"]


def request(kind: str, folder: Path, code: str, limits: ResourceLimits = SMALL) -> Request:
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / "main.py").write_text(code)
    sandbox = confined(kind, limits)
    return Request(
        PYTHON, folder / "work", folder / "stdout.log", folder / "stderr.log", 60, sandbox
    )


def run(kind: str, folder: Path, code: str, timeout: float = 60) -> Execution:
    return execute(replace(request(kind, folder, code), timeout=timeout))


GREEDY = {
    "children's memory": (
        "memory",
        """
import os, time
for _ in range(8):
    if os.fork() == 0:
        kept = bytearray(b"x") * (1 << 26)
        time.sleep(20)
        os._exit(0)
time.sleep(20)
""",
    ),
    "memory without a name": (
        "memory",
        "import os\nf = os.memfd_create('a')\nwhile True: os.write(f, b'x' * (1 << 20))\n",
    ),
    "a fork bomb": (
        "processes",
        """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
    ),
    "many files": ("disk", "n = 0\nwhile True:\n    n += 1\n    open(f'f{n}', 'w').write('x')\n"),
    "large files": (
        "disk",
        "n = 0\nwhile True:\n    n += 1\n    open(f'f{n}', 'wb').write(b'x' * (1 << 24))\n",
    ),
    "deep folders": (
        "disk",
        "import os, time\n"
        "for _ in range(300):\n"
        "    os.mkdir('d')\n"
        "    os.chdir('d')\n"
        "time.sleep(20)\n",
    ),
    "a folder that is closed": (
        "disk",
        "import os, time\nos.mkdir('d')\nos.chmod('d', 0)\ntime.sleep(3)\n",
    ),
    "time": ("time", "import time\ntime.sleep(60)\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GREEDY)
def test_the_limit_that_was_passed_is_named_with_what_was_used_and_nothing_is_left(
    tmp_path, kind, name
):
    limit, code = GREEDY[name]
    if name == "a folder that is closed" and os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    started = time.monotonic()
    done = run(kind, tmp_path, code, timeout=2 if limit == "time" else 60)
    took = time.monotonic() - started
    assert done.limit == limit and not done.ok and "was stopped" in done.stopped, (
        done,
        (tmp_path / "stderr.log").read_text()[-500:],
    )
    assert took < 30 and left_in(tmp_path / "work") == []
    used = {"memory": done.used.memory, "processes": done.used.processes, "disk": done.used.disk}
    assert limit == "time" or used[limit] >= 0.8 * getattr(SMALL, limit)
    status = read_run(1, RunFolder(tmp_path), done, Metric()).status
    assert (
        status.value
        == {
            "time": "timeout",
            "memory": "memory_limit",
            "processes": "process_limit",
            "disk": "disk_limit",
        }[limit]
    )


@pytest.mark.parametrize("kind", ["bwrap", "landlock"])
def test_what_the_kernel_refuses_one_process_is_told_with_its_line(tmp_path, kind):
    """More memory than allowed in one piece, and a file that is
    too large, fail where they are asked for.
    """
    done = run(kind, tmp_path, "x = 1\nkept = bytearray(1 << 40)\n")
    result = read_run(1, RunFolder(tmp_path), done, Metric())
    assert (
        result.status is RunStatus.MEMORY_LIMIT
        and "line 2" in result.message
        and "MemoryError" in result.message
    )
    done = run(kind, tmp_path, "open('big', 'wb').truncate(1 << 40)\n")
    assert "File too large" in read_run(1, RunFolder(tmp_path), done, Metric()).message


LOADER = """
import torch, tempfile, multiprocessing
from torch.utils.data import DataLoader, Dataset

class Numbers(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, index):
        return torch.full((1 << 18,), float(index))

if __name__ == "__main__":
    total = sum(batch[:, 0].sum().item() for _ in range(2)
                for batch in DataLoader(Numbers(), 8, num_workers=2, persistent_workers=True))
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
    with multiprocessing.Pool(2) as pool:
        ones = torch.ones(400, 400)
        print(total, pool.map(abs, [-1, -2]), ones.mm(ones).sum().item())
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_worker_processes_shared_memory_and_temporary_files_work_inside(
    tmp_path, kind, experiments_environment
):
    program = request(kind, tmp_path, LOADER, ResourceLimits(memory=4 * 2**30))
    done = execute(replace(program, python=experiments_environment.python, timeout=120))
    assert done.ok, (tmp_path / "stderr.log").read_text()
    assert (tmp_path / "stdout.log").read_text() == "4032.0 [1, 2] 64000000.0\n"


def test_the_code_itself_is_read_only_and_the_rest_of_its_folder_is_not(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "protocol.py").write_text("x = 1\n")
    code = """
import os
open("result", "w").write("fine")
attempts = (
    lambda name: open(name, "a"),
    lambda name: os.unlink(name),
    lambda name: os.rename("result", name),
    lambda name: os.chmod(name, 0o777),
)
for name in ("main.py", "protocol.py"):
    for attempt in attempts:
        try:
            attempt(name)
            print("changed", name)
        except OSError:
            pass
"""
    assert run("bwrap", tmp_path, code).ok
    assert (tmp_path / "stdout.log").read_text() == "" and (
        tmp_path / "work" / "result"
    ).read_text() == "fine"


def test_only_what_a_run_needs_is_in_its_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIVATE", "a value")
    run(
        "bwrap",
        tmp_path,
        "import os\nprint(*sorted(os.environ))\nprint(open('/proc/1/environ').read())\n",
    )
    names, first = (tmp_path / "stdout.log").read_text().splitlines()
    assert "PRIVATE" not in names and first == "PATH=/usr/bin:/bin\0" and "HOME" in names


@pytest.mark.parametrize("kind", ["bwrap", "landlock"])
def test_devices_of_gpus_are_there_only_for_a_run_that_may_use_them(tmp_path, kind):
    """With a device that reads as zeros in a GPU's place.

    What a driver does with it was not tried.
    """
    device = Path(f"/dev/nvidia_{os.getpid()}")  # tests run side by side
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes a device")
    try:
        (tmp_path / "main.py").write_text(f"print(open({str(device)!r}, 'rb').read(2))\n")
        request = Request(
            PYTHON, tmp_path, tmp_path / "out", tmp_path / "err", 30, confined(kind), gpu=True
        )
        assert execute(request).ok, (tmp_path / "err").read_text()
        assert not execute(replace(request, gpu=False)).ok
    finally:
        device.unlink()


def test_in_a_container_that_forbids_to_mount_proc_its_own_is_shown(tmp_path):
    sandbox = replace(confined("bwrap", SMALL), own_proc=False)
    ours = f"/proc/{os.getpid()}"
    (tmp_path / "main.py").write_text(
        f"import os\nprint(os.path.exists({ours!r}))\nopen('{ours}/environ').read()\n"
    )
    execute(Request(PYTHON, tmp_path, tmp_path / "out", tmp_path / "err", 30, sandbox))
    assert (tmp_path / "out").read_text() == "True\n" and "PermissionError" in (
        tmp_path / "err"
    ).read_text()


def test_with_the_network_open_a_program_reaches_it_and_still_nothing_else(tmp_path):
    confined("bwrap")
    stopped = proofs(find_sandbox("bwrap", True, SMALL))
    assert [bool(why) for why in stopped.values()] == [True, False, True]


def test_a_sandbox_that_cannot_be_made_is_a_fault_that_says_why(tmp_path):
    confined("bwrap")
    (tmp_path / "main.py").write_text("")
    request = Request(
        PYTHON,
        tmp_path,
        tmp_path / "out",
        tmp_path / "err",
        30,
        Sandbox("bwrap"),
        readable=(tmp_path / "absent",),
    )
    with pytest.raises(Fault, match=r"sandbox: bwrap: .*absent"):
        execute(request)


INSIDE = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from agent.util.errors import UserError
from agent.execution.sandbox.detect import find_sandbox
from agent.execution.sandbox.policy import ResourceLimits
try:
    print(find_sandbox(sys.argv[1], False, ResourceLimits()).kind)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("auto", "landlock"), ("bwrap", "--sandbox bwrap does not work here: bwrap: ")],
)
def test_where_there_are_no_name_spaces_landlock_is_taken_or_the_run_is_refused(wanted, expected):
    """Inside another sandbox that forbids to make name spaces, as a cluster or a container may."""
    confined("bwrap")
    confined("landlock")
    outer = [
        "bwrap",
        "--unshare-user",
        "--disable-userns",
        "--dev-bind",
        "/",
        "/",
        "--tmpfs",
        "/run",
        "--proc",
        "/proc",
    ]
    done = subprocess.run(
        [*outer, sys.executable, "-c", INSIDE, wanted], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(expected), done


def test_a_socket_that_would_start_programs_outside_rules_landlock_out(tmp_path, monkeypatch):
    confined("landlock")
    with socket.socket(socket.AF_UNIX) as server:
        (tmp_path / "bus").parent.mkdir(exist_ok=True)
        server.bind(str(tmp_path / "bus"))
        server.listen()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        find_sandbox.cache_clear()
        with pytest.raises(UserError, match="bus answers"):
            find_sandbox("landlock", False, SMALL)
    find_sandbox.cache_clear()
