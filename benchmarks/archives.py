"""Archives as experiments leave them, made up quickly.

For benchmarks and for tests of what is read from many.

Names, sizes and shapes are those of real archives; numbers are drawn at random, the
same for the same count. Nothing was trained.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Budget, Metric, Run, RunStatus
from agent.archive.verdict import CLASSES, SCHEMA
from agent.util.diff import diff

REPOSITORY = Path(__file__).resolve().parent.parent
CODE = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((REPOSITORY / "scaffold").glob("*"))
    if path.is_file()
}
SESSION = (REPOSITORY / "ideas/sessions/frequency_domain_cnn.jsonl").read_text(encoding="utf-8")
ANSWERS = [json.loads(line) for line in SESSION.splitlines()]
REPLIES = [answer["reply"] for answer in ANSWERS if "reply" in answer]
PROMPT = (REPOSITORY / "templates/start.md.j2").read_text(encoding="utf-8")
VERSIONS = {package.metadata["Name"]: package.version for package in distributions()}
PACKAGES = dict(sorted(VERSIONS.items())[:100])
STATES = (
    "supported",
    "inconclusive",
    "not_supported",
    "inconclusive",
    "not_supported",
    "not_implemented",
    "inconclusive",
    "no_result",
    "inconclusive",
    "invalid",
    "fault",
    "unfinished",
    "not_supported",
    "old_format",
    "damaged",
)
DAMAGES = ("torn verdict", "no config", "events", "types", "folder for a file", "empty verdict")
BEGAN = 1_790_000_000  # seconds since 1970
CRASH = (
    "Traceback (most recent call last):\n"
    '  File "main.py", line 61, in forward\n'
    "    x = self.pool(F.relu(self.stage2(x)))\n"
    "RuntimeError: The size of tensor a (3) must match the size of tensor b (2) "
    "at non-singleton dimension 3"
)


def make_archives(runs: Path, count: int, whole: float = 0.1) -> list[Archive]:
    """Make `count` experiments under runs/, whose states go round STATES.

    whole: the share of those with all their run folders.
    """
    ideas = sorted((REPOSITORY / "ideas").glob("*.md"))
    step = round(1 / whole) if whole else count + 1
    archives = []
    for index in range(count):
        idea = ideas[index % len(ideas)]
        with_runs = bool(whole) and index % step == 0
        archives.append(_make(runs, index, idea, with_runs))
    return archives


def _make(runs: Path, index: int, idea: Path, whole: bool) -> Archive:
    rng = random.Random(index)
    state = STATES[index % len(STATES)]
    began = BEGAN + 977.0 * index
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began))
    slug = idea.stem if index < 8 else f"{idea.stem}_{index // 16}"
    archive = Archive(runs / slug / stamp)
    (archive.folder / "workspace").mkdir(parents=True)
    attempts = _attempts(rng, state)
    text = idea.read_text(encoding="utf-8")
    title = next(line[2:] for line in text.split("\n") if line.startswith("# "))
    events = _events(rng, state, attempts, text, began)
    _write(archive.idea, text)
    _write(archive.config, _config(slug, title, index))
    _write(archive.session, _as_lines(_session(rng, len(attempts))))
    _write(archive.chat, f"\n# aider chat started\n\n#### {text}\n\n" + "\n\n".join(REPLIES))
    for name, source in CODE.items():
        _write(archive.workspace / name, source)
    if state not in ("fault", "unfinished"):
        verdict = {"old_format": "inconclusive", "damaged": "not_supported"}.get(state, state)
        events.append({"time": began + 900, "event": "verdict", "verdict": verdict})
        record = _verdict(rng, verdict, slug, title, attempts)
        record["experiment"] |= {"began": began, "ended": began + 900, "seconds": 880.5}
        if state == "old_format":
            record["schema"] = 1
        _write(archive.verdict, record)
    _write(archive.events, _as_lines(events))
    if whole:
        _write_runs(rng, archive, attempts)
    if state == "damaged":
        _damage(archive, DAMAGES[index // len(STATES) % len(DAMAGES)])
    return archive


def _attempts(rng: random.Random, state: str) -> list[Run]:
    """What the coder made: up to three runs, some after a failed attempt."""
    statuses = {"not_implemented": RunStatus.NOT_LIVE, "invalid": RunStatus.GUARD_FAILED}
    most = 1 if state == "unfinished" else 3
    attempts = list[Run]()
    for number in range(1, most + 1):
        if rng.random() < 0.3 or state in ("no_result", "not_implemented", "invalid"):
            failed = Run(
                number,
                statuses.get(state, RunStatus.CRASH),
                f"run_{number}.failed_1",
                message=CRASH,
                seconds=round(rng.uniform(0.5, 9), 3),
            )
            attempts.append(failed)
        if state not in ("no_result", "not_implemented"):
            attempts.append(_success(rng, number))
    return attempts


def _success(rng: random.Random, number: int) -> Run:
    value = round(rng.uniform(0.6, 0.9), 16)
    seconds = round(rng.uniform(3, 400), 3)
    metrics = {
        "val_accuracy": value,
        "val_loss": rng.uniform(0.4, 0.9),
        "train_loss": rng.uniform(0.3, 1.2),
        "epochs": 3,
        "steps": 2109,
        "samples": 135000,
        "updates": 2109,
        "backwards": 2109,
        "images": 135000,
        "images_per_second": rng.uniform(2e3, 4e4),
        "peak_memory_mb": rng.uniform(300, 2000),
        "device": "cpu",
        "parameters": rng.randint(128_266, 400_000),
    }
    return Run(
        number,
        RunStatus.SUCCESS,
        f"run_{number}" if number else "",
        metrics,
        value,
        seconds=seconds,
        cpu_seconds=seconds * 1.8,
        environment="5a683fb13d92",
        used={"memory": 2 * 10**8, "processes": 3, "disk": 10**6},
        sandbox="bwrap",
    )


def _config(slug: str, title: str, index: int) -> dict[str, Any]:
    environment = {"key": "5a683fb13d92", "python": "3.11.7", "packages": PACKAGES}
    key = {
        "scaffold": "4ab82a7e883e6b32",
        "split": "def5cf6e35ef300f",
        "epochs": 3,
        "device": "auto: cpu",
        "metric": asdict(Metric()),
        "environment": "5a683fb13d92",
        "packages": PACKAGES,
    }
    return {
        "key": f"{index:016x}",
        "idea": title,
        "slug": slug,
        "source": f"ideas/{slug}.md",
        "idea_sha": f"{index:016x}",
        "front_matter": {},
        "model": "anthropic/claude-sonnet",
        "judge": None,
        "scaffold": "scaffold",
        "asked": {"dataset": "cifar100", "train_size": None},
        "seeds": {"control": 8, "confirm": 5},
        "open": False,
        "dataset": {
            "name": "cifar100",
            "classes": 100,
            "channels": 3,
            "size": 32,
            "train_count": 45000,
            "val_count": 5000,
            "test_count": 10000,
            "duplicates_dropped": 3,
            "split": "def5cf6e35ef300f",
        },
        "budget": asdict(Budget(3, 0, 3600.0)),
        "metric": asdict(Metric()),
        "limits": {"runs": 3, "failures": 4},
        "baseline_key": key,
        "provenance": {
            "commit": "d062498ca6de84a3c5e3f139b9484062f5fe3eb7",
            "uncommitted": "",
            "python": "3.11.7",
            "platform": "Linux",
            "processor": "x86_64",
            "cores": 2,
            "harness_packages": {},
            "environment": environment,
        },
    }


def _session(rng: random.Random, turns: int) -> list[dict[str, Any]]:
    return [
        {
            "turn": turn,
            "reply": rng.choice(REPLIES),
            "finish_reason": "stop",
            "cost": round(rng.uniform(0.005, 0.06), 6),
            "prompt_tokens": rng.randint(4000, 20000),
            "completion_tokens": rng.randint(300, 2500),
        }
        for turn in range(1, turns + 1)
    ]


def _events(
    rng: random.Random, state: str, attempts: list[Run], text: str, began: float
) -> list[dict[str, Any]]:
    """About 50 kB, most of it what was said and the files after each edit."""
    files = {name: CODE[name] for name in ("main.py", "requirements.txt")}
    events: list[dict[str, Any]] = [
        {"event": "workspace", "files": files},
        {
            "event": "sitting",
            "limits": {"runs": 3, "failures": 4},
            "max_cost": None,
            "addable": sorted(PACKAGES)[:23],
        },
        {"event": "baseline", "value": round(rng.uniform(0.55, 0.85), 16)},
    ]
    for turn, run in enumerate(attempts, 1):
        prompt = text + PROMPT if turn == 1 else CRASH
        repair = f"# Fix any errors below, if possible.\n\n{CODE['main.py']}"
        reply = rng.choice(REPLIES)
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": reply},
            {"role": "user", "content": repair},
            {"role": "assistant", "content": reply},
        ]
        events.append(
            {
                "event": "edit",
                "turn": turn,
                "number": run.number,
                "attempt": True,
                "changed": True,
                "completed": False,
                "text": reply,
                "status": "ok",
                "unmatched": False,
                "refused": [],
                "repairs": turn % 2,
                "tokens_sent": rng.randint(4000, 20000),
                "tokens_received": rng.randint(300, 2500),
                "cost": round(rng.uniform(0.005, 0.06), 6),
                "seconds": 7.5,
                "files": files,
                "messages": messages,
            }
        )
        events.append(
            {
                "event": "attempt",
                "number": run.number,
                "folder": run.folder,
                "status": run.status.value,
                "value": run.value,
            }
        )
    if state == "fault":
        events.append(
            {
                "event": "fault",
                "kind": "provider",
                "detail": "openai: RateLimitError: 429 [too many requests] after 4 requests",
            }
        )
    elif state != "unfinished":
        reason = "failure_limit" if state == "no_result" else "run_limit"
        events.append({"event": "stopped", "reason": reason})
    step = 800 / len(events)
    times = [round(began + step * place, 3) for place in range(len(events))]
    return [{"time": when, **event} for when, event in zip(times, events, strict=True)]


def _verdict(
    rng: random.Random, verdict: str, slug: str, title: str, attempts: list[Run]
) -> dict[str, Any]:
    """Return a record of this verdict, but for the times of the experiment."""
    effect = _effect(rng, verdict) if verdict in CLASSES[:3] else None
    values = [run.value for run in attempts if run.value is not None]
    ratio = round(rng.uniform(0.8, 3), 3)
    params = [128266.0, float(rng.randint(120_000, 300_000))]
    costs = [round(rng.uniform(0.005, 0.3), 6), None]
    experiment = {
        "data": "cifar100",
        "model": "anthropic/claude-sonnet",
        "open": False,
        "epochs": 3,
        "baseline": round(rng.uniform(0.55, 0.85), 16),
        "best": max(values, default=None),
        "runs": len(values),
        "failed": len(attempts) - len(values),
        "stopped": "run_limit",
    }
    qualifiers = ["judge = coder's model"]
    if ratio > 1.5:
        qualifiers.insert(0, f"at {ratio:.1f}x time")
    return {
        "schema": SCHEMA,
        "idea": {
            "id": slug,
            "sha": "5ebd13ff342d1168",
            "title": title,
            "metric": "val_accuracy",
            "direction": "max",
            "min_effect": 0.005,
            "criteria_sha": "fcc060fe6cbad438",
        },
        "verdict": verdict,
        "reasons": [f"made up for a benchmark: {verdict}"],
        "qualifiers": qualifiers,
        "effect": effect,
        "against_scaffold": None,
        "baseline": _arm(rng, "control", 8) | {"key": {"packages": PACKAGES}},
        "candidate": _arm(rng, "idea", 5),
        "implemented": {
            "control_equals_baseline": True,
            "idea_differs_from_control": verdict != "not_implemented",
            "idea_equals_baseline": False,
            "largest_difference": 0.0155,
            "added_statements": 13,
            "executed": 13,
            "idea_only": 9,
            "operators": {f"aten.operator_{place}": place for place in range(22)},
            "parameters": [128266, 131082],
            "steps": [9, 9, 9],
            "order_differs": False,
            "recipe": {},
            "judgement": None,
            "control_check": {"seed": 449432907, "same": True, "exact": True, "distance": 0.0},
            "coder_model": "anthropic/x",
        },
        "budget": {
            "epochs": [2109.0, 2109.0],
            "samples": [2109.0, 2109.0],
            "updates": [2109.0, 2109.0],
            "backwards": [2109.0, 2109.0],
            "images": [2109.0, 2109.0],
            "params": params,
            "cpu_s": [100.0, 100 * ratio],
            "wall_s": [60.0, 60 * ratio],
            "time_ratio": ratio,
            "tuning_runs": {"candidate": len(attempts), "baseline": 0},
        },
        "integrity": {
            "guard": [],
            "sandbox": "bwrap",
            "network": False,
            "labels_visible": ["train", "val"],
            "scaffold_sha": "4ab82a7e",
            "dup_dropped": 3,
            "test_count": 10000,
        },
        "selection": {
            "explore": [
                {"run": run.folder, "dev": run.value, "status": run.status.value}
                for run in attempts
            ],
            "chosen": 1 if effect else None,
            "rule": "best validation value of the runs",
            "dev_shown_to_coder": len(values),
            "test_shown_to_coder": 0,
        },
        "repro": {
            "git": "d062498ca6de84a3",
            "dirty": False,
            "environment": "5a683fb13d92",
            "split_sha": "def5cf6e35ef300f",
            "python": "3.11.7",
            "torch": "2.10.0",
            "device": "auto: cpu",
            "command": "python launch.py reproduce RUN",
        },
        "cost": {
            "runs": 8,
            "wall_s": 17.5,
            "cpu_s": 16.2,
            "gpu_s": 0.0,
            "llm_usd": rng.choice(costs),
            "tokens": rng.randint(9000, 80000),
        },
        "experiment": experiment,
    }


def _effect(rng: random.Random, verdict: str) -> dict[str, Any]:
    delta, half, p_value = {
        "supported": (rng.uniform(0.01, 0.05), 0.009, rng.uniform(1e-6, 0.02)),
        "not_supported": (rng.uniform(-0.06, -0.01), 0.008, rng.uniform(0.6, 0.999)),
        "inconclusive": (rng.uniform(-0.01, 0.02), 0.04, rng.uniform(0.03, 0.9)),
    }[verdict]
    delta = round(delta, 6)
    return {
        "delta": delta,
        "ci95": [round(delta - half, 6), round(delta + half, 6)],
        "se_seed": 0.004,
        "se_test": 0.001,
        "p_value": round(p_value, 6),
        "p_better": 0.8,
        "mde80": 0.012,
        "n_cand": 5,
        "n_base": 8,
        "q_bh": None,
    }


def _arm(rng: random.Random, name: str, seeds: int) -> dict[str, Any]:
    accuracies = [round(rng.uniform(0.7, 0.8), 6) for _ in range(seeds)]
    return {
        "arm": name,
        "mean": sum(accuracies) / seeds,
        "sd": 0.01,
        "seeds": [rng.randrange(2**31) for _ in accuracies],
        "acc": accuracies,
        "pred_sha": [f"{rng.randrange(2**64):016x}" for _ in accuracies],
        "failed": [],
    }


def _write_runs(rng: random.Random, archive: Archive, attempts: list[Run]) -> None:
    before = archive.run(0)
    _write_run(rng, before, _success(rng, 0), CODE["main.py"], before)
    for place, run in enumerate(attempts, 1):
        added = f"        self.mix{place} = nn.Conv2d(32, 64, 1, bias=False) if IDEA else None\n"
        source = (before.code / "main.py").read_text(encoding="utf-8")
        source = source.replace(
            "    def forward(self, x):\n", f"{added}\n    def forward(self, x):\n", 1
        )
        folder = RunFolder(archive.folder / run.folder)
        _write_run(rng, folder, run, source, before)
        before = folder


def _write_run(
    rng: random.Random, folder: RunFolder, run: Run, source: str, before: RunFolder
) -> None:
    for name, text in (CODE | {"main.py": source}).items():
        _write(folder.code / name, text)
    _write(folder.result, replace(run, folder=run.folder).save())
    _write(folder.environment, {"key": "5a683fb13d92", "packages": PACKAGES})
    if run.number:
        _write(folder.diff, diff(before.code, folder.code))
        _write(folder.prompt, CRASH)
        _write(folder.reply, rng.choice(REPLIES))
        passed = {"status": None, "message": "", "seconds": 0.7}
        checks = [{"name": name, **passed} for name in ("guard", "smoke")]
        _write(folder.gate, {"checks": checks, "facts": None})
    if run.ok:
        _write(folder.metrics, _metrics())
    _write(folder.stdout, "epoch 1\nepoch 2\nepoch 3\n" if run.ok else "")
    _write(folder.stderr, run.message)


def _metrics() -> str:
    columns = {
        "epoch": [1, 2, 3],
        "val_loss": [2 / epoch for epoch in (1, 2, 3)],
        "val_acc": [0.2 * epoch for epoch in (1, 2, 3)],
        "train_loss": [2.2 / epoch for epoch in (1, 2, 3)],
        "train_acc": [0.19 * epoch for epoch in (1, 2, 3)],
        "lr": [0.001] * 3,
        "images_per_second": [2608.8] * 3,
        "seconds": [0.4] * 3,
        "steps": [703, 1406, 2109],
        "samples": [45000, 90000, 135000],
    }
    rows = [columns.keys(), *zip(*columns.values(), strict=True)]
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def _damage(archive: Archive, how: str) -> None:
    if how == "no config":
        archive.config.unlink()
        archive.verdict.unlink()
    elif how == "events":
        text = archive.events.read_text(encoding="utf-8").replace("\n", "\n{damaged\n", 1)
        _write(archive.events, text.rpartition('{"time"')[0])
    elif how == "types":
        record = json.loads(archive.verdict.read_text(encoding="utf-8"))
        _write(archive.verdict, record | {"effect": "x", "reasons": 3})
    elif how == "folder for a file":
        archive.verdict.unlink()
        archive.config.unlink()
        archive.config.mkdir()
        _write(archive.events, '{"event": "sitting"}\n')
    elif how == "empty verdict":
        _write(archive.verdict, "")
    else:
        _write(archive.verdict, archive.verdict.read_text(encoding="utf-8")[:900])


def _as_lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _write(path: Path, content: str | dict[str, Any]) -> None:
    """Write a file, but do not bring it to the disk as an experiment would.

    A thousand archives are made in seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, indent=2)
    path.write_text(text, encoding="utf-8")
