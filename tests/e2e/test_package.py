"""The wheel works outside the clone, in an environment without other packages."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from roomkey_cli import data, iam_documents
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


def test_every_data_file_is_in_the_wheel(slim: Path) -> None:
    listing = "from roomkey_cli.data import DATA\nfor path in DATA.rglob('*.*'): print(path.relative_to(DATA))"
    installed = run([str(slim.with_name("python")), "-c", listing]).stdout.splitlines()

    assert {str(path.relative_to(data.DATA)) for path in data.DATA.rglob("*.[jc]s*")} <= set(installed)


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """An AWS in this process, to which the environment variables lead."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as variables:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "eu-west-1",
        }.items():
            variables.setenv(name, value)
        yield
    server.stop()


@pytest.mark.parametrize("role", iam_documents.ROLES)
def test_iam_prints_the_document_of_every_role(slim: Path, aws: None, role: str) -> None:
    assert json.loads(run([str(slim), "iam", role, "prod"]).stdout)["Statement"]


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
    assert "needs the extra `local`" in refused.value.stderr
    assert "pip install 'PATH[local]'" in refused.value.stderr
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
