"""A file that only its owner may read, whole or not there at all.

The room for it is taken (and so every permission and disk error met) before the
caller does what it can't undo; the content follows, and the name appears last.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self


class PrivateFile:
    """Context manager: `with PrivateFile(path) as file: ...; file.write(text)`.

    replace: whether a file of that name may be replaced. Raises FileExistsError
    where it may not, other OSErrors as they come; then no file has changed.
    """

    def __init__(self, path: Path, *, replace: bool = False) -> None:
        self.path = path
        self.replace = replace
        self._draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        self._descriptor = -1

    def __enter__(self) -> Self:
        if self.path.is_dir():
            raise IsADirectoryError(21, os.strerror(21), str(self.path))
        if not self.replace and os.path.lexists(self.path):
            raise FileExistsError(17, os.strerror(17), str(self.path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._draft, flags, 0o600)
        return self

    def write(self, text: str) -> None:
        """Write all of it, to the disk, and give it its name."""
        with os.fdopen(os.dup(self._descriptor), "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if self.replace:
            self._draft.replace(self.path)
        else:
            # A link fails where the name has come into being meanwhile; a rename would not.
            self.path.hardlink_to(self._draft)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)
        self._draft.unlink(missing_ok=True)
