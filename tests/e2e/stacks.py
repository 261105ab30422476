"""The local stack as a user starts it: a process, its printed words, HTTP."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import audit_lines

ROOT = Path(__file__).parents[2]
ROOMKEY = Path(sys.executable).with_name("roomkey")


@dataclass(frozen=True)
class LocalStack:
    """A running `roomkey run`: what it printed until it was ready and since, where it is, and its process."""

    printed: str
    since: list[str]
    url: str
    aws: str
    process: subprocess.Popen[str]

    def commands(self) -> list[str]:
        """The curl lines it printed."""
        return [line.strip() for line in self.printed.splitlines() if "curl" in line]


@contextmanager
def started(*arguments: str) -> Iterator[LocalStack]:
    """`roomkey run` with `arguments`, on a free port, ended when the block ends."""
    command = [str(ROOMKEY), "run", "--port", "0", *arguments]
    # The developer's own AWS settings must not matter.
    environ = {**os.environ, "AWS_PROFILE": "nobody-has-this-profile", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            printed = _read_until(process, "Ctrl-C")
            url = re.search(r"ready at (\S+)", printed)
            aws = re.search(r"SSM are at (\S+)", printed)
            assert url, printed
            assert aws, printed
            with _kept_reading(process) as since:
                yield LocalStack(printed, since, url[1], aws[1], process)
        finally:
            process.terminate()
            process.wait(timeout=20)
    for line in since:
        if '"log_type":"audit"' in line:
            audit_lines.checked(line)


@contextmanager
def _kept_reading(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    """What it prints from here on. A pipe that nobody reads is full one day, and whoever writes to it waits."""
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or []))
    reader.start()
    try:
        yield lines
    finally:
        if process.poll() is None:
            process.terminate()
        reader.join()


def _read_until(process: subprocess.Popen[str], words: str, seconds: float = 60) -> str:
    assert process.stdout
    printed = ""
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            printed += line
            if words in line:
                break
    finally:
        watchdog.cancel()
    return printed


def shell(command: str, *, cwd: Path = ROOT, seconds: float = 60) -> str:
    """What a command line prints on standard output. Fails where it fails."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
