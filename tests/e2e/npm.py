"""Install npm packages for a test from a lock file."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_NO_NETWORK = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT")


def install(source: Path, folder: Path) -> Path:
    """Copy the files of `source` to `folder` and install the packages of its lock file there. Return `folder`.

    Skips the test if Node or npm is missing, or if npm does not reach its registry.
    """
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        pytest.skip("Node or npm is not installed")
    for file in source.iterdir():
        shutil.copy(file, folder)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if _NO_NETWORK.search(done.stderr):
        pytest.skip("npm does not reach its registry")
    assert done.returncode == 0, done.stderr
    return folder
