"""`roomkey block`, `unblock` and `blocks` against moto."""

import json
import time
from typing import Any

import pytest

from roomkey import block_list
from roomkey.invites import Invite, InviteKeys
from support.commands import Account, Interleaved, roomkey

INVITE_ID = "k3FhYz0qVbA1"
WHOLE_INVITE = InviteKeys({"a": "k" * 43}, "a").sign(Invite("100ms", "r", "guest", (), 1, INVITE_ID, None), "dev")


def test_a_user_is_blocked_and_unblocked(account: Account) -> None:
    name = account.create()

    blocked = roomkey("block", name, "u-7", "--reason", "spam", "--room", "r1", "--room", "r2", "--platform", "agora")
    assert blocked.status == 0, blocked.err
    entry = {"rooms": ["r1", "r2"], "platforms": ["agora"], "reason": "spam"}
    assert account.block_list(name) == {"users": {"u-7": entry}}
    assert blocked.lines[0] == f"u-7 is now blocked in {name}: room r1, r2, platform agora, without end: spam."
    assert "In effect everywhere by 20" in blocked.lines[1]
    assert blocked.lines[1].endswith("Tokens already issued stay valid until they expire.")
    assert "of 8192 bytes (free tier)" in blocked.lines[2]

    unblocked = roomkey("unblock", name, "u-7")
    assert unblocked.lines[0] == f"u-7 is no longer blocked in {name}."
    assert "Tokens already issued" not in unblocked.out
    assert account.block_list(name) == {}


def test_an_invite_is_blocked_and_unblocked(account: Account) -> None:
    name = account.create()

    assert roomkey("block", name, "--invite", INVITE_ID).status == 0
    assert roomkey("block", name, "u-1").status == 0
    assert account.block_list(name)["invites"] == [INVITE_ID]
    unblocked = roomkey("unblock", name, "--invite", INVITE_ID)
    assert unblocked.lines[0] == f"The invite {INVITE_ID} is no longer blocked in {name}."
    assert list(account.block_list(name)) == ["users"]


@pytest.mark.parametrize("prefix", ["", " ", "https://app.example.org/join#"])
def test_a_whole_invite_stands_for_its_id(account: Account, prefix: str) -> None:
    name = account.create()
    invite = prefix + WHOLE_INVITE

    assert roomkey("block", name, "--invite", invite).status == 0
    assert account.block_list(name) == {"invites": [INVITE_ID]}
    account.put(f"/roomkey/{name}/blocked", json.dumps({"invites": [INVITE_ID, invite]}))
    assert roomkey("unblock", name, "--invite", invite).status == 0
    assert account.block_list(name) == {}


def test_an_id_with_characters_that_show_nothing_is_a_warning(account: Account) -> None:
    name = account.create()

    blocked = roomkey("block", name, "a\u200bb", "--room", "r 1")

    assert (blocked.status, blocked.err) == (0, "roomkey: USER has characters that show nothing: a\\u200bb\n")


@pytest.mark.parametrize(
    ("options", "seconds"),
    [(["--for", "90s"], 90), (["--for", "2h"], 7200), (["--for", "7d"], 7 * 86400), (["--for", "1w"], 7 * 86400)],
)
def test_a_block_ends_by_itself(account: Account, options: list[str], seconds: int) -> None:
    name = account.create()

    assert roomkey("block", name, "u-7", *options).status == 0

    assert abs(account.block_list(name)["users"]["u-7"]["until"] - time.time() - seconds) < 60


