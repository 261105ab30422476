"""`roomkey policy put` against SSM."""

import json
from pathlib import Path
from typing import Any

import pytest

from roomkey.policy import Mode, parse_policy
from roomkey_cli.data import POLICIES
from support.aws.moto_proxy import SSM
from support.commands import Account, Interleaved, roomkey


def policy(*rules: Any, mode: str = "enforce") -> str:
    return json.dumps({"version": 1, "mode": mode, "rules": list(rules)}, indent=2)


def rule(name: str, room: str = "*") -> dict[str, Any]:
    who = {"who": ["signed-in"], "kinds": ["app"], "platforms": ["100ms"]}
    return {"name": name, **who, "roles": ["host"], "rooms": [room]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.json"


def test_a_policy_is_stored_minified(account: Account, file: Path) -> None:
    name = account.create()
    file.write_text(policy(rule("teachers")))

    document = roomkey("policy", "put", name, file, "--json").json

    stored = account.policy(name)
    assert stored == json.dumps(json.loads(file.read_text()), separators=(",", ":"))
    assert parse_policy(stored).mode is Mode.ENFORCE
    assert (document["changed"], document["mode"], document["rules"], document["bytes"], document["version"]) == (
        *(True, "enforce", 1),
        len(stored),
        2,
    )
    assert document["effective_within_seconds"] == 36


def test_the_difference_is_shown_rule_by_rule(account: Account, file: Path) -> None:
    name = account.create()
    file.write_text(policy(rule("teachers", "a-*")))
    roomkey("policy", "put", name, file)
    file.write_text(policy(rule("teachers", "b-*"), mode="audit"))

    result = roomkey("policy", "put", name, file, "--dry-run")

    changed = [line for line in result.lines if line[:1] in ("+", "-")]
    assert changed == ['-mode: "enforce"', '+mode: "audit"', '-  rooms: ["a-*"]', '+  rooms: ["b-*"]']
    assert f"would write /roomkey/{name}/policy: 1 rule, mode audit" in result.out
    assert "warning: mode denies nothing" in result.err
    assert "a-*" in (account.policy(name) or "")


def test_the_same_policy_with_other_whitespace_changes_nothing(account: Account, file: Path) -> None:
    name = account.create("prod")
    file.write_text(policy(rule("teachers")))
    account.aws.put_policy(name, file.read_text())
    account.fail("SSM")

    result = roomkey("policy", "put", name, file)

    assert (result.status, result.lines) == (
        0,
        [f"/roomkey/{name}/policy already contains this policy; nothing was changed"],
    )
    assert account.aws.operations == [f"{SSM}.GetParameters"]


@pytest.mark.parametrize("there", [None, "", "oops", "[]", '{"rules": 7}', '{"version": 1, "rules": [3]}'])
def test_any_stored_policy_is_replaced(account: Account, file: Path, there: str | None) -> None:
    name = account.environment()
    account.aws.put_flag(name, "false")
    if there:
        account.aws.put_policy(name, there)
    file.write_text(policy(rule("teachers")))

    assert roomkey("policy", "put", name, file).status == 0
    assert parse_policy(account.policy(name) or "").rules


@pytest.mark.parametrize("name", ["open", "classroom", "tenants"])
def test_the_worked_policies_can_be_put(account: Account, name: str) -> None:
    environment = account.create()

    assert roomkey("policy", "put", environment, POLICIES / f"{name}.json").status == 0
    assert parse_policy(account.policy(environment) or "").rules


def of_size(size: int) -> str:
    """Return a policy of that many bytes."""
    rules = [rule(f"{index:04}", "x" * 80) for index in range(50)]
    while len(json.dumps({"version": 1, "mode": "enforce", "rules": rules}, separators=(",", ":"))) > size:
        rules.pop()
    text = json.dumps({"version": 1, "mode": "enforce", "rules": rules}, separators=(",", ":"))
    rules[0]["rooms"][0] += "y" * (size - len(text))
    return json.dumps({"version": 1, "mode": "enforce", "rules": rules}, indent=1)


@pytest.mark.parametrize(("size", "tier"), [(4096, "standard"), (4097, "advanced"), (8192, "advanced"), (8193, None)])
def test_the_size_decides_the_tier(account: Account, file: Path, size: int, tier: str | None) -> None:
    name = account.create()
    file.write_text(of_size(size))
    account.fail("SSM")

    result = roomkey("policy", "put", name, file)

    if tier is None:
        assert result.status == 2
        assert "has 8193 bytes minified; SSM's limit is 8192" in result.err
        assert account.aws.calls == []
        return
    assert result.status == 0, result.err
    assert len(account.policy(name) or "") == size
    assert account.aws.calls[-1].asked["Tier"] == "Intelligent-Tiering"
    assert ("an advanced parameter, for which AWS charges" in result.out) == (tier == "advanced")


def test_an_invalid_policy_is_not_stored(account: Account, file: Path) -> None:
    name = account.create()
    file.write_text('{\n"version": 2,\n"rules": []}')
    account.fail("SSM")

    result = roomkey("policy", "put", name, file)

    assert (result.status, result.out) == (2, "")
    assert f"{file}:2: version must be 1" in result.err
    assert f"{file}:1: mode is missing" in result.err
    assert account.aws.calls == []


def test_an_unknown_environment_is_an_error(account: Account, file: Path) -> None:
    name = account.environment()
    file.write_text(policy(rule("teachers")))

    result = roomkey("policy", "put", name, file)

    assert (result.status, account.policy(name)) == (1, None)
    assert f"environment {name} is unknown in eu-central-1" in result.err


def test_a_missing_file_is_wrong_usage(account: Account, tmp_path: Path) -> None:
    assert roomkey("policy", "put", account.environment(), tmp_path / "none.json").status == 2


@pytest.mark.parametrize("moment", ["at the prompt", "between check and write"])
def test_a_policy_by_another_operator_stays(
    account: Account, file: Path, interleaved: Interleaved, moment: str
) -> None:
    name = account.create("prod")
    file.write_text(policy(rule("mine")))
    theirs = policy(rule("theirs"))
    operation, at = ("get_parameters", 2) if moment == "at the prompt" else ("put_parameter", 1)
    interleaved.when(operation, lambda: account.aws.put_policy(name, theirs), at=at)

    result = roomkey("policy", "put", name, file, stdin=f"{name}\n")

    assert (result.status, account.policy(name)) == (1, theirs)
    assert "was changed by another operator" in result.err


def test_production_is_confirmed(account: Account, file: Path) -> None:
    name = account.create("prod")
    before = account.policy(name)
    file.write_text(policy(rule("teachers")))

    assert roomkey("policy", "put", name, file, stdin="no\n").status == 1
    assert account.policy(name) == before
    assert roomkey("policy", "put", name, file, stdin=f"{name}\n").status == 0
    assert account.policy(name) != before
