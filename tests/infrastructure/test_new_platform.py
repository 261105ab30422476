"""A new platform is one file and one line: a made-up one passes the whole contract, and every list contains it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COPIED = ("functions", "cli", "scripts", "docs", "tests/support", "tests/unit", "tests/infrastructure")
LINE = '    "made-up": _Entry("made_up_platform", "MadeUp", services=("waves",)),\n'


@pytest.fixture(scope="module")
def roomkey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of Roomkey with the made-up platform."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in COPIED:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*ROOT.glob("*.yaml"), ROOT / "pyproject.toml", *ROOT.glob("tests/*.py"), *ROOT.glob("tests/*.toml")):
        shutil.copy(file, copy / file.relative_to(ROOT))
    for folder in ("config", "layers"):
        shutil.copytree(ROOT / folder, copy / folder)
    platforms = copy / "functions" / "roomkey" / "platforms"
    shutil.copy(ROOT / "tests" / "support" / "made_up_platform.py", platforms)
    registry = (platforms / "__init__.py").read_text()
    (platforms / "__init__.py").write_text(
        re.sub(r"(_REGISTRY = \{\n(?:.*\n)*?)\}\n", rf"\1{LINE}}}\n", registry, count=1)
    )
    return copy


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(copy / folder) for folder in ("functions", "cli", "tests"))
    environ = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    arguments = [sys.executable, *command]
    return subprocess.run(arguments, cwd=copy, env=environ, capture_output=True, text=True, check=False, timeout=300)


def test_it_passes_the_contract_of_every_platform(roomkey: Path) -> None:
    result = run(roomkey, "-m", "pytest", "-q", "-n", "0", "-k", "made-up", "tests/unit/test_platform_contract.py")

    assert result.returncode == 0, result.stdout + result.stderr
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed
    assert int(passed.group(1)) >= 15


def test_every_list_of_platforms_is_generated(roomkey: Path) -> None:
    assert run(roomkey, "scripts/reference.py", "--check").returncode == 1

    assert run(roomkey, "scripts/reference.py").returncode == 0

    assert run(roomkey, "scripts/reference.py", "--check").returncode == 0
    data = roomkey / "cli" / "roomkey_cli" / "data"
    audit = json.loads((data / "audit.schema.json").read_text())
    assert "made-up" in audit["properties"]["platform"]["enum"]
    policy = json.loads((data / "policy.schema.json").read_text())
    rule = policy["$defs"]["rule"]["properties"]
    assert "made-up" in rule["platforms"]["items"]["enum"]
    assert rule["services"]["items"]["enum"][-2:] == ["waves", "*"]
    for page in ("template.yaml", "docs/tokens.md", "docs/api.md", "docs/policy.md"):
        assert "made-up" in (roomkey / page).read_text()
    openapi = yaml.safe_load((roomkey / "docs" / "openapi.yaml").read_text())
    assert "/v1/made-up/app-token" in openapi["paths"]
    request = openapi["components"]["schemas"]["MadeUpAppTokenRequest"]
    assert request["properties"]["expires_in"].items() >= {"minimum": 300, "maximum": 7200, "default": 1200}.items()


def test_settings_kill_switch_policy_and_command_line_know_it(roomkey: Path) -> None:
    code = """
from roomkey.kill_switch import KillSwitch, SCOPES
from roomkey.policy import parse_policy
from roomkey.settings import Settings
assert Settings.from_environment({"ENVIRONMENT": "dev", "PLATFORMS": "made-up"}).platforms == ("made-up",)
assert "made-up" not in Settings.from_environment({"ENVIRONMENT": "dev"}).platforms
assert KillSwitch.parse("made-up/app").is_off("made-up", "app")
rule = {"who": ["anyone"], "kinds": ["app"], "platforms": ["made-up"], "services": ["waves"]}
import json
assert parse_policy(json.dumps({"version": 1, "mode": "enforce", "rules": [rule]}))
"""
    result = run(roomkey, "-c", code)
    assert result.returncode == 0, result.stderr

    keys = roomkey / "keys.json"
    secret = {"mu_key": "0123456789abcdef01234567", "mu_secret": "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp"}
    keys.write_text(json.dumps({"made-up": secret}))
    body = json.dumps({"role": "host", "room_id": "Lobby", "user_id": "ada", "display_name": "Ada"})
    main = ("-c", "from roomkey_cli.main import main; main()")
    minted = run(roomkey, *main, "mint", "made-up", "app", "--credentials", str(keys), "--body", body)
    assert minted.returncode == 0, minted.stderr
    told = run(roomkey, *main, "explain", "--credentials", str(keys), "--json", minted.stdout.strip())
    report = json.loads(told.stdout)
    assert (report["platform"], report["room"], report["signature"]) == ("made-up", "lobby", "valid")
