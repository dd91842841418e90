"""What all commands share: the global options, and errors that become an exit status."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, TypeAlias

import typer

from redisstore.cli.output import Output
from redisstore.errors import InvalidInput, RedisStoreError, StoreFull, StoreUnavailable
from redisstore.sync.store import SessionStore

_URL_HELP = "The Redis to use: redis://host:6379/0, unix://, embedded: ..."
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        help=_URL_HELP,
        show_default="REDISSTORE_URL, else redis://localhost:6379/0",
    ),
]
_OtherUrlOption = Annotated[str | None, typer.Option("--url", help=_URL_HELP)]
"""Of a command that takes no namespace: it tells itself what it does without a URL."""
NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        help="Which store in that Redis.",
        show_default="REDISSTORE_NAMESPACE, else redisstore",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON: one document, for lists one a line.")
]

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_OPTIONS = {
    "url": inspect.Parameter("url", _KEYWORD, default=None, annotation=UrlOption),
    "namespace": inspect.Parameter("namespace", _KEYWORD, default=None, annotation=NamespaceOption),
    "json": inspect.Parameter("json", _KEYWORD, default=False, annotation=JsonOption),
}
_OTHER_URL = _OPTIONS["url"].replace(annotation=_OtherUrlOption)
_CONTEXT = inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context)


class WrongUsage(Exception):
    """The arguments don't go together; its text is for people. Exit status 2."""


@dataclass(frozen=True)
class Invocation:
    """One run of a command: what the global options say, and where it speaks."""

    url: str | None
    namespace: str | None
    output: Output

    def open_store(self) -> SessionStore:
        """Return the store that the options and the environment name; close it after use."""
        return SessionStore.from_url(self.url, namespace=self.namespace)


Command: TypeAlias = Callable[Concatenate[Invocation, ...], None]
"""A command as its module writes it; the rest of its arguments are its own options."""


def command(*options: str) -> Callable[[Command], Callable[..., None]]:
    """Make a function with an ``Invocation`` in front a command with global ``options``.

    Each may stand before the command's name or behind it: ``url``, ``namespace``, ``json``. What
    the store raises becomes one line on stderr, and the exit status: 2 for a wrong argument, 3
    where Redis does not answer, 1 for all else. Status 1 also follows from ``Output.failed``.
    """

    def decorate(function: Command) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()

        def run(*, ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401 - any option's value
            chosen = _chosen(ctx, given, options)
            output = Output(as_json=chosen["json"])
            status = _status(
                output,
                lambda: function(Invocation(chosen["url"], chosen["namespace"], output), **given),
            )
            sys.stdout.flush()
            raise typer.Exit(status)

        parameters = [_CONTEXT, *(one.replace(kind=_KEYWORD) for one in own)]
        shared = _OPTIONS if "namespace" in options else _OPTIONS | {"url": _OTHER_URL}
        parameters += [shared[name] for name in options]
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _chosen(ctx: typer.Context, given: dict[str, Any], taken: tuple[str, ...]) -> dict[str, Any]:
    """Settle the global options, taking them out of ``given``: behind the name wins."""
    chosen = {}
    for name, before in ctx.obj.items():
        behind = given.pop(name, None)
        chosen[name] = behind if _is_given(behind) else before
        if _is_given(before) and name not in taken:
            raise typer.BadParameter(f"--{name} does not apply to {ctx.info_name}")
    return chosen


def _is_given(value: str | bool | None) -> bool:
    """Whether an option was given; an empty text is, and for its reader to refuse."""
    return value is not None and value is not False


def _status(output: Output, work: Callable[[], None]) -> int:
    try:
        work()
    except (WrongUsage, InvalidInput) as error:
        output.complain(str(error))
        return 2
    except RedisStoreError as error:
        output.complain(str(error))
        # A server that is full has answered.
        away = isinstance(error, StoreUnavailable) and not isinstance(error, StoreFull)
        return 3 if away else 1
    return 1 if output.failed else 0
