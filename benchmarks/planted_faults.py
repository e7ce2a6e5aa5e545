"""Plant one fault at a time in a copy of the repository and see that the tests catch it.

    python benchmarks/planted_faults.py [--only NAME]

Only the named tests are run against each fault. A fault that they do not catch is printed as MISSED, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Fault:
    """Text that is replaced in one file, and the tests that must notice."""

    file: str
    old: str
    new: str
    tests: str
    what: str


FAULTS = [
    Fault(
        "agent/experiment/idea.py",
        "if key not in FIELDS:",
        "if False:",
        "experiment/test_idea.py",
        "unknown front matter is accepted",
    ),
    Fault(
        "agent/util/files.py",
        " | os.O_NOFOLLOW",
        "",
        "archive/test_archive.py",
        "results are read through links",
    ),
    Fault(
        "agent/util/secrets.py",
        "for name in _PASSED_ON if name in os.environ",
        "for name in os.environ",
        "archive/test_archive.py",
        "runs inherit keys",
    ),
    Fault(
        "agent/execution/local.py",
        "tag == prefix or tag.startswith(prefix + os.sep)",
        "False",
        "execution/test_runner.py",
        "daemons of a run survive it",
    ),
    Fault(
        "agent/util/text.py",
        "max(3, longest + 1)",
        "3",
        "execution/test_runner.py",
        "output can close its own fence",
    ),
    Fault(
        "agent/archive/run.py",
        "measured is None",
        "False",
        "execution/test_runner.py",
        "a result that is no number counts",
    ),
    Fault(
        "agent/task/dataset.py",
        "digest not in seen",
        "True",
        "task/test_datasets.py",
        "duplicates cross the splits",
    ),
    Fault(
        "agent/archive/session.py",
        "elif current or not (",
        "elif not (",
        "archive/test_replay.py -k split",
        "replies lose their headings and quotations",
    ),
    Fault(
        "agent/coder/base.py",
        "model.replies[taken:]",
        "model.replies",
        "experiment/test_resume.py -k digits",
        "a resumed replay begins anew",
    ),
    Fault(
        "agent/coder/worker/edit_blocks.py",
        "return inside if inside in editable else None",
        "return path",
        "coder/test_coder.py -k outside",
        "edits leave it",
    ),
    Fault(
        "agent/coder/worker/edit_blocks.py",
        "if dividers > 1:",
        "if False:",
        "coder/test_model_faults.py -k damaging",
        "half a block is applied",
    ),
    Fault(
        "agent/coder/worker/channel.py",
        "        self._alone.set()",
        "        os._exit(0)",
        "coder/test_coder_process.py -k kept_and",
        "a reply is paid twice",
    ),
    Fault(
        "agent/execution/environment/import_hook.py",
        "sys.path.append(folder)",
        "sys.path.insert(0, folder)",
        "execution/test_environment.py -k no_code",
        "additions shadow torch",
    ),
    Fault(
        "agent/execution/environment/additions.py",
        "_compile(base, KNOWN",
        "0 and _compile(base, KNOWN",
        "execution/test_environment.py -k away",
        "an index that is away is the coder's fault",
    ),
    Fault(
        "agent/execution/environment/additions.py",
        '("--quiet", "--only-binary", ":all:")',
        '("--quiet",)',
        "execution/test_environment.py -k wheel",
        "setup.py runs outside the sandbox",
    ),
    Fault(
        "agent/execution/environment/requirements.py",
        "if name not in rules.addable:",
        "if False:",
        "execution/test_environment.py -k may_not_be_there",
        "invented names are installed",
    ),
    Fault(
        "agent/coder/process.py",
        " if passed(name)}",
        "}",
        "coder/test_coder_process.py -k environment",
        "the coder's process gets every key",
    ),
    Fault(
        "agent/coder/worker/gateway.py",
        'if "cost" in record:',
        "if False:",
        "coder/test_coder_process.py -k before_a_retry",
        "empty replies are free",
    ),
    Fault(
        "agent/gate/checks.py",
        "if touched:",
        "if False:",
        "experiment/test_experiment.py",
        "other files may be changed",
    ),
    Fault(
        "agent/experiment/loop.py",
        "len(self._successes()) >= self.plan",
        "len(attempts) >= self.plan",
        "experiment/test_experiment.py",
        "failures count as runs",
    ),
    Fault(
        "agent/experiment/controls.py",
        "for seed in self.seeds if not self.run(seed).result.is_file()",
        "for seed in self.seeds",
        "experiment/test_experiment.py",
        "the baseline is trained again for every idea",
    ),
    Fault(
        "agent/queue/scheduler.py",
        "        return 1, str(fault)\n",
        "        raise\n",
        "cli/test_launch.py -k queue",
        "one fault stops the queue",
    ),
    Fault(
        "agent/task/scaffold.py",
        "if old == new:",
        "if old != new:",
        "experiment/test_experiment.py",
        "diffs are empty",
    ),
    Fault(
        "scaffold/protocol.py",
        "    pl.seed_everything(SEED + 1, workers=True, verbose=False)\n",
        "",
        "task/test_scaffold.py -k never_used",
        "more parameters mean other masks",
    ),
    Fault(
        "scaffold/probe.py",
        "    own_masks()\n",
        "",
        "gate/test_pitfalls.py -k noop_random",
        "drawing a random number looks alive",
    ),
    Fault(
        "agent/gate/forbidden_code.py",
        "if allowed[breach.code, breach.why]:",
        "if True:",
        "gate/test_pitfalls.py -k belongs",
        "nothing is refused",
    ),
    Fault(
        "agent/gate/syntax.py",
        "body[1:] or",
        "body or",
        "gate/test_pitfalls.py -k comment_only",
        "a docstring is an implementation",
    ),
    Fault(
        "agent/gate/liveness.py",
        "TOLERANCE = 1e-6",
        "TOLERANCE = -1.0",
        "gate/test_pitfalls.py -k noop_flag",
        "an idea that changes nothing is live",
    ),
    Fault(
        "agent/gate/liveness.py",
        "if name not in named:",
        "if False:",
        "gate/test_pitfalls.py -k learning_rate",
        "a bundled recipe passes",
    ),
    Fault(
        "agent/execution/grading.py",
        "images[secret]",
        "images",
        "verdict/test_verdict.py -k truly_helps",
        "the order is not the one that is undone",
    ),
    Fault(
        "agent/execution/grading.py",
        "if not np.isfinite(scores).all():",
        "if False:",
        "gate/test_pitfalls.py -k nan",
        "NaN is a prediction",
    ),
    Fault(
        "agent/experiment/confirm.py",
        'control = "cached" if',
        'control = "cached" if True or',
        "verdict/test_verdict.py -k idea_off",
        "any control will do",
    ),
    Fault(
        "agent/experiment/confirm.py",
        "if (arm, seed) not in said",
        "if True",
        "verdict/test_verdict.py -k killed",
        "a cached control counts twice",
    ),
    Fault(
        "agent/verdict/chance.py",
        "TAIL = 0.025",
        "TAIL = 0.25",
        "verdict/test_statistics.py",
        "noise is a win",
    ),
    Fault(
        "agent/verdict/decide.py",
        "if effect.low > 0:",
        "if effect.delta > 0:",
        "verdict/test_verdict.py -k ten_ideas",
        "any gain is a win",
    ),
    Fault(
        "agent/verdict/decide.py",
        "if len(set(prints)) < len(prints):",
        "if False:",
        "verdict/test_verdict.py -k same_predictions",
        "a fixed seed passes",
    ),
    Fault(
        "agent/gate/quotes.py",
        "SUBSTANCE = 6",
        "SUBSTANCE = 0",
        "gate/test_judge.py",
        "an empty quote is evidence",
    ),
    Fault(
        "agent/execution/training.py",
        "splits: tuple[str, ...] = DEV",
        "splits: tuple[str, ...] = DEV_AND_TEST",
        "gate/test_pitfalls.py -k hidden_test",
        "explored runs are scored on the hidden test",
    ),
    Fault(
        "agent/execution/sandbox/warm_server.py",
        'self._answer.sendall(b"k")',
        "pass",
        "execution/test_runner.py -k time_limit",
        "a time limit ends nothing",
    ),
    Fault(
        "agent/verdict/equal_budget.py",
        "idea > control:",
        "False:",
        "gate/test_pitfalls.py -k last_batch",
        "extra training is free",
    ),
    Fault(
        "scaffold/protocol.py",
        "probe.meters.updates or probe.meters.backwards:",
        "False:",
        "gate/test_pitfalls.py -k predicts",
        "a prediction may train",
    ),
    Fault(
        "scaffold/probe.py",
        "self.updates += 1",
        "pass",
        "gate/test_pitfalls.py -k more_updates",
        "updates are not counted",
    ),
    Fault(
        "agent/verdict/evidence.py",
        'get("device", "cpu") != "cpu"',
        'get("device", "cpu") == "x"',
        "verdict/test_verdict.py -k gpu",
        "a GPU is not billed",
    ),
    Fault(
        "agent/verdict/evidence.py",
        "checks=_load_checks(archive, order)",
        "checks=[]",
        "verdict/test_verdict.py -k cost",
        "checks cost nothing",
    ),
    Fault(
        "agent/experiment/confirm.py",
        "exact = one.fingerprint ==",
        "exact = True or",
        "gate/test_pitfalls.py -k after_the_gate",
        "late tuning is a control",
    ),
    Fault(
        "agent/verdict/decide.py",
        "beside.low <= 0",
        "False",
        "gate/test_pitfalls.py -k made_worse",
        "a worse control makes a win",
    ),
    Fault(
        "scaffold/loading.py",
        "[:count]",
        "",
        "task/test_scaffold.py -k budget",
        "a longer order trains longer",
    ),
    Fault(
        "agent/execution/sandbox/policy.py",
        'else ["--unshare-net"]',
        "else []",
        "execution/test_escapes.py -k tcp",
        "the network is open",
    ),
    Fault(
        "agent/execution/sandbox/policy.py",
        '["--ro-bind", root, root]',
        '["--bind", root, root]',
        "execution/test_escapes.py -k arrays",
        "data can be written",
    ),
    Fault(
        "agent/execution/sandbox/policy.py",
        'command += ["--ro-bind", str(code), str(code)]',
        "pass",
        "execution/test_sandbox.py -k read_only",
        "main.py changes itself",
    ),
    Fault(
        "agent/execution/sandbox/policy.py",
        "for name in _KERNEL if self.own_proc else ():",
        "for name in ():",
        "execution/test_escapes.py -k settings",
        "root sets the kernel's settings",
    ),
    Fault(
        "agent/execution/sandbox/inside/namespaces.py",
        'env={"PATH": "/usr/bin:/bin"}',
        "env=None",
        "execution/test_sandbox.py -k environment",
        "process 1 shows its environment",
    ),
    Fault(
        "agent/execution/sandbox/warm_server.py",
        'if not hasattr(os, "memfd_create"):',
        "if True:",
        "execution/test_escapes.py -k interpreter",
        "the interpreter can be changed",
    ),
    Fault(
        "agent/execution/sandbox/inside/server.py",
        "    confine.drop_privileges()\n",
        "",
        "execution/test_escapes.py -k capabilities",
        "a program keeps capabilities",
    ),
    Fault(
        "agent/execution/sandbox/inside/syscalls.py",
        "*REFUSED[machine].values(), ",
        "",
        "execution/test_escapes.py -k keyring",
        "the keyring is open",
    ),
    Fault(
        "agent/execution/sandbox/inside/watchdog.py",
        "if len(pids) > self.limits",
        "if False and self.limits",
        "execution/test_sandbox.py -k bomb",
        "processes are not counted",
    ),
    Fault(
        "agent/verdict/evidence.py",
        "max((run.sandbox for run in self._coders)",
        "min((run.sandbox for run in self._coders)",
        "verdict/test_verdict.py -k weakest",
        "one unsandboxed run is forgotten",
    ),
    Fault(
        "agent/execution/sandbox/detect.py",
        "problem = _problem(sandbox)",
        'problem = ""',
        "execution/test_sandbox.py -k name_spaces",
        "a sandbox is believed untried",
    ),
]


def caught(fault: Fault) -> bool:
    """Whether the tests fail with the fault in place (pytest's exit code 1; anything else is no verdict)."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "assay"
        shutil.copytree(
            REPOSITORY,
            copy,
            ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", "*.egg-info"),
        )
        file = copy / fault.file
        source = file.read_text(encoding="utf-8")
        if fault.old not in source:
            raise SystemExit(f"{fault.file}: {fault.old!r} is not there any more: update this list")
        file.write_text(source.replace(fault.old, fault.new), encoding="utf-8")
        name, *options = fault.tests.split()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            f"tests/{name}",
            *options,
        ]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(
            f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.returncode == 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="files whose name contains this")
    only, missed = parser.parse_args().only, 0
    for fault in FAULTS:
        if only in fault.file:
            found = caught(fault)
            missed += not found
            print(
                f"{'caught' if found else 'MISSED'}  {fault.file:<24} {fault.what}  ({fault.tests})",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
