"""Keep the shared blocks of ``lua/*.lua`` equal to ``lua/shared/*.lua``.

Each script is self-contained, so that ``redis-cli --eval`` can run it; what several need stands in
each of them between ``-- shared: NAME`` and ``-- end shared``. Edit the block in ``lua/shared``,
then run ``make lua``. A test fails while a copy differs.
"""

from __future__ import annotations

import re
from pathlib import Path

LUA = Path(__file__).resolve().parent.parent / "lua"
_BLOCK = re.compile(r"^-- shared: (\w+)\n.*?^-- end shared\n", re.DOTALL | re.MULTILINE)


def expanded(script: str) -> str:
    """Return a script's text with each marked block replaced by the master copy."""

    def copy(match: re.Match[str]) -> str:
        name = match[1]
        return f"-- shared: {name}\n{(LUA / 'shared' / f'{name}.lua').read_text()}-- end shared\n"

    return _BLOCK.sub(copy, script)


def main() -> None:
    """Rewrite every script whose copies differ."""
    for path in sorted(LUA.glob("*.lua")):
        text = path.read_text()
        if (fresh := expanded(text)) != text:
            path.write_text(fresh)


if __name__ == "__main__":
    main()
