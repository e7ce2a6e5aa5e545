"""What a coder may add to requirements.txt.

What is refused, what is installed, what is a fault of something else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from agent.archive.run import RunStatus
from agent.cli.reproduce import reproduce
from agent.execution.environment import additions
from agent.execution.environment.base import Environment, ensure
from agent.execution.environment.requirements import (
    FOR_OPEN,
    MAX_BYTES,
    MAX_LINES,
    PACKAGES,
    Additions,
    RequirementPolicy,
    addable,
    read,
)
from agent.execution.environment.uv import uv
from agent.execution.local import execute
from agent.execution.request import Execution, Request
from agent.execution.sandbox.warm_server import ForkServer
from agent.gate.forbidden_code import breaches
from agent.task.contract import MAIN, REQUIREMENTS
from agent.task.scaffold import DEFAULT_SCAFFOLD
from agent.util.errors import Fault, UserError
from agent.util.files import read_json
from tests.bench import Bench
from tests.conftest import confined
from tests.replies import edit, scores

OWN = "torch>=2.4  # by protocol.py\nnumpy\n"
RULES = RequirementPolicy(
    OWN,
    {"torch": "2.9.0", "numpy": "2.1.0", "torchmetrics": "1.8.0"},
    addable(False, ("Torch_Wild.Card",)),
    fixed=False,
)
# Where another name is imported.
MODULES = {
    "scikit-learn": "sklearn",
    "pywavelets": "pywt",
    "pot": "ot",
}


def added(*lines: str, rules: RequirementPolicy = RULES) -> Additions:
    return read((OWN + "\n".join(lines)).encode(), rules)


# ---- requirements.txt, as text -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-r more.txt", "options are not read"),
        ("-e .", "options are not read"),
        ("--index-url https://evil.example/simple", "options are not read"),
        ("--extra-index-url=https://evil.example/simple", "options are not read"),
        ("--find-links wheels", "options are not read"),
        ("einops==0.8.2 --hash=sha256:00", "cannot be read"),
        ("https://evil.example/einops-9-py3-none-any.whl", "addresses and paths"),
        ("einops @ https://evil.example/einops-9-py3-none-any.whl", "addresses and paths"),
        ("git+https://evil.example/einops", "addresses and paths"),
        ("./einops", "addresses and paths"),
        ("/tmp/einops", "addresses and paths"),
        ("einops-9-py3-none-any.whl", "addresses and paths"),
        ("einops[torch]", "extras"),
        ("einops; python_version > '3'", "conditions"),
        ("einops===0.8", "==="),
        ("einops==", "cannot be read"),
        ("einops \\", "cannot be read"),
        ("einops, scipy", "cannot be read"),
        ("torch_einops_magic", "torch-einops-magic is not among the packages that may be added"),
        ("requests", "or use one of einops, entmax"),
        ("numpy<2", "numpy 2.1.0 is installed, which the baseline runs with, and stays"),
        ("x" * 300, "longer than 200"),
    ],
)
def test_a_line_that_may_not_be_there_is_refused_with_its_number_and_what_to_do(line, reason):
    problem = added("einops", line).problem
    assert reason in problem and problem.startswith("- line 4, `"), problem


def test_names_are_compared_as_an_index_compares_them():
    assert added(
        "Scikit_Learn>=1.4", "torch-wild-card", "einops  # for the idea", "", "# nothing"
    ) == Additions(("einops", "scikit-learn>=1.4", "torch-wild-card"))


def test_what_is_there_already_need_not_be_installed_nor_be_on_the_list():
    assert added("Torch", "torchmetrics>=1.5", "numpy==2.1.0") == Additions()


def test_the_scaffold_s_own_lines_stay_whatever_they_are():
    assert "`torch>=2.4` is missing" in read(b"numpy\neinops\n", RULES).problem
    assert "`torch>=2.4` is missing" in read(b"torch>=2.5\nnumpy\n", RULES).problem
    own = "--extra-index-url https://mirror.example/simple\nmine @ file:///opt/mine.whl\n"
    assert read(
        (own + "einops").encode(), RequirementPolicy(own, {}, RULES.addable, False)
    ) == Additions(("einops",))


def test_a_file_without_end_a_long_list_and_a_link_are_refused():
    assert "longer than" in read(b"#" * (MAX_BYTES + 1), RULES).problem
    assert (
        f"more than {MAX_LINES}" in added(*[f"einops>=0.{k}" for k in range(MAX_LINES + 1)]).problem
    )
    assert "not a plain file" in read(None, RULES).problem
    assert (
        "cannot be read"
        in added(
            "\x00\x1b[2J", "\udcff".encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        ).problem
    )


def test_into_the_user_s_own_interpreter_nothing_is_installed():
    fixed = RequirementPolicy(OWN, RULES.installed, RULES.addable, fixed=True)
    assert "einops is not there, and nothing is installed" in added("einops", rules=fixed).problem
    assert added("torchmetrics", rules=fixed) == Additions()


def test_what_may_be_added_may_be_imported():
    for name in PACKAGES:
        assert breaches("", f"import {MODULES.get(name, name.replace('-', '_'))}\n") == []
    assert not set(FOR_OPEN) & addable(False, ()) and set(FOR_OPEN) < addable(True, ())


# ---- installing, on a base of one small package --------------------------------------------------


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setattr("agent.execution.environment.base.NEEDED_BYTES", 2**20)
    monkeypatch.setattr(additions, "NEEDED_BYTES", 2**20)
    (tmp_path / "base.txt").write_text("typing-extensions\n")
    return ensure(tmp_path / "base.txt")


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a wheel, or with setup= a source distribution, that uv finds besides the index's."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))

    def make(name: str, files: dict[str, str], requires: str = "", setup: str = "") -> None:
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + (
            f"Requires-Dist: {requires}\n" if requires else ""
        )
        if setup:
            return _source(
                folder / f"{name}-1.0.tar.gz",
                {f"{name}-1.0/setup.py": setup, f"{name}-1.0/PKG-INFO": about},
            )
        inside = f"{name}-1.0.dist-info"
        wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        files = files | {f"{inside}/METADATA": about, f"{inside}/WHEEL": wheel}
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
            archive.writestr(
                f"{inside}/RECORD", "".join(f"{path},,\n" for path in (*files, f"{inside}/RECORD"))
            )

    return make


def _source(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            aside = path.with_suffix(".part")
            aside.write_text(text)
            archive.add(aside, name)
            aside.unlink()


@pytest.fixture
def start(base: Environment, tmp_path: Path) -> Iterator[Callable[..., tuple[Execution, str]]]:
    """Run a program in a fork of the base's warm server, with what was added."""
    with ForkServer(base.python, 1) as server:

        def run(program: str, environment: Environment, warm: bool = True) -> tuple[Execution, str]:
            folder = tmp_path / "run"
            folder.mkdir(exist_ok=True)
            (folder / MAIN).write_text(program)
            logs = folder / "out", folder / "err"
            used = server if warm else None
            done = execute(
                Request(
                    base.python,
                    folder,
                    *logs,
                    60,
                    confined("auto"),
                    environment.variables,
                    server=used,
                )
            )
            return done, logs[0].read_text() + logs[1].read_text()

        yield run


