"""The local stack as a user starts it: a process, its output, HTTP."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from support import audit_lines

ROOT = Path(__file__).parents[2]
ROOMKEY = Path(sys.executable).with_name("roomkey")


@dataclass(frozen=True)
class LocalStack:
    """A running `roomkey run`: its output until it was ready and since, its address, its process."""

    printed: str
    since: list[str]
    url: str
    environ: Mapping[str, str]
    """Return the variables that it prints for the AWS CLI and SDKs."""
    process: subprocess.Popen[str]

    @property
    def aws(self) -> str:
        return self.environ["AWS_ENDPOINT_URL"]

    @property
    def key(self) -> tuple[str, str]:
        """Return id and secret of this run's key."""
        return self.environ["AWS_ACCESS_KEY_ID"], self.environ["AWS_SECRET_ACCESS_KEY"]

    def commands(self) -> list[str]:
        """Return the curl lines that it printed."""
        return [line.strip() for line in self.printed.splitlines() if "curl" in line]

    def client(self, service: str) -> Any:
        """Return a boto3 client for the stack's AWS."""
        return boto3.Session(*self.key, region_name="us-east-1").client(service, endpoint_url=self.aws)


@contextmanager
def started(*arguments: str, shell_environ: Mapping[str, str] | None = None) -> Iterator[LocalStack]:
    """Run `roomkey run` with `arguments` on a free port until the block ends."""
    command = [str(ROOMKEY), "run", "--port", "0", *arguments]
    # The developer's own AWS settings must have no effect.
    environ = {**os.environ, "AWS_PROFILE": "missing", "PYTHONUNBUFFERED": "1", **(shell_environ or {})}
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            printed = _read_until(process, "Ctrl-C")
            url = re.search(r"ready at (\S+)", printed)
            assert url, printed
            variables = dict(re.findall(r"(AWS_\w+)=(\S+)", printed))
            with _kept_reading(process) as since:
                yield LocalStack(printed, since, url[1], variables, process)
        finally:
            process.terminate()
            process.wait(timeout=20)
    for line in since:
        if '"log_type":"audit"' in line:
            audit_lines.checked(line)


@contextmanager
def _kept_reading(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    """Read the rest of the output. A full pipe would block the process."""
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


def shell(command: str, *, cwd: Path = ROOT, seconds: float = 60, environ: Mapping[str, str] | None = None) -> str:
    """Return the standard output of a command line, which must succeed."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
