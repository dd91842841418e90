"""When a difference is meant, and how the sides are made to agree after it."""

from __future__ import annotations

from .calls import do, source
from .moment import BY_MISTAKE, Moment, entry_of, in_entry
from .side import Side
from .views import NOT_IN_ALL_DICTS, Difference, View

_TOKENS = (
    "total_tokens",
    "last_prompt_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
_MARKS = ("resume_pending", "resume_reason", "last_resume_marked_at")


def not_cut_off(moment: Moment, found: Difference) -> bool:
    if moment.call.name != "recently":
        return False
    if found.path == ("answer",):
        return bool(found.own > 0 and found.plugin == 0)
    return in_entry(found)[:1] in [(name,) for name in _MARKS] and found.plugin in (None, False)


def unmark(moment: Moment, own: Side, _: Side) -> None:
    for key, entry in own.store._entries.items():
        if not moment.before[key]["resume_pending"]:
            entry.resume_pending, entry.resume_reason, entry.last_resume_marked_at = (
                False,
                None,
                None,
            )


def first_origin(moment: Moment, found: Difference) -> bool:
    if not ((moment.own_renewed and moment.plugin_renewed) or moment.revived):
        return False
    path = in_entry(found)
    if path == ("display_name",):
        return bool(found.plugin == moment.session["display_name"])
    if path[:1] != ("origin",) or len(path) != 2:
        return False
    said, known = source(moment.gateway, moment.call.lane).to_dict(), moment.session["origin"]
    return (found.own, found.plugin) == (said.get(path[1]), known.get(path[1]))


def take_origin(moment: Moment, own: Side, plugin: Side) -> None:
    entry, wanted = entry_of(own, moment.key), entry_of(plugin, moment.key)
    entry.origin, entry.display_name = wanted.origin, wanted.display_name


def credential(moment: Moment, found: Difference) -> bool:
    return (
        moment.call.name == "override"
        and in_entry(found) == ("model_override", "base_url")
        and "secret" in found.own
        and found.plugin == "https://models.example/v1"
    )


def take_override(moment: Moment, own: Side, plugin: Side) -> None:
    entry_of(own, moment.key).model_override = plugin.store.get_model_override(moment.key)


def due_again(moment: Moment, found: Difference) -> bool:
    return (
        moment.call.name in {"message", "update"}
        and moment.session is not None
        and moment.session["expiry_finalized"]
        and in_entry(found) == ("expiry_finalized",)
        and (found.own, found.plugin) == (True, False)
    )


def not_finalized(moment: Moment, own: Side, _: Side) -> None:
    entry_of(own, moment.key).expiry_finalized = False


def any_tokens(moment: Moment, found: Difference) -> bool:
    return (
        moment.own_renewed
        and in_entry(found) == ("reset_had_activity",)
        and (found.own, found.plugin) == (False, True)
        and any(moment.session[name] for name in _TOKENS)
    )


def had_activity(moment: Moment, own: Side, _: Side) -> None:
    entry_of(own, moment.key).reset_had_activity = True


def registry_broken(moment: Moment, _: Difference) -> bool:
    return (
        moment.call.name == "message"
        and moment.registry_broke
        and not (moment.session or {}).get("resume_pending")
    )


def again_with_process(moment: Moment, own: Side, _: Side) -> View:
    with own.broken_counts_as_running():
        return do(own, moment.call)


def pruned_unseen(moment: Moment, found: Difference) -> bool:
    if moment.call.name != "prune" or found.path != ("answer",) or moment.gateway.promotes:
        return False
    unseen = [key for key in moment.before if moment.processes.get(key) == "fails"]
    return bool(0 < found.own - found.plugin <= len(unseen))


def prune_too(moment: Moment, own: Side, plugin: Side) -> None:
    for key in moment.before:
        if entry_of(own, key) is None:
            plugin.store.shared.delete_session(key)
    plugin.forget()


def why_reset(moment: Moment, found: Difference) -> bool:
    return (
        moment.call.name == "restart"
        and moment.gateway.forgets_resets
        and len(found.path) == 3
        and found.path[2] in NOT_IN_ALL_DICTS
        and found.own in (None, False)
        and found.plugin == moment.before[found.path[1]][found.path[2]]
    )


def remember_resets(moment: Moment, own: Side, _: Side) -> None:
    for key, entry in own.store._entries.items():
        for name in NOT_IN_ALL_DICTS:
            setattr(entry, name, moment.before[key][name])


def ended_at_start(moment: Moment, found: Difference) -> bool:
    if moment.call.name != "restart" or not moment.gateway.recovers:
        return False
    if found.path[0] == "rows":  # some of these are opened again, though the session is dropped
        is_reopened = found.own is None and moment.ended(found.path[1]) == found.plugin
        return is_reopened and found.plugin in BY_MISTAKE
    dropped = len(found.path) == 2 and found.own is None
    return dropped and moment.ended(found.plugin["session_id"]) is not None


def drop_ended(moment: Moment, _: Side, plugin: Side) -> None:
    for key, entry in moment.plugin["answer"].items():
        if key not in moment.own["answer"]:
            plugin.store.shared.delete_session(key)
            if moment.own["rows"][entry["session_id"]][0] is None:
                plugin.store._db.reopen_session(plugin.id_of(entry["session_id"]))
    plugin.forget()


def ended_and_due(moment: Moment, found: Difference) -> bool:
    return (
        moment.gateway.recovers
        and not moment.gateway.promotes
        and moment.own_renewed
        and moment.plugin_renewed
        and moment.ended(moment.session["session_id"]) is not None
        and moment.plugin["answer"]["was_auto_reset"]
        and in_entry(found)[:1] in [(name,) for name in NOT_IN_ALL_DICTS]
    )


def say_why(moment: Moment, own: Side, plugin: Side) -> None:
    entry, wanted = entry_of(own, moment.key), entry_of(plugin, moment.key)
    for name in NOT_IN_ALL_DICTS:
        setattr(entry, name, getattr(wanted, name))


def began_anew(moment: Moment, found: Difference) -> bool:
    field = found.path[-1]
    if not moment.setup.recover or not moment.gateway.recovers or len(found.path) < 2:
        return False
    if field == "is_new":
        return (found.own, found.plugin) == (False, True)
    both = isinstance(found.own, str) and isinstance(found.plugin, str)
    return field == "created_at" and both and found.own < found.plugin


def begin_anew(_: Moment, own: Side, plugin: Side) -> None:
    for key, entry in own.store._entries.items():
        entry.created_at = entry_of(plugin, key).created_at


def one_of_those_that_share(moment: Moment, _: Difference) -> bool:
    own, plugin = moment.own["answer"], moment.plugin["answer"]
    if moment.call.name != "lookup" or own is None or plugin is None:
        return False
    known = moment.before[plugin["session_key"]]
    return bool(own["session_id"] == plugin["session_id"] and plugin == known)


def nothing(*_: object) -> None:
    """Leave all as it is: the sides are alike."""
