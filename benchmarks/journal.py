"""What a long benchmark has measured so far, so that an interrupted run can go on.

A JSON line for each measurement in `.lab/bench/NAME.jsonl`. Without `--resume` a run
begins a new file; with it, what the file has counts as measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tools.places import LAB_ROOT

T = TypeVar("T", bound=msgspec.Struct)


class Journal(Generic[T]):
    def __init__(self, name: str, kind: type[T], *, resume: bool, root: Path = LAB_ROOT) -> None:
        self._path = root / "bench" / f"{name}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not resume:
            self._path.unlink(missing_ok=True)
        text = self._path.read_bytes() if self._path.exists() else b""
        # A line that was cut off by the interruption is measured again.
        whole = text[: text.rfind(b"\n") + 1]
        self.entries: list[T] = [
            msgspec.json.decode(line, type=kind) for line in whole.splitlines()
        ]
        if whole != text:
            self._path.write_bytes(whole)

    def add(self, entry: T) -> None:
        self.entries.append(entry)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
