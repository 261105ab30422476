"""The function's standard output: audit lines for the console, and what to print of it."""

import io
import json
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, TextIO

_MAX_LINES = 500


class FunctionOutput(io.TextIOBase, TextIO):
    """A replacement for `sys.stdout` that the function writes to. Safe to share between threads.

    It keeps the last audit lines. With `as_json` it forwards every line unchanged. Otherwise it prints warnings and
    errors in one readable line each, drops metrics and audit lines (the request log replaces them), and forwards what
    is not JSON.
    """

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json
        self._audit: deque[tuple[int, Any]] = deque(maxlen=_MAX_LINES)
        self._count = 0
        self._pending = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._pending = (self._pending + text).split("\n")
            for line in lines:
                self._line(line)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def audit_after(self, number: int) -> list[dict[str, object]]:
        """Return the audit lines after line `number`, each with its number; 0 returns all that are kept."""
        with self._lock:
            return [{"number": index, "line": line} for index, line in self._audit if index > number]

    def audit_line(self, request_id: str) -> Mapping[str, Any] | None:
        """Return the audit line of a request, None without one."""
        with self._lock:
            for _, line in reversed(self._audit):
                if line.get("request_id") == request_id:
                    found: Mapping[str, Any] = line
                    return found
        return None

    def _line(self, line: str) -> None:
        try:
            document = json.loads(line) if line.startswith("{") else None
        except ValueError:
            document = None
        if self._as_json or document is None:
            self._print(line)  # An audit line that cannot be printed is an error, and is not kept.
        if document is None:
            return
        if document.get("log_type") == "audit":
            self._count += 1
            self._audit.append((self._count, document))
        elif not self._as_json and document.get("level") in ("WARNING", "ERROR", "CRITICAL"):
            shown = {name: value for name, value in document.items() if name in _SHOWN}
            facts = " ".join(f"{name}={json.dumps(value)}" for name, value in shown.items())
            self._print(f"          {document['level'].lower()}: {document.get('message')} {facts}".rstrip())

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


_SHOWN = frozenset(("dependency", "reason", "problems", "error", "at"))
"""Fields of a log line that help at a terminal; `--json-logs` prints them all."""
