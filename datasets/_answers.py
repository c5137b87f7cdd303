"""What GLDv2 and DISC21 have in common: a CSV file says which pictures of the gallery answer a query, if any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench import DataError, Relevance
from bench.data.formats.csv_table import read_csv
from bench.data.layouts.listing import Part

LABEL = "picture"  # of every picture: lists say what answers, labels do not


def cells(source: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each line. Raises DataError for a file without these columns."""
    table = read_csv(source)
    if not set(columns) <= set(table.header):
        raise DataError(f"{source}: line 1: expected {','.join(columns)!r}; it is another data set's file")
    yield from table.rows


def asked_by(
    source: Path, query: Sequence[tuple[int, str, str, Sequence[str]]], gallery: Sequence[tuple[str, str]]
) -> dict[str, Part]:
    """Return query and gallery. query: (line of the source, path, id, ids that answer) each; gallery: (path, id) each.

    Raises DataError that names the line of an answer that is not in the gallery.
    """
    known = {one for _, one in gallery}
    for line, _, _, answers in query:
        unknown = [one for one in answers if one not in known]
        if unknown:
            raise DataError(
                f"{source}: line {line}: {unknown[0]} is no picture of the gallery; it is not the whole set"
            )
    relevance = Relevance(positives=tuple(tuple(answers) for *_, answers in query))
    return {
        "query": replace(Part.of((path, LABEL, one) for _, path, one, _ in query), relevance=relevance),
        "gallery": Part.of((path, LABEL, one) for path, one in gallery),
    }
