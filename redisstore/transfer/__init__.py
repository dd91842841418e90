"""Carrying a whole store over: from and to what the reference gateway keeps.

hermes-agent 0.13 to 0.19 write a ``sessions.json``, one JSON object of session key to row; since
0.18 it reads its ``state.db`` first, an SQLite file with a table of the same rows. Both have naive
local times, so the caller names their time zone.

* `document`: the file and the rows in it; `routing`: the table; `layer`: rows of either;
  `material`: all that a path has, one row a session key; `times`: its local times;
* `reading`, `writing`: one row to an entry, and back;
* `target`: a file replaced as a whole; `scope_target`: the rows of one scope in a table;
* `comparison`: a file beside a store; `amending`: what of that is put right;
* `importing`, `verifying`, `exporting`: the whole way, for both stores; `report`: what came of it.
"""

from __future__ import annotations

from redisstore.transfer.exporting import export_file, export_file_async
from redisstore.transfer.importing import import_file, import_file_async
from redisstore.transfer.report import (
    BadRow,
    Difference,
    ExportReport,
    FieldDifference,
    ImportReport,
    OnProgress,
    VerifyReport,
)
from redisstore.transfer.verifying import verify_file, verify_file_async

__all__ = [
    "BadRow",
    "Difference",
    "ExportReport",
    "FieldDifference",
    "ImportReport",
    "OnProgress",
    "VerifyReport",
    "export_file",
    "export_file_async",
    "import_file",
    "import_file_async",
    "verify_file",
    "verify_file_async",
]
