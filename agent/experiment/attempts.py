"""The attempts of one experiment: each gets a folder, and its final name when it is whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.archive.paths import FAILED, FOREIGN, INTERRUPTED, Archive, RunFolder, rename
from agent.archive.run import Run, load_run
from agent.experiment.event_log import Event, EventLog
from agent.task.scaffold import Workspace
from agent.util.diff import diff
from agent.util.files import append_event, copy_files, write_json, write_text

FILLER = "I updated the files."  # Aider puts it into the conversation in the user's name


@dataclass(frozen=True)
class Attempts:
    """The attempts at the runs of one experiment, in its archive."""

    archive: Archive
    tell: Callable[[Run], None]  # called with every run when it is kept

    def set_up(self, edit: Event) -> RunFolder:
        """Make the folder of an attempt, with the edited code, the prompt, the reply and the diff.

        An unfinished one of the same number is set aside.
        """
        number = edit["number"]
        folder = self.archive.pending(number)
        if folder.folder.exists():
            rename(folder, self.archive.unused(number, INTERRUPTED))
        copy_files(Workspace(self.archive.workspace).folder, folder.code)
        before = self.archive.run(number - 1)
        write_text(folder.prompt, "\n\n---\n\n".join(_prompts(edit)))
        write_text(folder.reply, edit["text"])
        write_text(folder.diff, diff(before.code, folder.code))
        return folder

    def keep(self, run: Run) -> None:
        """Write the result, give the attempt its final name, and announce it.

        What a kill leaves between these is adopted later.
        """
        pending = self.archive.pending(run.number)
        target = self.archive.run(run.number)
        if not run.ok:
            target = self.archive.unused(run.number, FAILED)
        if target.folder.exists():  # some program put it there; it is kept, but not in this place
            rename(target, self.archive.unused(run.number, FOREIGN))
        run = replace(run, folder=target.folder.name)
        write_json(pending.result, run.save())
        rename(pending, target)
        self._announce(run)

    def adopt(self, number: int) -> None:
        """Announce the attempt at run `number` that was finished when a kill came, if there is one.

        There can be no more than one.
        """
        pending = self.archive.pending(number)
        if pending.folder.exists():  # then nothing else of this number is ours
            if pending.result.is_file():
                self.keep(load_run(pending))
            return
        events = EventLog(self.archive.events).named("attempt")
        announced = {event["folder"] for event in events}
        failed = sorted(self.archive.folder.glob(f"run_{number}.{FAILED}_*"))
        for path in (self.archive.run(number).folder, *failed):
            folder = RunFolder(path)
            if path.name not in announced and folder.result.is_file():
                self._announce(load_run(folder))
                return

    def _announce(self, run: Run) -> None:
        append_event(
            self.archive.events,
            "attempt",
            number=run.number,
            folder=run.folder,
            status=run.status.value,
            value=run.value,
        )
        self.tell(run)


def _prompts(edit: Event) -> list[str]:
    """Return what the coder was told in one turn, Aider's own repairs included."""
    messages = [message for message in edit["messages"] if message["role"] == "user"]
    return [message["content"] for message in messages if message["content"] != FILLER]