def add(base: Environment, *lines: str) -> Environment:
    environment, problem = additions.add(base, lines, lambda text: None)
    assert environment, problem
    return environment


def problem_of(base: Environment, *lines: str) -> str:
    environment, problem = additions.add(base, lines, lambda text: None)
    assert environment is None
    return problem


@pytest.mark.parametrize("warm", [True, False])
def test_what_was_added_is_there_for_the_run_that_asked_and_for_no_other(base, start, warm):
    program = (
        "import einops\n"
        "from importlib.metadata import version\n"
        "print(einops.__version__, version('einops'))\n"
    )
    environment = add(base, "einops==0.8.1")
    done, output = start(program, environment, warm)
    assert (
        done.ok
        and output == "0.8.1 0.8.1\n"
        and environment.packages == base.packages | {"einops": "0.8.1"}
    )
    done, output = start(program, base, warm)
    assert done.exit_code == 1 and "No module named 'einops'" in output


def test_no_code_of_an_added_package_runs_before_the_run_imports_it_and_it_shadows_nothing(
    base, wheel, start, tmp_path
):
    seen = tmp_path / "run" / "mark"  # where a run may write
    mark = f"open({str(seen)!r}, 'a').write(__name__ + ' ')\n"
    traps = (
        "sitecustomize.py",
        "usercustomize.py",
        "numpy/__init__.py",
        "torch/__init__.py",
        "json/__init__.py",
        "typing_extensions.py",
    )
    entry = {
        "assay_trap-1.0.dist-info/entry_points.txt": "[torch.backends]\ntrap = assay_trap:load\n"
    }
    wheel(
        "assay_trap",
        dict.fromkeys(traps, mark)
        | {"assay_trap.pth": f"import os; {mark}", "assay_trap/__init__.py": mark}
        | entry,
    )
    environment = add(base, "assay-trap")
    assert environment.folder and (environment.folder / "assay_trap.pth").is_file()
    seen.parent.mkdir()
    with ForkServer(base.python, 1) as server:  # imports numpy and torch, were they there
        program = (
            "import json, typing_extensions\nprint(json.__file__, typing_extensions.__file__)\n"
        )
        done, output = start(program, environment)
        assert server.alive and done.ok and "additions" not in output
    for warm in (True, False):
        assert start("import json, typing_extensions\n", environment, warm)[0].ok
    assert not seen.exists()
    assert start("import assay_trap\n", environment)[0].ok and seen.read_text() == "assay_trap "


