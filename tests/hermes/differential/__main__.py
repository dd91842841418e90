"""Run by its path, `python tests/hermes/differential`: the gateway has packages named as ours."""

import sys
from pathlib import Path

# Ours come last: the gateway's `tools` and `gateway` have to be found before them.
sys.path[0:1] = []
sys.path.append(str(Path(__file__).resolve().parents[3]))

if __name__ == "__main__":
    from tests.hermes.differential.driver import main

    sys.exit(main())
