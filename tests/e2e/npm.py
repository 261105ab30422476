"""Install npm packages for tests."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.stacks import ROOT

NODE, NPM = shutil.which("node"), shutil.which("npm")

_NO_NETWORK = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT")


def run_npm(folder: Path, command: str, **variables: str) -> None:
    """Run a shell command with npm in `folder`.

    Skips the test if Node or npm is missing, or if npm does not reach its registry.
    """
    _need_npm()
    settings = {"audit": "false", "fund": "false", "prefer_offline": "true", "fetch_retries": "0"}
    environ = os.environ | {f"npm_config_{name}": value for name, value in settings.items()} | variables
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, timeout=240, check=False
    )
    if _NO_NETWORK.search(done.stderr):
        pytest.skip("npm does not reach its registry")
    assert done.returncode == 0, done.stdout + done.stderr


def install(source: Path, folder: Path) -> Path:
    """Copy the files of `source` to `folder`, with the packages of its lock file beside them. Return `folder`.

    Skips the test as `run_npm` does.
    """
    _need_npm()
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(_packages(source))
    return folder


def _need_npm() -> None:
    if NODE is None or NPM is None:
        pytest.skip("Node or npm is not installed")


def _packages(source: Path) -> Path:
    """Return the folder of the packages in the lock file of `source`, which test files and runs share."""
    digest = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()
    shared = ROOT / ".tools" / "npm" / digest[:16]
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = shared / ".installed"
        if not installed.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, shared)
            run_npm(shared, "npm ci --ignore-scripts")
            installed.touch()
    return shared / "node_modules"
