"""The wheel works outside the clone, in an environment without other packages."""

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from support.packages import build_wheel, install, run, running

EVERY_HELP = """
import typer.main
from typer.testing import CliRunner
from roomkey_cli.main import app

def paths(command, path=()):
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, (*path, name))

for path in paths(typer.main.get_command(app)):
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0, (path, result.output, result.exception)
    print("roomkey", *path)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def slim(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`roomkey` without the extra `local`."""
    return install(tmp_path_factory.mktemp("slim") / "env", str(wheel))


def test_every_command_has_help(slim: Path) -> None:
    commands = run([str(slim.with_name("python")), "-c", EVERY_HELP]).stdout.splitlines()

    assert {"roomkey run", "roomkey mint", "roomkey env disable", "roomkey policy put"} <= set(commands)


def test_mint_needs_no_extra(slim: Path, tmp_path: Path) -> None:
    credentials = {
        "100ms": {
            "app_access_key": "5f8d0a3c2b1e4f6a7c9d0e1f",
            "app_secret": "Sentinel0Secret0That0Nothing0May0Ever0Print",
        }
    }
    (tmp_path / "credentials.json").write_text(json.dumps(credentials))
    body = json.dumps({"room_id": "633fcdd84208780bf665346a", "role": "host"})

    file = str(tmp_path / "credentials.json")
    minted = run([str(slim), "mint", "100ms", "app", "--credentials", file, "--body", body])

    assert minted.stdout.count(".") == 2


def test_run_without_the_extra_names_it(slim: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run([str(slim), "run"])

    assert refused.value.returncode == 2
    assert "pip install 'roomkey[local]'" in refused.value.stderr
    assert "Traceback" not in refused.value.stderr


def test_run_with_the_extra_gives_a_token(wheel: Path, tmp_path: Path) -> None:
    roomkey = install(tmp_path / "env", f"{wheel}[local]")

    with running([str(roomkey), "run", "--port", "0"]) as url:
        request = urllib.request.Request(
            f"{url}/api/token",
            json.dumps({"room_id": "633fcdd84208780bf665346a", "role": "host", "user_id": "1234"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response)["token"].count(".") == 2