@pytest.mark.parametrize("text", ["2099-01-01T00:00:00Z", "2099-01-01T01:00:00+01:00", "2099-01-01T00:00:00"])
def test_a_block_ends_at_a_time(account: Account, text: str) -> None:
    name = account.create()

    assert roomkey("block", name, "u-7", "--until", text).status == 0

    assert account.block_list(name)["users"]["u-7"]["until"] == 4070908800
    listed = roomkey("blocks", name, "--json").json
    assert listed["users"] == [{"rooms": ["*"], "platforms": ["*"], "until": "2099-01-01T00:00:00Z", "user": "u-7"}]
    assert "u-7" in roomkey("blocks", name).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name either a USER or an --invite"),
        (["u", "--invite", "i"], "name either a USER or an --invite"),
        (["u", "--for", "2h", "--until", "2099-01-01"], "use --for or --until"),
        (["u", "--for", "soon"], "--for must be a number with s, m, h, d or w"),
        (["u", "--until", "soon"], "--until must be a time in ISO 8601"),
        (["u", "--until", "2020-01-01"], "--until must be in the future"),
        (["u", "--reason", "x" * 201], "--reason must not be longer than 200 characters"),
        (["u", "--reason", "a\n"], "--reason must not"),
        (["--invite", "i", "--room", "r"], "are for users"),
        (["--invite", "i", "--for", ""], "are for users"),
        (["", "--for", "2h"], "USER must not be empty"),
        (["u\udcff"], "USER must not contain control or private characters"),
        (["u", "--room", ""], "--room must not be empty"),
        (["u", "--room", "r", "--room", "u\udcff"], "--room must not contain control or private characters"),
        (["u", "--for", ""], "--for must be a number"),
        (["u", "--until", ""], "--until must be a time"),
        (["--invite", ""], "--invite must be an invite, its URL or its id"),
        (["--invite", "rki1.abc.def"], "--invite must be an invite, its URL or its id"),
        (["--invite", "k3FhYz0qVbA1 "], "--invite must be an invite, its URL or its id"),
        (["u", "--until", "2100-01-01"], "a block must end before 2100"),
        (["u", "--for", "9999999w"], "a block must end before 2100"),
        (["undefined"], "USER must not be the text that a program prints for a missing value"),
        ([WHOLE_INVITE], "USER is an invite: block it with --invite"),
    ],
)
def test_wrong_usage(account: Account, words: list[str], message: str) -> None:
    name = account.create()

    result = roomkey("block", name, *words)

    assert (result.status, account.block_list(name)) == (2, {})
    assert message in result.err


def test_expired_entries_are_dropped_by_the_next_write(account: Account) -> None:
    name = account.create()
    users = {"old": {"until": int(time.time()) - 5}, "mistaken": {"until": 3600}, "new": {}}
    account.put(f"/roomkey/{name}/blocked", json.dumps({"users": users}))
    listed = roomkey("blocks", name)
    assert "(expired)" in listed.out
    assert listed.err.startswith('roomkey: warning: users["mistaken"] never applies: until is 1970-01-01T01:00:00Z')
    assert [warning[:17] for warning in roomkey("blocks", name, "--json").json["warnings"]] == ['users["mistaken"]']

    blocked = roomkey("block", name, "u-7")

    assert (blocked.status, blocked.err) == (0, listed.err)
    assert set(account.block_list(name)["users"]) == {"mistaken", "new", "u-7"}


def test_every_written_block_list_is_valid_for_the_function(account: Account) -> None:
    name = account.create()
    roomkey("block", name, "ü-7", "--room", "*", "--platform", "100ms", "--for", "2h", "--reason", "ü")
    roomkey("block", name, "--invite", INVITE_ID)

    parsed = block_list.BlockList.parse(json.dumps(account.block_list(name)))

    assert (set(parsed.users), parsed.invites) == ({"ü-7"}, {INVITE_ID})


def test_a_list_that_ssm_cannot_hold_is_refused(account: Account) -> None:
    name = account.create()
    users = {f"user-{index:04}": {"reason": "x" * 100} for index in range(52)}
    account.put(f"/roomkey/{name}/blocked", json.dumps({"users": users}, separators=(",", ":")))

    result = roomkey("block", name, "u-7", "--reason", "x" * 200)

    assert result.status == 1
    assert "SSM's limit is 8192" in result.err
    assert "u-7" not in account.block_list(name)["users"]


def test_a_missing_or_invalid_list_is_an_error(account: Account) -> None:
    name = account.create()
    account.put(f"/roomkey/{name}/blocked", '{"users": {"u-7": {}, "u-8": {"platforms": ["Agora"]}}}')
    for command in (["block", name, "u"], ["unblock", name, "u"], ["blocks", name]):
        result = roomkey(*command)
        assert (result.status, result.err.splitlines()) == (
            1,
            [
                f'roomkey: /roomkey/{name}/blocked: users["u-8"].platforms[0] is an unknown platform: '
                '{"platforms":["Agora"]}',
                f"correct it: roomkey unblock {name} --invalid",
            ],
        )
    assert roomkey("unblock", name, "--all").status == 0
    assert account.block_list(name) == {}

    account.aws.ssm.delete_parameter(Name=f"/roomkey/{name}/blocked")
    assert f"roomkey env init {name}" in roomkey("block", name, "u").err


