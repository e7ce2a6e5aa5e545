"""Archives as experiments leave them, made up quickly.

For benchmarks and for tests of what is read from many.

Names, sizes and shapes are those of real archives; numbers are drawn at random, the
same for the same count. Nothing was trained.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.archive.paths import Archive, RunFolder
from agent.archive.run import Run
from agent.util.diff import diff
from benchmarks.archive_records import (
    BEGAN,
    CODE,
    CRASH,
    PACKAGES,
    REPLIES,
    REPOSITORY,
    attempted_runs,
    config_record,
    event_records,
    metrics_text,
    session_records,
    successful_run,
)
from benchmarks.archive_verdicts import verdict_record

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
    attempts = attempted_runs(rng, state)
    text = idea.read_text(encoding="utf-8")
    title = next(line[2:] for line in text.split("\n") if line.startswith("# "))
    events = event_records(rng, state, attempts, text, began)
    _write(archive.idea, text)
    _write(archive.config, config_record(slug, title, index))
    _write(archive.session, _as_lines(session_records(rng, len(attempts))))
    _write(archive.chat, f"\n# aider chat started\n\n#### {text}\n\n" + "\n\n".join(REPLIES))
    for name, source in CODE.items():
        _write(archive.workspace / name, source)
    if state not in ("fault", "unfinished"):
        verdict = {"old_format": "inconclusive", "damaged": "not_supported"}.get(state, state)
        events.append({"time": began + 900, "event": "verdict", "verdict": verdict})
        record = verdict_record(rng, verdict, slug, title, attempts)
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


def _write_runs(rng: random.Random, archive: Archive, attempts: list[Run]) -> None:
    before = archive.run(0)
    _write_run(rng, before, successful_run(rng, 0), CODE["main.py"], before)
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
        _write(folder.metrics, metrics_text())
    _write(folder.stdout, "epoch 1\nepoch 2\nepoch 3\n" if run.ok else "")
    _write(folder.stderr, run.message)


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
