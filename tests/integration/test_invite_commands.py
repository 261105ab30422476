"""`roomkey invite` and the keys of invites against moto."""

import json
import time
from functools import partial

import pytest

from roomkey.errors import InviteInvalid
from roomkey.invites import InviteKeys, UnverifiedInvite
from support.commands import Account, Interleaved, roomkey

GUEST = ("--platform", "100ms", "--room", "lobby", "--role", "guest")


@pytest.fixture
def environment(account: Account) -> str:
    name = account.create()
    assert roomkey("secret", "put", name, "invites", "--generate").status == 0
    return name


def keys(account: Account, name: str) -> InviteKeys:
    return InviteKeys.parse(account.secret(name, "invites") or "")


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_rotation_keeps_the_older_keys(account: Account, environment: str) -> None:
    old = UnverifiedInvite.decode(roomkey("invite", "create", environment, *GUEST).lines[0])

    result = roomkey("secret", "put", environment, "invites", "--generate")

    assert result.status == 0, result.err
    assert "New invites are signed with key b" in result.out
    stored = json.loads(account.secret(environment, "invites") or "")
    assert (list(stored["keys"]), stored["current"]) == (["a", "b"], "b")
    assert not any(key in result.out + result.err for key in stored["keys"].values())
    assert keys(account, environment).verify(old, environment, time.time()).room_id == "lobby"


def test_revoking_older_keys_ends_their_invites(account: Account, environment: str) -> None:
    old = UnverifiedInvite.decode(roomkey("invite", "create", environment, *GUEST).lines[0])

    assert roomkey("secret", "put", environment, "invites", "--generate", "--revoke-older").status == 0

    with pytest.raises(InviteInvalid):
        keys(account, environment).verify(old, environment, time.time())


def test_the_number_of_keys_is_limited(account: Account, environment: str) -> None:
    for _ in range(7):
        assert roomkey("secret", "put", environment, "invites", "--generate").status == 0
    result = roomkey("secret", "put", environment, "invites", "--generate")

    assert (result.status, "has 8 keys already" in result.err) == (1, True)
    assert len(json.loads(account.secret(environment, "invites") or "")["keys"]) == 8


def test_an_invalid_secret_is_replaced_only_on_request(account: Account) -> None:
    name = account.create()
    account.aws.put_secret(name, '{"keys": {}}', "invites")

    assert roomkey("secret", "put", name, "invites", "--generate").status == 1
    assert roomkey("secret", "put", name, "invites", "--generate", "--revoke-older").status == 0
    assert keys(account, name)


def test_a_key_of_another_operator_stays(account: Account, interleaved: Interleaved) -> None:
    name = account.create("prod")
    add = partial(roomkey, "secret", "put", name, "invites", "--generate", "--yes")
    assert add().status == 0
    # The command reads the metadata first, and again after the prompt.
    interleaved.when("describe_secret", add, at=2)

    result = roomkey("secret", "put", name, "invites", "--generate", stdin=f"{name}\n")

    assert (result.status, "was changed by another operator" in result.err) == (1, True)
    assert list(json.loads(account.secret(name, "invites") or "")["keys"]) == ["a", "b"]


@pytest.mark.parametrize("words", [["invites"], ["100ms", "--generate"], ["100ms", "--revoke-older"]])
def test_keys_are_generated_and_never_typed(account: Account, words: list[str]) -> None:
    assert roomkey("secret", "put", account.create(), *words, stdin="{}").status == 2


# --- create and show -------------------------------------------------------------------------------------------------


def test_an_invite_is_what_the_function_accepts(account: Account, environment: str) -> None:
    document = roomkey(
        *("invite", "create", environment, "--platform", "agora", "--room", "lobby", "--role", "subscriber"),
        *("--service", "rtc", "--service", "rtm", "--for", "7d", "--guest-name", "Ada", "--json"),
    ).json

    invite = keys(account, environment).verify(UnverifiedInvite.decode(document["invite"]), environment, time.time())

    assert (invite.platform, invite.room_id, invite.role, invite.services, invite.guest_name) == (
        *("agora", "lobby", "subscriber"),
        *(("rtc", "rtm"), "Ada"),
    )
    assert invite.id == document["invite_id"]
    assert abs(invite.expires_at - time.time() - 7 * 86400) < 60


def test_the_stacks_url_carries_the_invite_in_its_fragment(account: Account, environment: str) -> None:
    template = {"Parameters": {"InviteUrl": {"Type": "String"}}, "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    account.client("cloudformation").create_stack(
        StackName=f"roomkey-{environment}",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "InviteUrl", "ParameterValue": "https://app.example/join"}],
    )

    result = roomkey("invite", "create", environment, *GUEST)

    assert result.lines[0].startswith("https://app.example/join#rki1.")
    assert roomkey("invite", "show", result.lines[0], "--env", environment).status == 0


def test_show_decodes_without_keys_and_verifies_with_them(environment: str) -> None:
    created = roomkey("invite", "create", environment, *GUEST, "--json").json

    offline = roomkey("invite", "show", created["invite"], "--json").json
    online = roomkey("invite", "show", "-", "--env", environment, "--json", stdin=created["invite"]).json

    assert (offline["signature"], online["signature"]) == ("unchecked", "valid")
    assert (offline["room_id"], offline["expires_at"], offline["key_id"]) == ("lobby", created["expires_at"], "a")
    shown = roomkey("invite", "show", created["invite"])
    assert (shown.status, shown.lines[0]) == (0, "100ms invite")


def test_a_blocked_or_forged_invite_is_invalid(account: Account, environment: str) -> None:
    created = roomkey("invite", "create", environment, *GUEST, "--json").json
    other = account.create()
    roomkey("secret", "put", other, "invites", "--generate")
    assert roomkey("block", environment, "--invite", created["invite_id"]).status == 0

    blocked = roomkey("invite", "show", created["invite"], "--env", environment, "--json")
    forged = roomkey("invite", "show", created["invite"], "--env", other)

    assert (blocked.status, blocked.json["problems"]) == (1, ["blocked"])
    assert (forged.status, f"INVALID    not signed with a key of {other}" in forged.out) == (1, True)
    assert roomkey("invite", "show", "rki1.abc").err == "roomkey: this is not an invite\n"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((*GUEST, "--for", "4m"), 2, "--for must be from 300 s to 30 d"),
        ((*GUEST, "--for", "31d"), 2, "--for must be from 300 s to 30 d"),
        ((*GUEST, "--for", "soon"), 2, "--for must be a number"),
        ((*GUEST, "--guest-name", "x" * 65), 2, "--guest-name "),
        (("--platform", "100ms", "--role", "guest"), 1, "room_id: is missing"),
        (("--platform", "agora", "--room", "r", "--role", "gest"), 1, "role: must be one of"),
    ],
)
def test_an_invite_that_cannot_be(environment: str, words: tuple[str, ...], status: int, message: str) -> None:
    result = roomkey("invite", "create", environment, *words)

    assert (result.status, result.out) == (status, "")
    assert message in result.err


@pytest.mark.parametrize("flag", ["true", "invite", "100ms", "100ms/invite", "ture"])
def test_the_kill_switch_applies(account: Account, environment: str, flag: str) -> None:
    account.aws.put_flag(environment, flag)

    assert roomkey("invite", "create", environment, *GUEST).status == 4


def test_without_keys_there_is_no_invite(account: Account) -> None:
    name = account.create()

    result = roomkey("invite", "create", name, *GUEST)

    assert (result.status, f"roomkey secret put {name} invites --generate" in result.err) == (1, True)
