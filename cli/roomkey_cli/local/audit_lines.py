"""The audit trail of the local stack: on its way to standard output, and the last of it to look at."""

import io
import json
import threading
from collections import deque
from typing import Any, TextIO

_LINES_KEPT = 500


class AuditLines(io.TextIOBase, TextIO):
    """Standard output for the audit trail, that remembers the last lines which went through. Safe to share."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[tuple[int, Any]] = deque(maxlen=_LINES_KEPT)
        self._count = 0
        self._lock = threading.Lock()

    def write(self, line: str) -> int:
        written = self._stream.write(line)
        with self._lock:
            self._count += 1
            self._lines.append((self._count, json.loads(line)))
        return written

    def flush(self) -> None:
        self._stream.flush()

    def after(self, number: int) -> list[dict[str, object]]:
        """The lines since the one with this number, each with its own; 0 is all that are remembered."""
        with self._lock:
            return [{"number": one, "line": line} for one, line in self._lines if one > number]
