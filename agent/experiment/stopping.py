"""The reasons for which the coder is asked no further."""

from __future__ import annotations

from collections.abc import Callable

from agent.archive.run import RunStatus
from agent.experiment.event_log import Event, EventLog
from agent.experiment.plan import StopLimits, StopReason

IDLE_REPLIES = 2  # replies in a row that change nothing: the coder has given up


def stop_reason(
    log: EventLog,
    limits: StopLimits,
    cost_left: Callable[[], float | None],
) -> StopReason | None:
    """Return why the coder is asked no further; None: it is asked, or its last edit is tried.

    cost_left: US dollars; None: no cap.
    """
    if log.named("confirm"):  # the best run was chosen: to raise a limit now is to begin anew
        return StopReason(log.named("stopped")[-1]["reason"])
    edits = log.named("edit")
    if edits and not edits[-1]["attempt"]:
        return _ending(edits[-1])
    if log.open_edit():
        return None
    return _limit_reached(log, edits, limits) or _cost_limit(cost_left())


def _ending(last_edit: Event) -> StopReason:
    """Return how the coder ended the conversation."""
    if last_edit["status"] == "session_ended":
        return StopReason.SESSION_ENDED
    return StopReason.COMPLETED


def _limit_reached(
    log: EventLog,
    edits: list[Event],
    limits: StopLimits,
) -> StopReason | None:
    if len(log.successes()) >= limits.runs:
        return StopReason.RUN_LIMIT
    if edits and edits[-1]["completed"]:
        last = log.named("attempt")[-1]
        if last["status"] == RunStatus.SUCCESS:
            return StopReason.COMPLETED
    if log.idle_replies_in_a_row() >= IDLE_REPLIES:
        return StopReason.NO_EDIT
    if log.failures_in_a_row() >= limits.failures:
        return StopReason.FAILURE_LIMIT
    return None


def _cost_limit(left: float | None) -> StopReason | None:
    if left is not None and left <= 0:
        return StopReason.COST_LIMIT
    return None