AN_ENTRY = "is not an object with platforms, reason, rooms, until"


@pytest.mark.parametrize(
    ("stored", "kept", "removed"),
    [
        (
            {"users": {"u-1": {}}, "invites": ["k3FhYz0qVbA1", "", 5]},
            {"users": ["u-1"], "invites": ["k3FhYz0qVbA1"]},
            ['invites[1] is not an invite id: ""', "invites[2] is not an invite id: 5"],
        ),
        (
            {"users": {"u-1": {"rooms": ["a"]}, "ü": {"rooms": [""]}, "": {}, "x": {"end": 1}}},
            {"users": ["u-1"]},
            [
                'users["ü"].rooms is not a list of names: {"rooms":[""]}',
                'users[""] has an empty user id: {}',
                f'users["x"] {AN_ENTRY}: {{"end":1}}',
            ],
        ),
        (
            {"users": {"users[0]": {"platforms": ["100ms", "Agora"]}}},
            {},
            ['users["users[0]"].platforms[1] is an unknown platform: {"platforms":["100ms","Agora"]}'],
        ),
    ],
)
def test_the_valid_entries_of_an_invalid_list_can_be_kept(
    account: Account, stored: Any, kept: Any, removed: list[str]
) -> None:
    name = account.create()
    account.put(f"/roomkey/{name}/blocked", json.dumps(stored))

    result = roomkey("unblock", name, "--invalid")

    assert (result.status, result.lines[0]) == (0, f"The block list of {name} is now valid.")
    assert result.err.splitlines() == [f"roomkey: removes {one}" for one in removed]
    assert {member: list(entries) for member, entries in account.block_list(name).items()} == kept


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        ('{"user": {"u-7": {}}}', '"user" is neither users nor invites'),
        ('{"users": {}, "invite": ["k3F"]}', '"invite" is neither users nor invites'),
        ('{"users": ["u-7"]}', "users is not an object of users"),
        ('{"invites": "k3F"}', "invites is not a list of invite ids"),
        ('["u-7"]', "the list is not an object with invites, users"),
        ('{"users": {"u-7": {}, "u-7": {}}}', "the list is not a JSON document without duplicate keys"),
    ],
)
def test_a_repair_never_drops_a_whole_member(account: Account, stored: str, problem: str) -> None:
    name = account.create()
    parameter = f"/roomkey/{name}/blocked"
    account.put(parameter, stored)

    result = roomkey("unblock", name, "--invalid")

    assert (result.status, account.parameter(parameter)) == (1, stored)
    assert result.err.splitlines() == [
        f"roomkey: {parameter}: {problem}",
        f"nothing was changed. The list: {stored}",
        f"correct it: aws ssm put-parameter --name {parameter} --type String --overwrite --value "
        """'{"users": {"USER": {}}, "invites": ["ID"]}'""",
        f"or empty it: roomkey unblock {name} --all",
    ]


def test_unblocking_someone_who_is_not_blocked_is_an_error(account: Account) -> None:
    name = account.create()

    result = roomkey("unblock", name, "u-7")

    assert (result.status, result.err) == (1, f"roomkey: u-7 is not blocked in {name}\n")


@pytest.mark.parametrize(("operation", "at"), [("get_parameters", 2), ("put_parameter", 1)])
def test_a_block_by_another_operator_stays(account: Account, interleaved: Interleaved, operation: str, at: int) -> None:
    name = account.create("prod")
    theirs = '{"users":{"u-1":{}}}'
    interleaved.when(operation, lambda: account.put(f"/roomkey/{name}/blocked", theirs), at=at)

    result = roomkey("block", name, "u-7", stdin=f"{name}\n")

    assert (result.status, account.block_list(name)) == (1, json.loads(theirs))
    assert "was changed by another operator" in result.err
