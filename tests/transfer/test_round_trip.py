"""What goes in comes out, and what comes out goes in: in both forms, for any session."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from redisstore import ModelOverride, SessionEntry, SessionSource, SessionStore
from redisstore.fields import LARGEST_NUMBER, from_ms
from redisstore.transfer import export_file, import_file, verify_file
from tests.transfer.databases import SCOPE, rows_of
from tests.transfer.files import DATA, GATEWAY_DATABASE, GATEWAY_SCOPE, Row, rows_in, whole_ms

FORMS: dict[str, Row] = {"out.json": {}, "out.db": {"scope": SCOPE}}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
@pytest.mark.parametrize("source", ["0.13/sessions.json", "0.19/sessions.json", "0.19/state.db"])
def test_an_export_gives_the_gateways_rows_back(
    local: SessionStore, tmp_path: Path, source: str, zone: str, form: str
) -> None:
    path, out = DATA / f"hermes-{source}", tmp_path / form
    rows = rows_of(path, GATEWAY_SCOPE) if path == GATEWAY_DATABASE else rows_in(path)
    import_file(local, path, zone=zone)
    report = export_file(local, out, zone=zone, **FORMS[form])
    exported = rows_of(out) if FORMS[form] else rows_in(out)
    assert (int(report), report.left_out, report.inexact) == (600, (), {})
    assert exported.keys() == rows.keys()
    for key, before in rows.items():
        after = exported[key]
        assert {name: after[name] for name in before} == {**before, **whole_ms(before)}
        added = after.keys() - before.keys()
        assert not any(after[name] for name in added), added
    assert verify_file(local, out, zone=zone).equal == 600


_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_IDENTIFIER = _TEXT.filter(bool)
_WORD = st.from_regex(r"[A-Za-z0-9_.-]{1,10}", fullmatch=True)
_MOMENT = st.integers(0, 2_000_000_000_000).map(from_ms)
_ENTRY: dict[str, st.SearchStrategy[Any]] = {
    "session_key": _IDENTIFIER.filter(lambda key: not key.startswith("_")),
    **dict.fromkeys(("session_id", "previous_session_id", "replica"), _IDENTIFIER),
    **dict.fromkeys(("created_at", "updated_at", "last_resume_marked_at"), _MOMENT),
    **dict.fromkeys(("platform", "chat_type"), _WORD),
    "version": st.just(1),
    # As many digits as a JSON number keeps; what happens with more is said by the report.
    "estimated_cost_usd": st.integers(0, 10**15).map(lambda nano: Decimal(nano).scaleb(-9)),
    "model_override": st.builds(
        ModelOverride,
        model=_IDENTIFIER,
        provider=st.none() | _IDENTIFIER,
        base_url=st.sampled_from([None, "https://host/v1?a=b"]),
    ),
}
_SOURCE: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("platform", "chat_type"), _WORD),
    **dict.fromkeys(("chat_name", "user_name", "chat_topic", "auto_thread_initial_name"), _TEXT),
}


def _any(
    model: type[BaseModel], named: dict[str, st.SearchStrategy[Any]], text: st.SearchStrategy[str]
) -> st.SearchStrategy[Any]:
    """Return objects of a model with any values in all fields, also in those of later versions."""
    kinds: dict[object, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(0, LARGEST_NUMBER),
    }
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        found = named[name] if name in named else kinds.get(field.annotation, text)
        is_left_out = not field.is_required() and field.default is None
        fields[name] = st.none() | found if is_left_out else found
    return st.builds(model, **fields)


_ENTRIES = st.lists(
    _any(SessionEntry, {**_ENTRY, "origin": _any(SessionSource, _SOURCE, _IDENTIFIER)}, _TEXT),
    min_size=1,
    max_size=3,
    unique_by=lambda entry: entry.session_key,
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40, derandomize=True, database=None, deadline=None)
@given(entries=_ENTRIES)
def test_any_session_comes_back_as_it_was(form: str, entries: list[SessionEntry]) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        SessionStore(fakeredis.FakeRedis()) as here,
        SessionStore(fakeredis.FakeRedis()) as there,
    ):
        assert {verdict for _, verdict in here.import_sessions(entries)} == {"created"}
        out = Path(directory) / form
        export_file(here, out, zone="Asia/Kolkata", **FORMS[form])
        report = import_file(there, out, zone="Asia/Kolkata")
        assert (report.created, report.bad) == (len(entries), ())
        assert by_key(there) == by_key(here) == {entry.session_key: entry for entry in entries}
        assert verify_file(here, out, zone="Asia/Kolkata").equal == len(entries)


def by_key(store: SessionStore) -> dict[str, SessionEntry]:
    return {entry.session_key: entry for entry in store.list_sessions()}