def test_the_base_keeps_its_bytes_and_its_versions(base, wheel):
    site = next(base.python.parent.parent.glob("lib/python*/site-packages"))
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    wheel("assay_needy", {"assay_needy.py": ""}, requires="typing-extensions")
    environment = add(base, "assay-needy", "einops")
    assert environment.added == ("assay-needy", "einops") and environment.folder
    assert {path.stat().st_nlink for path in environment.folder.rglob("*") if path.is_file()} == {
        1
    }, "no way into uv's cache"
    wheel("assay_picky", {"assay_picky.py": ""}, requires="typing-extensions<4")
    assert "typing-extensions" in problem_of(
        base, "assay-picky"
    ) and "keeps its version" in problem_of(base, "assay-picky")
    assert {path: path.read_bytes() for path in before} == before


def test_an_invented_name_is_the_coder_s_to_mend_and_says_no_address(base):
    problem = problem_of(base, "torch-einsum-magic-xyz")
    assert "torch-einsum-magic-xyz was not found" in problem and not re.search(
        r"://|/tmp|\w\.\w+/", problem
    ), problem
    assert "only einops" in problem_of(base, "einops>=99")


def test_a_package_without_a_wheel_is_refused_and_its_setup_never_runs(base, wheel, tmp_path):
    wheel(
        "assay_source",
        {},
        setup=(
            f"open({str(tmp_path / 'mark')!r}, 'w')\n"
            "from setuptools import setup\n"
            "setup(name='assay_source')\n"
        ),
    )
    assert "no usable wheels" in problem_of(base, "assay-source")
    assert not (tmp_path / "mark").exists()


