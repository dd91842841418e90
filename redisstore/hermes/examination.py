"""The doctor's round for the plugin: the gateway's home, this environment, then its store.

What can be told without the gateway's own packages is told without them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redisstore.doctor import Finding, examine
from redisstore.errors import InvalidInput, RedisStoreError, StoreUnavailable
from redisstore.hermes.home import configuration, home_of, surroundings, variables
from redisstore.hermes.presence import running, transcripts, untaken
from redisstore.hermes.settings import Settings, told_where
from redisstore.hermes.setup import enabled, installed
from redisstore.sync.store import SessionStore


def examine_gateway(
    directory: str | os.PathLike[str] | None = None, *, repair: bool = False, quick: bool = False
) -> Iterator[Finding]:
    """Look at a gateway's plugin, and at the store that it uses, and yield what is found.

    ``directory``: the gateway's home, else ``HERMES_HOME`` or ``~/.hermes``. Reads the whole store,
    as ``examine`` does; ``repair`` and ``quick`` are for that. ``quick`` leaves the gateway's own
    index out too.

    Raises:
        StoreUnavailable: Redis does not answer; a finding has said so.

    """
    home = home_of(directory)
    if not home.is_dir():
        advice = "name the gateway's home by --home or HERMES_HOME"
        yield Finding("fault", "home", f"{home} is no directory", advice)
        return
    yield Finding("ok", "home", str(home))
    yield from installed()
    try:
        own = variables(home)
        with surroundings(home):
            config = configuration(home)
            findings = list(enabled(config))
    except InvalidInput as error:
        yield Finding("fault", "config", str(error), "what stands there, and below, is not known")
        return
    yield from findings
    try:
        with surroundings(home):
            settings = Settings.of_section(config.get("redisstore"), home)
        store = SessionStore.from_url(config=settings.store)
    except (ValueError, RedisStoreError) as error:
        advice = f"put it right in {home / 'config.yaml'}, in .env there, or in the environment"
        yield Finding("fault", "settings", str(error), advice)
        if isinstance(error, StoreUnavailable):
            raise
        return
    yield from _set(settings, own)
    with store:
        yield from _stored(store, home, repair=repair, quick=quick)


def _set(settings: Settings, own: dict[str, Any]) -> Iterator[Finding]:
    """Say what the settings come to, and what of it another process may see otherwise."""
    store = settings.store
    told = told_where(settings).removeprefix("redisstore: ")
    yield Finding("ok", "settings", f"{told}; days begin in {store.timezone}")
    if not settings.zone_known:
        yield Finding(
            "warning",
            "settings",
            "the time zone of this machine has no name: the gateway does not start if sessions are"
            " reset by the day",
            "set timezone, as Europe/Berlin",
        )
    names = (f"REDISSTORE_{name.upper()}" for name in type(store).model_fields)
    here = [name for name in names if name in os.environ and name not in own]
    if here:
        yield Finding(
            "warning",
            "settings",
            f"set in this shell: {', '.join(here)}; the gateway has it only if it is started so",
            "put it into .env in its home, unless whatever starts the gateway sets it",
        )


def _stored(store: SessionStore, home: Path, *, repair: bool, quick: bool) -> Iterator[Finding]:
    """Look at the store, and at the gateway beside it."""
    try:
        layout_is_right = True
        for finding in examine(store, repair=repair, quick=quick):
            layout_is_right &= (finding.check, finding.severity) != ("layout", "fault")
            yield finding
        if layout_is_right:
            replicas = [one for one in store.list_replicas() if one.alive]
            yield running(home, store.config.replica, replicas)
            yield transcripts(home, store.config.replica, replicas)
            if not quick:
                yield untaken(store, home)
    except RedisStoreError as error:
        advice = "the gateway does not start so; see that Redis runs, and that the URL is right"
        yield Finding("fault", "redis", str(error), advice)
        if isinstance(error, StoreUnavailable):
            raise
