"""The differences that are meant: each so narrow that it explains nothing else.

After most of them the sides are made to agree, and the sequence goes on; after the others they are
too unlike, and it ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import settled, unlike
from .moment import Explains, Settle


@dataclass(frozen=True)
class Deliberate:
    """A difference that is meant, and how the sides are made to agree after it."""

    text: str
    explains: Explains
    settle: Settle | None = None


DELIBERATE: tuple[Deliberate, ...] = (
    Deliberate(
        "suspend_recently_active marks what was cut off in the midst of a turn, and nothing else:"
        " what was active lately may be another replica's, and be active still.",
        settled.not_cut_off,
        settled.unmark,
    ),
    Deliberate(
        "A lane keeps the origin and the name that its first message gave it.",
        settled.first_origin,
        settled.take_origin,
    ),
    Deliberate(
        "A model's URL is kept without a user, password or query, where it has a credential.",
        settled.credential,
        settled.take_override,
    ),
    Deliberate(
        "Activity makes a session that was finalized one that will be due, and finalized, again.",
        settled.due_again,
        settled.not_finalized,
    ),
    Deliberate(
        "A session that is reset had activity if it has counted any tokens, of whatever kind.",
        settled.any_tokens,
        settled.had_activity,
    ),
    Deliberate(
        "A process registry that fails does not fail the message: the session counts as held, as"
        " in 0.19.",
        settled.registry_broken,
        settled.again_with_process,
    ),
    Deliberate(
        "A session of which the process registry can't tell is not pruned, as in 0.19.",
        settled.pruned_unseen,
        settled.prune_too,
    ),
    Deliberate(
        "Why a session was reset is known after a restart too, as in 0.16 and later.",
        settled.why_reset,
        settled.remember_resets,
    ),
    Deliberate(
        "At its start a gateway drops no session that its own database says has ended: another"
        " replica's may say otherwise. The next message is told.",
        settled.ended_at_start,
        settled.drop_ended,
    ),
    Deliberate(
        "A session that is due or suspended is reset and says so, also if its row had ended, as in"
        " 0.19.",
        settled.ended_and_due,
        settled.say_why,
    ),
    Deliberate(
        "A session that was revived from the database has begun, to whoever has not done that, when"
        " it was revived.",
        settled.began_anew,
        settled.begin_anew,
    ),
    Deliberate(
        "Of several sessions that share a conversation, either may be found by its id.",
        settled.one_of_those_that_share,
        settled.nothing,
    ),
    Deliberate(
        "At its start a gateway binds no session to another conversation that its own database"
        " knows of: another replica's may know better.",
        unlike.repointed_at_start,
    ),
    Deliberate(
        "A session that is due or suspended is reset, also if its transcript was compressed (as in"
        " 0.18), or its row was closed by mistake (as in 0.19).",
        unlike.due_and_ended,
    ),
    Deliberate(
        "What a process holds is not reset for having been interrupted long ago either.",
        unlike.held_and_interrupted,
    ),
    Deliberate(
        "With the policy none an interrupted session is not reset, however old, as in 0.19.",
        unlike.never_reset,
    ),
    Deliberate(
        "The reset policy is asked about an interrupted session too, as in 0.18 and later.",
        unlike.interrupted_and_due,
    ),
    Deliberate(
        "A session that Redis does not have is not revived from one replica's database, unless"
        " the setting says so.",
        unlike.not_revived,
    ),
)