@pytest.fixture
def index() -> Iterator[Callable[[int], str]]:
    """The address of an index that answers everything in one way; 0: never."""
    closing = []

    def begin(code: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not code:
                    held.wait(60)
                self.send_response(code or 500)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        held = threading.Event()
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        closing.extend((held.set, server.shutdown, server.server_close))
        return f"http://127.0.0.1:{server.server_port}/simple"

    yield begin
    for close in closing:
        close()


@pytest.mark.parametrize("answer", ["closed", "offline", 401, 403, 404, 429, 500, 503])
def test_an_index_that_is_away_is_a_fault_and_not_the_coder_s(base, index, monkeypatch, answer):
    if answer == "offline":
        monkeypatch.setenv("UV_OFFLINE", "1")
    elif answer == "closed":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{port}/simple")
    else:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index(answer))
    with pytest.raises(Fault) as raised:
        additions.add(base, ("torch-einsum-magic-xyz",), lambda text: None)
    assert raised.value.kind == "environment"
    for name in ("UV_OFFLINE", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    assert "not found" in problem_of(base, "torch-einsum-magic-xyz"), (
        "the same file, the index being back"
    )


@pytest.fixture
def left_over() -> Callable[[], list[psutil.Process]]:
    """Return a list of the children that were not there before the test: others share servers."""

    def children() -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    before = children()
    return lambda: [process for process in children() if process not in before]


@pytest.mark.slow
def test_an_index_that_hangs_ends_in_time_and_leaves_no_uv(base, index, left_over, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", index(0))
    monkeypatch.setattr(additions, "ADD_SECONDS", 2.0)
    started = time.monotonic()
    with pytest.raises(Fault, match="not done in time"):
        additions.add(base, ("einops",), lambda text: None)
    assert time.monotonic() - started < 20
    assert left_over() == []


def test_interrupting_an_installation_leaves_no_uv(base, index, left_over, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", index(0))

    def interrupted(self, *_, **__):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("subprocess.Popen.communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        uv("pip", "compile", "-", "--no-cache", seconds=60, given="einops")
    assert left_over() == []


def test_a_disk_without_room_is_a_fault_before_anything_is_installed(base, monkeypatch):
    monkeypatch.setattr(additions, "NEEDED_BYTES", 2**60)
    with pytest.raises(Fault) as raised:
        additions.add(base, ("einops",), lambda text: None)
    assert raised.value.kind == "disk"


def test_half_an_installation_is_never_found_and_is_made_anew(base, monkeypatch):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(additions, "write_json", killed)  # all is installed, and not yet recorded
    with pytest.raises(KeyboardInterrupt):
        add(base, "einops")
    monkeypatch.undo()
    monkeypatch.setattr(additions, "NEEDED_BYTES", 2**20)
    (half,) = base.python.parent.parent.glob("additions/*/site-*")
    (half / "einops" / "__init__.py").write_text("torn")
    whole = add(base, "einops").folder
    assert (
        whole
        and whole != half
        and not half.exists()
        and "torn" not in (whole / "einops" / "__init__.py").read_text()
    )


def test_two_that_want_the_same_at_once_install_it_once(base):
    announced: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        additions_of_both = list(
            pool.map(lambda _: additions.add(base, ("einops",), announced.append), range(2))
        )
    assert additions_of_both[0] == additions_of_both[1] and announced == ["installing einops"]


def test_what_is_recorded_is_installed_again_exactly(base):
    environment = add(base, "einops<0.8")
    record = json.loads(json.dumps(environment.record()))
    assert record["added"].keys() == {"einops"} and record["packages"]["einops"] < "0.8"
    shutil.rmtree(base.python.parent.parent / "additions")
    again = additions.restore(base, record, lambda text: None)
    assert again.packages == environment.packages and again.folder != environment.folder
    with pytest.raises(UserError, match=r"lacks einops==0\.7"):
        additions.restore(
            Environment(base.python, "given", base.packages, fixed=True), record, lambda text: None
        )


# ---- through the line ----------------------------------------------------------------------------


def test_a_refused_line_is_an_attempt_whose_message_the_coder_mends(quick_launch, session):
    replies = [
        edit("", "einops_magic", REQUIREMENTS),
        edit("einops_magic", "# nothing", REQUIREMENTS),
        *scores(0.7),
    ]
    done = quick_launch("--model", f"replay:{session(*replies)}", "--runs", "2")
    assert done.code == 0 and done.statuses == ["requirements_failed", "success", "success"], done
    mended = "Mend it in `requirements.txt`"
    prompt = (done.archives[-1].folder / "run_1" / "prompt.md").read_text()
    assert (
        "line 1, `einops_magic`: einops-magic is not there, and nothing is installed" in prompt
        and mended in prompt
    )
    first = (done.archives[-1].folder / "run_1.failed_1" / "prompt.md").read_text()
    assert (
        "Nothing else can be installed." in first
        and "You may" not in first.split("requirements.txt")[1].split("\n")[0]
    )


def test_a_name_that_is_no_name_is_wrong_usage(launch, tmp_path):
    (tmp_path / "idea.md").write_text("# Idea\n\nText.\n")
    done = launch("idea.md", "--allow-package", "git+https://x")
    assert done.code == 2 and "is not the name of a package" in done.err


needs_build = pytest.mark.skipif(
    "ASSAY_TEST_PYTHON" in os.environ, reason="nothing is installed into a given interpreter"
)


def use_einops(workspace: Path, requirement: str = "einops") -> None:
    main = workspace / MAIN
    requirements = workspace / REQUIREMENTS
    requirements.write_text(requirements.read_text() + requirement + "\n")
    text = main.read_text().replace(
        "import torch\n", "import torch\nfrom einops import reduce\n", 1
    )
    pooled = (
        "        if IDEA:\n"
        "            x = x + reduce(x, 'b c h w -> b c 1 1', 'mean')\n"
        "        x = self.dropout("
    )
    main.write_text(text.replace("        x = self.dropout(", pooled, 1))


@needs_build
def test_an_added_package_serves_every_run_of_its_code_and_is_built_again_to_reproduce_it(
    bench: Bench, capsys
):
    """Gate, training, prediction, confirmation, both arms.

    The control stays the baseline, exactly.
    """
    outcome = bench.conduct(use_einops, python=None)
    run = outcome.attempts[0]
    record = read_json(outcome.archive.run(1).environment)
    assert run.status is RunStatus.SUCCESS, run.message
    assert (
        record["added"].keys() == {"einops"}
        and record["packages"]["torch"]
        and run.environment == record["key"]
    )
    assert outcome.facts["control_equals_baseline"] and outcome.facts["idea_differs_from_control"]
    (order,) = outcome.events("confirm")
    assert order["control"] == "cached" and order["check"]["exact"]
    confirmed = [
        read_json(path)
        for path in outcome.archive.folder.glob("confirm/idea_seed_*/environment.json")
    ]
    assert confirmed and all(stored == record for stored in confirmed)
    control = [
        read_json(path)
        for path in outcome.archive.folder.glob("confirm/control_seed_*/environment.json")
    ]
    assert control and all(
        stored["added"] == {} and stored["packages"].items() <= record["packages"].items()
        for stored in control
    )
    assert "einops" not in read_json(outcome.archive.run(0).environment)["packages"]
    shutil.rmtree(
        ensure(DEFAULT_SCAFFOLD / REQUIREMENTS).python.parent.parent / "additions" / record["key"]
    )
    assert (
        reproduce(outcome.archive, None, None, confined("auto")) == 0
        and "bit-exact" in capsys.readouterr().out
    )


@pytest.mark.quick
@needs_build
def test_a_package_that_does_not_exist_is_told_with_uv_s_own_reason(bench: Bench):
    name = "torch-einsum-magic-xyz"
    outcome = bench.conduct(
        partial_named(use_einops, requirement=name), python=None, allow_packages=(name,)
    )
    (run,) = outcome.attempts
    assert (
        run.status is RunStatus.REQUIREMENTS_FAILED
        and outcome.layer == "requirements"
        and outcome.runs_spent == 0
    )
    assert f"{name} was not found" in run.message


def partial_named(function: Callable, **given: object) -> Callable[[Path], None]:
    bound = partial(function, **given)
    bound.__name__ = f"{function.__name__}_{len(given)}"  # type: ignore[attr-defined]
    return bound


@pytest.mark.quick
def test_the_first_prompt_says_what_is_there_and_what_may_be_added(
    bench: Bench, experiments_environment, launch, tmp_path
):
    (tmp_path / "idea.md").write_text("# Idea\n\nText.\n")
    output = launch(
        "idea.md", "--dataset", "digits", "--dry-run", "--allow-package", "Some_Thing"
    ).out
    assert "some-thing" in output and "einops" in output and "pandas" not in output
    if "ASSAY_TEST_PYTHON" not in os.environ:
        assert f"torch {experiments_environment.packages['torch']}" in output
