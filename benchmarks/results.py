"""What a run found, and its JSON form: the file that the tables are made from."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """One measure on one backend, a value for each repetition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    label: str
    unit: str
    backend: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(self.values), max(self.values)


class Section(BaseModel):
    """One workload: its method in words, and its rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workload: str
    title: str
    method: str
    rows: tuple[Row, ...]

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends with rows, in the order in which they were measured."""
        return tuple(dict.fromkeys(row.backend for row in self.rows))

    @property
    def measures(self) -> tuple[tuple[str, str, str], ...]:
        """Name, label and unit of each measure, in order."""
        return tuple(dict.fromkeys((row.measure, row.label, row.unit) for row in self.rows))

    def find(self, measure: str, backend: str) -> Row | None:
        """Return one row, if it is there."""
        for row in self.rows:
            if (row.measure, row.backend) == (measure, backend):
                return row
        return None

    def row(self, measure: str, backend: str) -> Row:
        """Return one row; raises ``LookupError`` where it is missing."""
        found = self.find(measure, backend)
        if found is None:
            raise LookupError(f"{self.workload} has no {measure} on {backend}")
        return found


class Results(BaseModel):
    """A whole run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: dict[str, str]
    backends: dict[str, str]
    """Each backend with the exact version and the allocator that its server reports."""
    repetitions: int
    scale: float
    """1: the sizes that the methods name; a run at another scale says nothing about those."""
    sections: tuple[Section, ...]

    def section(self, workload: str) -> Section | None:
        """Return what a workload has found, if it ran."""
        for section in self.sections:
            if section.workload == workload:
                return section
        return None

    def save(self, path: Path) -> None:
        """Write the results file."""
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a results file; raises ``pydantic.ValidationError`` where it is none."""
        return cls.model_validate_json(path.read_text("utf-8"))
