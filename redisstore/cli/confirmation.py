"""Asking before what can't be undone. Questions go to stderr: stdout is for results."""

from __future__ import annotations

import typer

from redisstore.cli.output import Output, escaped


def agreed(output: Output, question: str) -> bool:
    """Ask for a yes. Whoever has nobody to ask has a no."""
    try:
        answer = typer.confirm(escaped(question), err=True)
    except typer.Abort:
        answer = False
    return _told(output, answer)


def typed(output: Output, question: str, word: str) -> bool:
    """Ask for a word, to be typed as it is."""
    try:
        answer: str = typer.prompt(escaped(question), err=True)
    except typer.Abort:
        answer = ""
    return _told(output, answer == word)


def _told(output: Output, agreed: bool) -> bool:
    if not agreed:
        output.complain("nothing was done: it was not confirmed; --yes says so beforehand")
    return agreed
