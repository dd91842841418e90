"""When a difference is meant after which the sides are too unlike to go on."""

from __future__ import annotations

from .moment import BY_MISTAKE, Moment
from .views import Difference

_DUE = ("idle", "daily", "resume_pending_expired")


def due_and_ended(moment: Moment, _: Difference) -> bool:
    if not moment.gateway.recovers or not moment.plugin_renewed or moment.own_renewed:
        return False
    ended = moment.ended(moment.session["session_id"])
    passed_over = ended == "compression" if moment.gateway.promotes else ended in BY_MISTAKE
    return passed_over and bool(moment.plugin["answer"]["was_auto_reset"])


def repointed_at_start(moment: Moment, found: Difference) -> bool:
    if moment.call.name != "restart" or not moment.gateway.recovers or len(found.path) < 3:
        return False
    if found.path[0] != "answer":
        return False
    own, plugin = (seen["answer"][found.path[1]] for seen in (moment.own, moment.plugin))
    row = moment.own["rows"].get(own["session_id"], ["no row"])
    return row[0] is None and moment.ended(plugin["session_id"]) is not None


def interrupted_and_due(moment: Moment, _: Difference) -> bool:
    return (
        not moment.gateway.recovers
        and moment.plugin_renewed
        and moment.session["resume_pending"]
        and moment.plugin["answer"]["auto_reset_reason"] in _DUE
        and moment.own["answer"].get("session_id") == moment.session["session_id"]
    )


def held_and_interrupted(moment: Moment, _: Difference) -> bool:
    if moment.processes.get(moment.key) not in {"runs", "fails"}:
        return False
    broke = moment.call.name == "message" and moment.registry_broke
    return moment.own_gave_up or bool(broke and (moment.session or {}).get("resume_pending"))


def never_reset(moment: Moment, _: Difference) -> bool:
    is_old = moment.gateway.recovers and not moment.gateway.promotes
    return is_old and moment.own_gave_up and moment.setup.mode_of(moment.key) == "none"


def not_revived(moment: Moment, _: Difference) -> bool:
    answer = moment.plugin["answer"]
    return (
        moment.gateway.recovers
        and not moment.setup.recover
        and moment.call.name == "message"
        and moment.session is None
        and moment.own["answer"]["session_id"] in moment.rows
        and answer["session_id"] not in moment.rows
        and not answer["was_auto_reset"]
    )
