"""Build the wheel and install it as a user would."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ROOT / "requirements" / "run.txt"


def build_wheel(directory: Path) -> Path:
    """Build the wheel into `directory`."""
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)], cwd=ROOT)
    (wheel,) = directory.glob("*.whl")
    return wheel


def install(environment: Path, requirement: str, *, use_uv: bool = True) -> Path:
    """Create an environment, install `requirement` with the pinned versions, and return the path of `roomkey`."""
    versions = environment.with_suffix(".txt")
    # Without hashes, or pip would require one for the wheel.
    versions.write_text("\n".join(re.findall(r"^\S+==.*?(?= \\$)", RUN.read_text(), re.MULTILINE)))
    pinned = ["--constraint", str(versions)]
    uv = shutil.which("uv") if use_uv else None
    if uv:
        run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)])
        run([uv, "pip", "install", "--quiet", "--python", str(environment), requirement, *pinned])
    else:
        run([sys.executable, "-m", "venv", str(environment)])
        run([str(environment / "bin/python"), "-m", "pip", "install", "--quiet", requirement, *pinned])
    return environment / "bin/roomkey"


def run(command: list[str], *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `command` outside the clone, without the caller's Python settings. Raises CalledProcessError."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(command, cwd=cwd or "/", env=environ, capture_output=True, text=True, check=True)


@contextmanager
def running(command: list[str], *, cwd: Path | None = None, seconds: float = 60) -> Iterator[str]:
    """Start `command`, wait for the address that it prints, and stop it at the end. Raises RuntimeError."""
    with subprocess.Popen(
        command, cwd=cwd or "/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        watchdog = threading.Timer(seconds, process.kill)
        watchdog.start()
        printed = ""
        try:
            for line in process.stdout or ():
                printed += line
                if found := re.search(r"http://[^\s/]+", line):
                    yield found[0]
                    return
            raise RuntimeError(f"{' '.join(command)} printed no address:\n{printed}")
        finally:
            watchdog.cancel()
            process.terminate()
