"""Invites: signed-in callers create them, guests redeem them. Over the real handler and moto's AWS."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roomkey.invites import Invite, InviteKeys, UnverifiedInvite
from roomkey.platforms import PLATFORM_NAMES, PLATFORMS
from roomkey_cli import credential_file
from support.aws.moto_proxy import GET_FLAG, GET_SECRET
from support.invites import KEY_SECRET, KEYS
from support.stack import NOW, Answer, Deploy, Deployed, claims_of

INVITE_RULE = {
    "name": "hosts invite",
    "who": [{"group": "hosts"}],
    "kinds": ["invite"],
    "platforms": ["*"],
    "roles": ["guest", "reader", "subscriber"],
    "services": ["rtc"],
    "rooms": ["class-*", "0123*"],
    "max_lifetime": 7200,
}
GUEST_RULE = {
    "name": "guests join",
    "who": ["invite"],
    "kinds": ["app"],
    "platforms": ["*"],
    "roles": ["guest", "reader", "subscriber"],
    "services": ["rtc"],
    "rooms": ["*"],
    "max_lifetime": 1800,
}
HOST = {"sub": "ada", "groups": "[hosts staff]", "iss": "https://issuer.example"}
BODY = {"platform": "100ms", "room_id": "class-1", "role": "guest"}


def policy(*rules: Mapping[str, Any], mode: str = "enforce") -> str:
    return json.dumps({"version": 1, "mode": mode, "rules": rules})


def event(route: str, body: object, *, claims: Mapping[str, str] | None = None, **headers: str) -> dict[str, Any]:
    method, path = route.split(" ")
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "headers": {"content-type": "application/json"} | headers,
        "requestContext": {
            "requestId": "JKJaXmPLvHcESHA=",
            "http": {"method": method, "path": path, "sourceIp": "203.0.113.7", "userAgent": "test"},
            **({"authorizer": {"jwt": {"claims": claims}}} if claims else {}),
        },
        "body": body if isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }


class Stack:
    """A stack whose hosts invite and whose guests redeem."""

    def __init__(self, deploy: Deploy, access: str = "jwt", **options: Any) -> None:
        rules = options.pop("rules", (INVITE_RULE, GUEST_RULE))
        options.setdefault("policy", policy(*rules, mode=options.pop("mode", "enforce")))
        keys = options.pop("keys", KEY_SECRET)
        self.deployed: Deployed = deploy(access, **options)
        if keys is not None:
            self.deployed.aws.put_secret(self.deployed.environment, keys, "invites")

    def create(self, claims: Mapping[str, str] | None = None, **fields: Any) -> Answer:
        body = {name: value for name, value in {**BODY, **fields}.items() if value is not ...}
        return self.deployed.answer(event("POST /v1/invites", body, claims=claims or HOST))

    def redeem(self, invite: object, **fields: Any) -> Answer:
        return self.deployed.answer(event("POST /v1/invites/redeem", {"invite": invite, **fields}))

    def invite(self, **fields: Any) -> str:
        return str(self.create(**fields).body["invite"])

    def wait(self, seconds: float) -> None:
        self.deployed.clock.advance(seconds)

    @property
    def line(self) -> dict[str, Any]:
        return self.deployed.audit_lines()[-1]


def signed(environment: str, key: str = KEYS["a"], **changes: Any) -> str:
    """Return an invite, signed with the standard library alone. None removes a member."""
    content = {"platform": "100ms", "room_id": "class-1", "role": "guest", "exp": NOW + 600, "id": "x", "kid": "a"}
    content = {name: value for name, value in (content | changes).items() if value is not None}
    payload = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    mac = hmac.digest(key.encode(), f"rki1.{environment}.{payload}".encode(), hashlib.sha256)
    return f"rki1.{payload}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


# --- creating --------------------------------------------------------------------------------------------------------


def test_a_host_creates_an_invite_and_a_guest_joins_the_room(deploy: Deploy) -> None:
    stack = Stack(deploy, INVITE_URL="https://app.example.com/join")

    created = stack.create(expires_in=3600, guest_name="Grace")

    assert (created.status, created.body["expires_in"], created.body["expires_at"]) == (201, 3600, NOW + 3600)
    assert re.fullmatch(r"rki1\.[\w-]+\.[\w-]{43}", created.body["invite"])
    assert re.fullmatch(r"[\w-]{12}", created.body["invite_id"])
    assert created.body["url"] == f"https://app.example.com/join#{created.body['invite']}"
    line = stack.line
    assert (line["decision"], line["kind"], line["invite_id"]) == ("invited", "invite", created.body["invite_id"])
    assert line["invite"] == {"expires_at": NOW + 3600}
    assert line["invite_keys"].keys() == {"age_s"}
    assert line["policy"]["rule"] == "hosts invite"

    reply = stack.redeem(created.body["invite"])

    assert (reply.status, reply.body["expires_in"]) == (200, 1800)
    assert {name: reply.body[name] for name in ("platform", "room_id", "role")} == BODY
    claims = claims_of(str(reply.token))
    assert (claims["room_id"], claims["role"], claims["user_id"]) == ("class-1", "guest", reply.body["user_id"])
    assert re.fullmatch(r"guest-[0-9a-f]{28}", reply.body["user_id"])
    line = stack.line
    assert (line["decision"], line["kind"], line["invite_id"]) == ("minted", "app", created.body["invite_id"])
    assert (line["caller"], line["policy"]["rule"]) == ({"access": "open"}, "guests join")
    assert line["invite_keys"].keys() == {"age_s"}


def test_a_guest_who_repeats_the_id_is_the_same_guest(deploy: Deploy) -> None:
    stack = Stack(deploy)
    invite = stack.invite()

    first = stack.redeem(invite, user_id="ada")
    assert first.body["user_id"] == "guest-ada"
    assert stack.redeem(invite, user_id="guest-ada").body["user_id"] == "guest-ada"
    assert claims_of(str(first.token))["user_id"] == "guest-ada"


EVERYTHING = {"platforms": ["*"], "roles": ["*"], "services": ["*"], "rooms": ["*"]}


@pytest.mark.parametrize("platform", PLATFORM_NAMES)
def test_invites_work_on_every_platform(deploy: Deploy, platform: str) -> None:
    example, secret = PLATFORMS[platform].example, credential_file.as_text(credential_file.demo()[platform])
    fields = {name: example.get(name, ...) for name in ("room_id", "role")}
    services = list(PLATFORMS[platform].services[:1]) or ...
    rules = ({**INVITE_RULE, **EVERYTHING}, {**GUEST_RULE, **EVERYTHING})
    stack = Stack(deploy, platforms=[platform], secrets={platform: secret}, secret=secret, rules=rules)

    reply = stack.redeem(stack.invite(platform=platform, services=services, **fields), guest_name="Zoë")

    assert (reply.status, reply.body["platform"]) == (200, platform)
    assert reply.token
    assert reply.body.get("user_id", "guest-").startswith("guest-")
    assert reply.body.get("role") == example.get("role")
    assert reply.body["expires_in"] <= 1800


def test_an_iam_principal_can_invite(deploy: Deploy) -> None:
    role = "arn:aws:iam::111122223333:role/backend"
    stack = Stack(deploy, "iam", rules=({**INVITE_RULE, "who": [{"principal": role}]}, GUEST_RULE))
    request = event("POST /v1/invites", BODY)
    request["requestContext"]["authorizer"] = {"iam": {"userArn": role}}

    created = stack.deployed.answer(request)

    assert created.status == 201
    assert stack.redeem(created.body["invite"]).token


def test_an_open_stack_creates_no_invites(deploy: Deploy) -> None:
    stack = Stack(deploy, "open", rules=({**INVITE_RULE, "who": ["anyone"]}, GUEST_RULE))

    assert (stack.create().status, stack.create().code) == (404, "not-found")
    assert stack.redeem(signed(stack.deployed.environment)).token


INVALID_REQUESTS: Mapping[str, tuple[dict[str, Any], list[str]]] = {
    "no platform": ({"platform": ...}, ["platform"]),
    "a platform that is not served": ({"platform": "agora"}, ["platform"]),
    "a platform of another type": ({"platform": ["100ms"]}, ["platform"]),
    "no room": ({"room_id": ...}, ["room_id"]),
    "a room of another type": ({"room_id": 7}, ["room_id"]),
    "no role": ({"role": ...}, ["role"]),
    "a short lifetime": ({"expires_in": 299}, ["expires_in"]),
    "a long lifetime": ({"expires_in": 2_592_001}, ["expires_in"]),
    "a lifetime of another type": ({"expires_in": "3600"}, ["expires_in"]),
    "a null lifetime": ({"expires_in": None}, ["expires_in"]),
    "a long name": ({"guest_name": "x" * 65}, ["guest_name"]),
    "an unknown field": ({"user_id": "ada"}, ["user_id"]),
}


@pytest.mark.parametrize("name", INVALID_REQUESTS)
def test_an_invalid_request_names_its_fields(deploy: Deploy, name: str) -> None:
    fields, faulty = INVALID_REQUESTS[name]
    answer = Stack(deploy).create(**fields)
    assert (answer.status, answer.code, answer.faulty_fields) == (400, "invalid-request", faulty)


@pytest.mark.parametrize(
    ("fields", "claims"),
    [
        ({}, {**HOST, "groups": "[guests]"}),
        ({"role": "host"}, HOST),
        ({"room_id": "staff-1"}, HOST),
        ({"expires_in": 7201}, HOST),
    ],
)
def test_the_policy_bounds_what_a_host_can_invite_to(
    deploy: Deploy, fields: dict[str, Any], claims: dict[str, str]
) -> None:
    answer = Stack(deploy).create(claims, **fields)
    assert (answer.status, answer.code) == (403, "not-allowed")


def test_a_rule_for_app_tokens_creates_no_invites(deploy: Deploy) -> None:
    stack = Stack(deploy, rules=({**INVITE_RULE, "kinds": ["app", "management"], "rooms": ["*"]}, GUEST_RULE))
    assert stack.create().code == "not-allowed"


def test_an_invite_without_expires_in_lives_as_long_as_the_rule_allows(deploy: Deploy) -> None:
    assert Stack(deploy).create().body["expires_in"] == 7200
    unbounded = {name: value for name, value in INVITE_RULE.items() if name != "max_lifetime"}
    assert Stack(deploy, rules=(unbounded,)).create().body["expires_in"] == 86400
    assert Stack(deploy, rules=({**INVITE_RULE, "max_lifetime": 300},)).create().body["expires_in"] == 300
    assert Stack(deploy, rules=({**INVITE_RULE, "max_lifetime": 299},)).create().code == "not-allowed"


def test_an_invitation_requires_authentication(deploy: Deploy) -> None:
    stack = Stack(deploy)
    answer = stack.deployed.answer(event("POST /v1/invites", BODY))
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert stack.create({"groups": "[hosts]"}).code == "not-allowed"


# --- redeeming -------------------------------------------------------------------------------------------------------

MEMBER_RULES = [
    {**GUEST_RULE, "who": who, "rooms": ["*"], "roles": ["*"]}
    for who in (["anyone"], ["signed-in"], [{"user": "*"}], [{"group": "hosts"}], [{"principal": "*"}])
]


@pytest.mark.parametrize("rule", MEMBER_RULES, ids=lambda rule: str(rule["who"]))
def test_no_rule_for_members_lets_a_guest_in(deploy: Deploy, rule: dict[str, Any]) -> None:
    stack = Stack(deploy, rules=(INVITE_RULE, rule))
    answer = stack.redeem(stack.invite(), user_id="ada")
    assert (answer.status, answer.code) == (403, "not-allowed")
    assert stack.line["invite_id"]


def test_a_rule_for_guests_does_not_grant_members(deploy: Deploy) -> None:
    stack = Stack(deploy)
    request = event("POST /v1/{platform}/app-token", {"room_id": "class-1", "role": "guest"}, claims=HOST)
    request["pathParameters"] = {"platform": "100ms"}
    assert stack.deployed.answer(request).code == "not-allowed"


def test_the_owner_takes_all_links_back_within_36_seconds(deploy: Deploy) -> None:
    stack = Stack(deploy)
    invite = stack.invite()
    assert stack.redeem(invite).token

    stack.deployed.aws.put_policy(stack.deployed.environment, policy(INVITE_RULE))
    stack.wait(36)

    assert stack.redeem(invite).code == "not-allowed"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({**GUEST_RULE, "roles": ["viewer"]}, "not-allowed"),
        ({**GUEST_RULE, "rooms": ["lobby"]}, "not-allowed"),
        ({**GUEST_RULE, "platforms": ["agora"]}, "not-allowed"),
        ({**GUEST_RULE, "rooms": ["user-{sub}", "{claim:org}-*"]}, "not-allowed"),
        ({**GUEST_RULE, "who": ["invite", "anyone"]}, None),
    ],
)
def test_an_invite_never_grants_more_than_both_rules(deploy: Deploy, rule: dict[str, Any], code: str | None) -> None:
    stack = Stack(deploy, rules=(INVITE_RULE, rule))
    assert stack.redeem(stack.invite()).code == code


def changed(invite: str, index: int) -> str:
    """Return `invite` with another character at `index`."""
    return invite[:index] + ("A" if invite[index] != "A" else "B") + invite[index + 1 :]


MALFORMED: list[Any] = [
    *("", "x", "rki1", "rki1..", "rki1.e30." + "A" * 43, "rki2.e30." + "A" * 43, "rki1.e30." + "A" * 42),
    *("rki1.!!." + "A" * 43, "\ud800", "rki1." + "A" * 8001 + "." + "A" * 43, "rki1.bnVsbA." + "A" * 43, "é" * 2000),
    signed("prod", platform="zoom"),
    signed("prod", exp="soon"),
    signed("prod", exp=1.5),
    signed("prod", exp=None),
    signed("prod", id=None),
    signed("prod", kid=7),
    signed("prod", services="rtc"),
    signed("prod", services=[1]),
    signed("prod", room_id=7),
]


@pytest.mark.parametrize("invite", MALFORMED, ids=lambda invite: ascii(invite)[:40])
def test_a_malformed_invite_costs_no_aws_call(deploy: Deploy, invite: str) -> None:
    stack = Stack(deploy)
    answer = stack.redeem(invite)
    assert (answer.status, answer.code, answer.body["msg"]) == (
        404,
        "invite-invalid",
        "This invite is invalid or has expired.",
    )
    assert stack.deployed.operations == []
    assert "invite_id" not in stack.line


def test_forged_unknown_and_expired_invites_get_the_same_answer_without_calls(deploy: Deploy) -> None:
    stack = Stack(deploy)
    environment = stack.deployed.environment
    invite = stack.invite()
    assert stack.redeem(invite).token
    payload, signature = invite.split(".")[1:]
    calls = len(stack.deployed.operations)

    forged = {
        "a changed payload": f"rki1.{changed(payload, len(payload) - 3)}.{signature}",
        "a changed signature": f"rki1.{payload}.{changed(signature, 5)}",
        "another environment": signed("other"),
        "another key": signed(environment, KEYS["b"]),
        "an unknown key": signed(environment, kid="zz"),
        "expired": signed(environment, exp=NOW),
        "a widened role": signed(environment, "x" * 43, role="host"),
    }
    answers = {name: stack.redeem(invite) for name, invite in forged.items()}

    for name, answer in answers.items():
        assert (answer.status, answer.code) == (404, "invite-invalid"), name
        assert {**answer.body, "request_id": ""} == {**answers["expired"].body, "request_id": ""}
    assert len(stack.deployed.operations) == calls
    assert {line["reason"] for line in stack.deployed.audit_lines()[2:]} == {"invite-invalid"}
    assert all("platform" not in line and "invite_id" not in line for line in stack.deployed.audit_lines()[2:])


def test_every_bit_of_an_invite_counts(deploy: Deploy) -> None:
    stack = Stack(deploy)
    invite = stack.invite()
    accepted = [index for index in range(len(invite)) if stack.redeem(changed(invite, index)).status == 200]
    assert accepted == []


def test_an_invite_ends_at_its_expiry_and_a_token_may_outlast_it(deploy: Deploy) -> None:
    stack = Stack(deploy)
    invite = stack.invite(expires_in=300)
    stack.wait(299)
    assert stack.redeem(invite).body["expires_in"] == 1800
    stack.wait(1)
    assert stack.redeem(invite).code == "invite-invalid"


def test_keys_are_rotated_by_adding_one(deploy: Deploy) -> None:
    stack = Stack(deploy, keys=json.dumps({"keys": {"a": KEYS["a"]}, "current": "a"}))
    old = stack.invite()
    both = json.dumps({"keys": KEYS, "current": "b"})
    stack.deployed.aws.secrets.put_secret_value(
        SecretId=f"roomkey/{stack.deployed.environment}/invites", SecretString=both
    )
    stack.wait(361)

    new = stack.invite()

    assert stack.redeem(old).token
    assert stack.redeem(new).token
    without_a = json.dumps({"keys": {"b": KEYS["b"]}, "current": "b"})
    stack.deployed.aws.secrets.put_secret_value(
        SecretId=f"roomkey/{stack.deployed.environment}/invites", SecretString=without_a
    )
    stack.wait(361)
    assert stack.redeem(old).code == "invite-invalid"
    assert stack.redeem(new).token


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        (None, "credentials-unavailable"),
        ("{", "credentials-invalid"),
        ("[]", "credentials-invalid"),
        (json.dumps({"keys": KEYS}), "credentials-invalid"),
        (json.dumps({"keys": KEYS, "current": "c"}), "credentials-invalid"),
        (json.dumps({"keys": {"a": "short"}, "current": "a"}), "credentials-invalid"),
        (json.dumps({"keys": {"A!": KEYS["a"]}, "current": "A!"}), "credentials-invalid"),
        (json.dumps({"keys": [], "current": "a"}), "credentials-invalid"),
    ],
)
def test_without_valid_keys_no_invite_is_created_or_redeemed(
    deploy: Deploy, capsys: pytest.CaptureFixture[str], keys: str | None, code: str
) -> None:
    stack = Stack(deploy, keys=keys)
    assert (stack.create().status, stack.create().code) == (503, code)
    assert stack.redeem(signed(stack.deployed.environment)).code == code
    assert KEYS["a"] not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("switch", "create", "redeem"),
    [
        ("invite", "minting-disabled", "minting-disabled"),
        ("100ms/invite", "minting-disabled", "minting-disabled"),
        ("app", None, "minting-disabled"),
        ("100ms", "minting-disabled", "minting-disabled"),
        ("agora/invite,management", None, None),
    ],
)
def test_the_kill_switch_covers_invites(deploy: Deploy, switch: str, create: str | None, redeem: str | None) -> None:
    stack = Stack(deploy, flag=switch)
    assert stack.create().code == create
    assert stack.redeem(signed(stack.deployed.environment)).code == redeem


def test_the_switch_is_asked_before_the_signature(deploy: Deploy) -> None:
    stack = Stack(deploy, flag="true")
    assert stack.redeem(signed("other")).code == "minting-disabled"
    assert stack.deployed.operations == [GET_FLAG]


def test_blocked_invites_guests_and_hosts_get_nothing_within_36_seconds(deploy: Deploy) -> None:
    stack = Stack(deploy)
    created = stack.create().body
    assert stack.redeem(created["invite"], user_id="eve").token

    for blocked in ({"invites": [created["invite_id"]]}, {"users": {"guest-eve": {}}}):
        stack.deployed.aws.put_block_list(stack.deployed.environment, json.dumps(blocked))
        stack.wait(36)
        answer = stack.redeem(created["invite"], user_id="eve")
        assert (answer.status, answer.code) == (403, "blocked")
    assert stack.redeem(created["invite"], user_id="bob").token

    stack.deployed.aws.put_block_list(stack.deployed.environment, '{"users": {"ada": {}}}')
    stack.wait(36)
    assert stack.create().code == "blocked"


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"invite": 7}, ["invite"]),
        ({"user_id": ""}, ["user_id"]),
        ({"user_id": "x" * 257}, ["user_id"]),
        ({"user_id": "\u202e"}, ["user_id"]),
        *(({"user_id": f"guest-{rest}"}, ["user_id"]) for rest in ("", "undefined", "\u200b", " a")),
        ({"guest_name": 1}, ["guest_name"]),
        ({"role": "host"}, ["role"]),
        ({"expires_in": 60}, ["expires_in"]),
    ],
)
def test_an_invalid_redemption_names_its_fields(deploy: Deploy, fields: dict[str, Any], faulty: list[str]) -> None:
    stack = Stack(deploy)
    answer = stack.redeem(**{"invite": signed(stack.deployed.environment), **fields})
    assert (answer.status, answer.code, answer.faulty_fields) == (400, "invalid-request", faulty)
    assert stack.deployed.operations == []


@pytest.mark.parametrize(("body", "reason"), [({"invit": "x"}, "is missing"), ({"invite": 7}, "must be a string")])
def test_a_redemption_without_an_invite_has_a_reason(deploy: Deploy, body: dict[str, Any], reason: str) -> None:
    answer = Stack(deploy).deployed.answer(event("POST /v1/invites/redeem", body))
    assert answer.body["errors"][0] == {"field": "invite", "reason": reason}


def test_a_user_id_that_is_too_long_with_its_prefix_is_refused(deploy: Deploy) -> None:
    stack = Stack(deploy)
    answer = stack.redeem(signed(stack.deployed.environment), user_id="x" * 256)
    assert (answer.code, answer.faulty_fields) == ("invalid-request", ["user_id"])


def test_audit_mode_records_a_guest_whom_no_rule_admits(deploy: Deploy) -> None:
    stack = Stack(deploy, rules=(), mode="audit")
    assert stack.redeem(stack.invite()).token
    assert stack.line["policy"] == {"mode": "audit", "allowed": False}


def test_both_decisions_are_counted(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    stack = Stack(deploy)
    invite = stack.invite()
    stack.redeem(invite)
    stack.redeem("x")
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]

    counted = [sorted(name for name in line if name[0].isupper() and name != "Duration") for line in metrics]
    assert counted == [["InviteCreated"], ["InviteRedeemed", "TokenMinted"], ["InviteRefused", "TokenRefused"]]
    assert [(line["platform"], line["kind"], line["code"]) for line in metrics] == [
        ("100ms", "invite", "invited"),
        ("100ms", "app", "minted"),
        ("none", "app", "invite-invalid"),
    ]


# --- 100ms room codes ------------------------------------------------------------------------------------------------

ROOM_CODE_ROUTES = ("POST /v2/token", "POST /v1/100ms/room-code")


def room_code(stack: Stack, route: str, body: object, **headers: str) -> dict[str, Any]:
    request = event(route, body)
    request["headers"] |= {"content-type": "text/plain;charset=UTF-8"} | headers
    response = stack.deployed.api.answer(request, None)
    return {"status": response["statusCode"], **json.loads(response["body"])}


@pytest.mark.parametrize("route", ROOM_CODE_ROUTES)
def test_a_room_code_is_an_invite_for_100ms(deploy: Deploy, route: str) -> None:
    stack = Stack(deploy)
    code = stack.invite()

    for body in (
        {"code": code, "user_id": "bob"},
        {"code": code, "user_id": "bob", "x": 1},
        f"code={code}&user_id=bob",
    ):
        form = {"content-type": "application/x-www-form-urlencoded"} if isinstance(body, str) else {}
        reply = room_code(stack, route, body, **form)
        assert (reply["status"], reply["user_id"]) == (200, "guest-bob")
        assert claims_of(reply["token"])["room_id"] == "class-1"
    assert room_code(stack, route, {"code": code, "user_id": ""})["user_id"].startswith("guest-")


def test_room_codes_answer_with_integer_codes(deploy: Deploy) -> None:
    stack = Stack(deploy, platforms=("100ms", "agora"), rules=(INVITE_RULE, {**GUEST_RULE, "platforms": ["agora"]}))
    code = stack.invite()
    refused = {
        "not-allowed": room_code(stack, "POST /v2/token", {"code": code}),
        "invite-invalid": room_code(stack, "POST /v2/token", {"code": "abc-defg-hij"}),
        "malformed-body": room_code(stack, "POST /v2/token", "{"),
        "invalid-request": room_code(stack, "POST /v2/token", {}),
    }
    for reason, answer in refused.items():
        status = 403 if reason == "not-allowed" else 404
        assert (answer["status"], answer["code"], answer["reason"]) == (status, status, reason)
        assert answer["message"].endswith(".")
        assert answer["success"] is False

    other = stack.invite(platform="agora", role="subscriber")
    assert room_code(stack, "POST /v2/token", {"code": other})["reason"] == "invite-invalid"

    stack.deployed.aws.ssm.delete_parameter(Name=f"/roomkey/{stack.deployed.environment}/policy")
    stack.wait(36)
    answer = room_code(stack, "POST /v2/token", {"code": code})
    assert (answer["status"], answer["code"], answer["reason"]) == (503, 4503, "policy-unavailable")


def test_without_100ms_a_room_code_is_not_found_in_the_same_format(deploy: Deploy) -> None:
    answer = room_code(Stack(deploy, platforms=("agora",)), "POST /v2/token", {"code": "abc-defg-hij"})

    assert (answer["status"], answer["code"], answer["reason"]) == (404, 404, "not-found")


# --- the form --------------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_no_text_is_an_invite_by_chance(text: str) -> None:
    from roomkey.errors import InviteInvalid  # noqa: PLC0415

    for invite in (text, f"rki1.{text}.{'A' * 43}"):
        with pytest.raises(InviteInvalid):
            UnverifiedInvite.decode(invite)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)


@given(names, names, st.none() | names, st.lists(st.sampled_from(["rtc", "rtm"]), unique=True))
def test_a_signed_invite_is_read_back(room: str, role: str, name: str | None, services: list[str]) -> None:
    keys = InviteKeys(KEYS, "b")
    invite = Invite("agora", room, role, tuple(services), NOW + 5, "x", name)
    unverified = UnverifiedInvite.decode(keys.sign(invite, "prod"))
    assert keys.verify(unverified, "prod", NOW) == invite
    assert KEYS["b"] not in repr(keys)


def test_cold_a_redemption_makes_three_calls(deploy: Deploy) -> None:
    stack = Stack(deploy)
    assert stack.redeem(signed(stack.deployed.environment)).token
    assert stack.deployed.operations == [GET_FLAG, GET_SECRET, GET_SECRET]
