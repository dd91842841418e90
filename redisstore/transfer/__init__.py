"""Carrying a whole store over: from and to the reference gateway's ``sessions.json``.

That file is one JSON object of session key to row. hermes-agent 0.13 and 0.19 write it, with
naive local times, so the caller names their time zone.

* `document`: the file and the rows in it; * `times`: its local times;
* `reading`, `writing`: one row to an entry, and back; * `target`: a file replaced as a whole;
* `importing`, `exporting`: the whole way, for both stores; * `report`: what came of it.
"""

from __future__ import annotations

from redisstore.transfer.exporting import export_file, export_file_async
from redisstore.transfer.importing import import_file, import_file_async
from redisstore.transfer.report import BadRow, ExportReport, ImportReport, OnProgress

__all__ = [
    "BadRow",
    "ExportReport",
    "ImportReport",
    "OnProgress",
    "export_file",
    "export_file_async",
    "import_file",
    "import_file_async",
]
