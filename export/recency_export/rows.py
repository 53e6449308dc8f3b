"""A data file → its rows, each with the place it has there: CSV (and TSV), JSON lines, Parquet.

Rows come one by one, so that a file of any size fits; a row that cannot be read is a `BadRow` in its place, so that the
caller can name all that is wrong and not only the first.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recency_export.errors import ExportError

FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
MAX_CELL_CHARACTERS = 1 << 20
_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong where: `line` counts from 1 (a row of a Parquet file too), 0 for the whole file."""

    line: int
    column: str
    reason: str

    def text(self, path: Path) -> str:
        """`file:line: column: reason`, as editors and people read it."""
        place = f"{path}:{self.line}" if self.line else str(path)
        return f"{place}: {self.column}: {self.reason}" if self.column else f"{place}: {self.reason}"


class BadFile(ExportError):
    """A file that cannot be imported as it is; nothing was written. `problems` are the first of `count`."""

    def __init__(self, path: Path, problems: Sequence[Problem], count: int | None = None) -> None:
        self.path = path
        self.problems = tuple(problems[:_MOST_SHOWN])
        self.count = len(problems) if count is None else count
        lines = [problem.text(path) for problem in self.problems]
        if self.count > len(lines):
            lines.append(f"… and {self.count - len(lines)} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line, and its cells by column. `typed` says that cells have types (not all are text)."""

    line: int
    cells: Mapping[str, Any]
    typed: bool


def read_rows(path: Path) -> Iterator[Row | Problem]:
    """The rows of a file in order, a Problem where one cannot be read; BadFile where the file as a whole cannot."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(sorted(FORMATS))
        raise BadFile(
            path, [Problem(0, "", f"the ending tells the format, and it is none of {known}; rename the file")]
        )
    if not path.is_file():
        raise BadFile(path, [Problem(0, "", "there is no such file")])
    if kind == "parquet":
        yield from _parquet(path)
        return
    # Undecodable bytes become lone surrogates and are named with their line, which an exception would not do.
    with path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="" if kind == "csv" else None) as file:
        yield from _csv(path, file) if kind == "csv" else _jsonl(file)


def _csv(path: Path, file: io.TextIOWrapper) -> Iterator[Row | Problem]:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    first = file.readline()
    if not first.strip():
        raise BadFile(path, [Problem(1, "", "empty; the first line must name the columns")])
    delimiter = max(",\t;", key=first.count)
    columns = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    _check_header(path, columns)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 2
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(line, "", f"not readable as CSV ({error})")
            continue
        if not cells:
            continue
        if len(cells) != len(columns):
            yield Problem(line, "", f"{len(cells)} columns where the first line names {len(columns)}")
            continue
        damaged = next((name for name, cell in zip(columns, cells, strict=True) if _undecodable(cell)), None)
        if damaged is not None:
            yield Problem(line, damaged, "not UTF-8; save the file as UTF-8")
            continue
        yield Row(line, dict(zip(columns, cells, strict=True)), typed=False)


def _check_header(path: Path, columns: list[str]) -> None:
    if any(_undecodable(name) for name in columns):
        raise BadFile(path, [Problem(1, "", "not UTF-8; save the file as UTF-8")])
    if "" in columns:
        raise BadFile(path, [Problem(1, "", f"column {columns.index('') + 1} has no name")])
    for name in columns:
        if columns.count(name) > 1:
            raise BadFile(path, [Problem(1, name, "names two columns")])


def _undecodable(text: str) -> bool:
    # What surrogateescape leaves of a byte that is not UTF-8.
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _jsonl(file: io.TextIOWrapper) -> Iterator[Row | Problem]:
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        if _undecodable(text):
            yield Problem(line, "", "not UTF-8; save the file as UTF-8")
            continue
        try:
            cells = json.loads(text)
        except json.JSONDecodeError as error:
            yield Problem(line, "", f"not JSON: {error.msg} at character {error.colno}")
            continue
        except (RecursionError, ValueError) as error:
            yield Problem(line, "", f"not JSON that can be read ({type(error).__name__})")
            continue
        if not isinstance(cells, dict):
            yield Problem(line, "", 'not a JSON object; each line must be one, as {"item_id": "…"}')
            continue
        yield Row(line, cells, typed=True)


def _parquet(path: Path) -> Iterator[Row | Problem]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BadFile(path, [Problem(0, "", "Parquet needs pyarrow: pip install 'recency-server[export]'")]) from error
    line = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=2_000):
                for cells in batch.to_pylist():
                    line += 1
                    yield Row(line, cells, typed=True)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise BadFile(path, [Problem(line, "", f"not readable as Parquet ({str(error).splitlines()[0]})")]) from error
