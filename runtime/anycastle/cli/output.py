"""What the command prints: tables for people, JSON for programs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from anycastle.model import codec

Cell = str | int | bool | None

STYLES: Mapping[str, str] = {
    "UP": "green",
    "DEMOTED": "yellow",
    "DRAINING": "yellow",
    "DOWN": "bold red",
    "UNKNOWN": "bold red",
}
"""Colour of a cell by its text. Colour never says what the text does not."""


def safe(text: str) -> str:
    """`text` without characters that could steer a terminal (it may come from a node)."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def print_json(value: object) -> None:
    """Indented on a terminal and off it; structs and addresses as the model encodes them."""
    click.echo(msgspec.json.format(codec.to_json(value), indent=2))


def print_json_line(value: object) -> None:
    click.echo(codec.to_json(value))


def pick(value: object, fields: Sequence[str]) -> dict[str, Any]:
    """Those fields of a struct, in that order: a command's documented JSON shape."""
    plain = codec.to_plain(value)
    return {field: plain[field] for field in fields}


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Columns under headings. Whole values always: a narrow terminal wraps, nothing is cut."""
    cells = [[_text(cell) for cell in row] for row in rows]
    click.echo(_render(headings, cells, colour=_coloured()), nl=False)


def print_fields(fields: Mapping[str, Cell]) -> None:
    """One field a line, names aligned."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        click.echo(f"{name:<{width}}  {_text(value)}".rstrip())


def iso(epoch: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, milliseconds kept."""
    moment = datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _coloured() -> bool:
    """On a terminal that shows colour, unless its owner wants none (no-color.org)."""
    dumb = os.environ.get("TERM") in (None, "", "dumb")
    return sys.stdout.isatty() and not dumb and not os.environ.get("NO_COLOR")


def _text(cell: Cell) -> str:
    if cell is None or cell == "":
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return safe(str(cell))


def _render(headings: Sequence[str], cells: Sequence[Sequence[str]], *, colour: bool) -> str:
    # Only tables need rich.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ignore")
    for row in cells:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=colour, width=4096, highlight=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
