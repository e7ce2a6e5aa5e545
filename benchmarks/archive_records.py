"""The records of made-up archives: their shapes are those of real ones, their numbers are drawn."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from agent.archive.run import Budget, Metric, Run, RunStatus

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
BEGAN = 1_790_000_000  # seconds since 1970
CRASH = (
    "Traceback (most recent call last):\n"
    '  File "main.py", line 61, in forward\n'
    "    x = self.pool(F.relu(self.stage2(x)))\n"
    "RuntimeError: The size of tensor a (3) must match the size of tensor b (2) "
    "at non-singleton dimension 3"
)


def attempted_runs(rng: random.Random, state: str) -> list[Run]:
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
            attempts.append(successful_run(rng, number))
    return attempts


def successful_run(rng: random.Random, number: int) -> Run:
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


def config_record(slug: str, title: str, index: int) -> dict[str, Any]:
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


def session_records(rng: random.Random, turns: int) -> list[dict[str, Any]]:
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


def event_records(
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


def metrics_text() -> str:
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
