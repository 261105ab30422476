"""Agora: requests, tokens, and reports about tokens.

The "meta" of vectors/agora.json, agora_vendor_tests.json and negative_agora.json names the source of each fact."""

import base64
import json
import re
import string
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import InvalidRequest, NotAllowed
from roomkey.platforms import access_token2
from roomkey.platforms.access_token2 import APAAS, CHAT, FPA, RTC, RTM, AccessToken2, Service
from roomkey.platforms.agora import Agora
from roomkey.platforms.base import (
    Grant,
    MintContext,
    Randomness,
    Signature,
    TokenContent,
    TokenKind,
    TokenReport,
)
from roomkey.platforms.credentials import Credentials, InvalidCredentials
from roomkey.platforms.fields import is_missing_value
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import TokenRequest, bind_to_user, parse, resolve_lifetime

VECTORS = Path(__file__).parent / "vectors"
BUILT, ASSERTED, NEGATIVE = (
    json.loads((VECTORS / name).read_text())["vectors"]
    for name in ("agora.json", "agora_vendor_tests.json", "negative_agora.json")
)
KNOWN: dict[str, Mapping[str, Any]] = {vector["id"]: vector for vector in (*BUILT, *ASSERTED)}

AGORA = Agora()
SECRET = {"app_id": "970CA35de60c44645bbae8a215061b33", "app_certificate": "5CFd2fd1755d40ecb72977518be15d3b"}
KEYS = Credentials(SECRET)
NOW = 1_700_000_000
SERVICES = ("rtc", "rtm", "chat")
CHARACTERS = string.ascii_letters + string.digits + " !#$%&()+-:;<=.>?@[]^_{}|~,"


def body(**changes: object) -> dict[str, object]:
    """Return a request with `changes`; None removes a field."""
    whole = {"room_id": "lobby", "role": "publisher", "user_id": "alice", "services": list(SERVICES), **changes}
    return {name: value for name, value in whole.items() if value is not None}


def asked(kind: TokenKind = TokenKind.APP, **changes: object) -> TokenRequest:
    fields = body(**changes) if kind is TokenKind.APP else changes
    return parse(AGORA, kind, fields, lifetimes=DEFAULT_LIFETIMES)


def refusals(kind: TokenKind = TokenKind.APP, **changes: object) -> dict[str, str]:
    """Return the invalid fields, each with the reason."""
    with pytest.raises(InvalidRequest) as refused:
        asked(kind, **changes)
    return {error.field: error.reason for error in refused.value.errors}


def grant_of(request: TokenRequest, expires_at: int) -> Grant:
    return Grant(request.kind, expires_at, request.room_id, request.role, request.user_id, request.services or ("rtc",))


def minted(
    request: TokenRequest, *, at: float = NOW, lifetime: int = 600, salt: int = 1, keys: Credentials = KEYS
) -> str:
    context = MintContext(at, Randomness(salt=lambda: salt))
    grant = grant_of(request, int(at) + lifetime)._replace(services=request.services)
    return AGORA.token(keys, grant, context)


def explained(token: str, keys: Credentials | None = KEYS, at: float = NOW) -> TokenReport:
    report = AGORA.explain(token, keys, at)
    assert report is not None
    return report


def services_of(report: TokenReport) -> list[dict[str, Any]]:
    services: Any = report.claims["services"]
    return list(services)


def signed(*services: Service, expire: int = 600, issue_ts: int = NOW, app_id: str = SECRET["app_id"]) -> str:
    """Return a token as any owner of the certificate can make it."""
    return access_token2.sign(AccessToken2(app_id, issue_ts, expire, 1, services), SECRET["app_certificate"])


def rtc(uid: str = "5", channel: str = "lobby", privileges: Mapping[int, int] | None = None) -> Service:
    return Service(RTC, privileges or {1: 600}, {"channel_name": channel, "uid": uid})


def rtm(user: str = "5", lifetime: int = 600) -> Service:
    return Service(RTM, {1: lifetime}, {"user_id": user})


def chat(user: str = "5", privileges: Mapping[int, int] | None = None) -> Service:
    return Service(CHAT, privileges or {1: 600}, {"user_id": user})


# --- the platform --------------------------------------------------------------------------------------------------


# --- credentials ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("respell", [str, str.lower, str.upper])
def test_hexadecimal_credentials_of_either_case_are_taken_as_they_are(respell: type[str]) -> None:
    values = {name: respell(value) for name, value in SECRET.items()}
    assert AGORA.check_credentials({**values, "project": "ours"}).values == values


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        7,
        "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0",
        "0123456789abcdef0123456789abcdeg",
        "0123456789abcdef0123456789abcdef\n",
        " 0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcde\uff11",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "01234567-89ab-cdef-0123-456789abcdef",
    ],
)
def test_credentials_of_another_form_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidCredentials) as refused:
        AGORA.check_credentials({**SECRET, name: value})
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(f"{name}: ")
    if isinstance(value, str) and value:
        assert value not in str(refused.value)


@pytest.mark.parametrize("character", "0aF")
def test_a_certificate_of_one_character_is_refused(character: str) -> None:
    with pytest.raises(InvalidCredentials, match=r"^app_certificate: [a-z ]+$"):
        AGORA.check_credentials({**SECRET, "app_certificate": character * 32})


def test_an_app_id_in_the_place_of_the_certificate_is_refused() -> None:
    with pytest.raises(InvalidCredentials, match="the same"):
        AGORA.check_credentials({**SECRET, "app_certificate": SECRET["app_id"]})


# --- requests ------------------------------------------------------------------------------------------------------


def test_a_request_has_the_requested_values() -> None:
    assert asked(expires_in=120) == TokenRequest(
        AGORA, TokenKind.APP, room_id="lobby", role="publisher", user_id="alice", services=SERVICES, expires_in=120
    )


@pytest.mark.threat("F7")
@pytest.mark.parametrize("name", ["room_id", "role", "user_id"])
@pytest.mark.parametrize("value", [None, "", 7, [], {}, True, " "])
def test_a_token_is_for_a_channel_a_role_and_a_user(name: str, value: Any) -> None:
    assert refusals(**{name: value}).keys() == {name}


@pytest.mark.parametrize("name", ["room_id", "role", "user_id", "services"])
def test_null_is_not_a_value(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(AGORA, TokenKind.APP, {**body(), name: None}, lifetimes=DEFAULT_LIFETIMES)
    assert [error.field for error in refused.value.errors] == [name]


@pytest.mark.parametrize("room_id", ["c", "c" * 63, "0", "!#$%&()+-:;<=.>?@[]^_ {}|~,", "a b"])
def test_a_channel_of_documented_characters_is_taken(room_id: str) -> None:
    assert asked(room_id=room_id).room_id == room_id


@pytest.mark.parametrize(
    "room_id", ["c" * 64, "*", "a/b", "a\\b", 'a"b', "a'b", "a`b", "a\nb", "lobby\n", " a", "a ", "课堂", "é", "\uff11"]
)
def test_another_channel_is_refused(room_id: str) -> None:
    assert refusals(room_id=room_id).keys() == {"room_id"}


@pytest.mark.parametrize("user_id", ["1", "5", "4294967295", "00042", "+5", "+4294967295", "0" * 254 + "1"])
def test_a_number_is_a_uid_and_stays_as_it_was_sent(user_id: str) -> None:
    request = asked(user_id=user_id, services=["rtc"])
    assert request.user_id == user_id
    assert services_of(explained(minted(request)))[0]["uid"] == user_id


@pytest.mark.threat("F7")
@pytest.mark.parametrize(
    "user_id",
    ["0", "00", "+0", "-0", "+000", "-1", "-5", "4294967296", "+4294967296", "04294967297", "100000000000000000001"],
)
def test_a_number_that_is_not_a_uid_is_refused(user_id: str) -> None:
    assert refusals(user_id=user_id) == {"user_id": "must be from 1 to 4294967295 where it is a number"}


@pytest.mark.parametrize(
    "user_id", ["alice", "a" * 255, "0x5", "1 2", "5+", "--5", "+-5", "+", "-", "1.0", "1e3", "a@b"]
)
def test_anything_else_is_an_account(user_id: str) -> None:
    assert asked(user_id=user_id, services=["rtc"]).user_id == user_id


@pytest.mark.parametrize(
    "user_id", ["a" * 256, "1" * 256, "*", "ali\nce", "alice\n", " alice", "\uff15", "\u0665", "用户", 5]
)
def test_another_account_is_refused(user_id: object) -> None:
    assert refusals(user_id=user_id, services=["rtc"]).keys() == {"user_id"}


@pytest.mark.parametrize("services", [["rtm"], ["chat"], ["rtc", "rtm"], ["rtc", "chat"], list(SERVICES)])
def test_a_user_of_rtm_or_chat_has_64_bytes(services: list[str]) -> None:
    assert asked(user_id="m" * 64, services=services).user_id == "m" * 64
    reason = "must not be longer than 64 characters with rtm or chat among the services"
    assert refusals(user_id="m" * 65, services=services) == {"user_id": reason}


def test_a_user_of_rtc_alone_has_255_bytes_without_naming_the_service() -> None:
    assert asked(user_id="m" * 255, services=None).user_id == "m" * 255


@pytest.mark.parametrize("role", ["publisher", "subscriber"])
def test_the_roles_are_two(role: str) -> None:
    assert asked(role=role).role == role


@pytest.mark.parametrize("role", ["Publisher", "host", "1", "admin"])
def test_another_role_is_refused(role: str) -> None:
    assert refusals(role=role) == {"role": "must be one of publisher, subscriber"}


def test_services_have_one_order() -> None:
    assert asked(services=["chat", "rtm", "rtc"]).services == SERVICES
    assert asked(services=["chat", "rtc"]).services == ("rtc", "chat")


@pytest.mark.parametrize(
    "services",
    ["rtc", "", 1, True, {}, {"rtc": 1}, [], [1], [["rtc"]], [{}], [None], ["rtc", None], ["RTC"], ["rtm2"], ["fpa"]],
)
def test_other_services_are_refused(services: object) -> None:
    assert refusals(services=services) == {"services": "must be a list of one or more of rtc, rtm, chat"}


@pytest.mark.parametrize("user_id", ["Ada", "ADA", "ada b", "ada@x", "+5", "a" * 65])
def test_chat_takes_only_users_that_it_does_not_fold(user_id: str) -> None:
    for services in (["chat"], ["rtc", "chat"]):
        assert refusals(user_id=user_id, services=services).keys() == {"user_id"}
    assert asked(user_id=user_id, services=["rtc"]).user_id == user_id


@pytest.mark.parametrize("user_id", ["ada", "42", "a_b.c-d", "0a"])
def test_chat_takes_lower_case_letters_digits_and_three_marks(user_id: str) -> None:
    assert asked(user_id=user_id, services=["chat"]).user_id == user_id


@pytest.mark.parametrize("services", [["rtc", "rtc"], ["rtc", "rtm", "rtc"]])
def test_a_service_named_twice_is_refused(services: list[str]) -> None:
    assert refusals(services=services) == {"services": "must not name a service twice"}


@pytest.mark.parametrize("expires_in", [120, 86400])
def test_a_token_lives_from_two_minutes_to_a_day(expires_in: int) -> None:
    assert asked(expires_in=expires_in).expires_in == expires_in


@pytest.mark.parametrize("expires_in", [0, 119, 86401, -1, 3600.0, "3600", True])
def test_another_life_is_refused(expires_in: object) -> None:
    assert refusals(expires_in=expires_in).keys() == {"expires_in"}


@pytest.mark.parametrize("name", ["room_id", "role", "user_id", "services", "privileges", "channel_name"])
def test_a_management_token_has_no_user_and_no_room(name: str) -> None:
    assert refusals(TokenKind.MANAGEMENT, **{name: body().get(name, "x")}) == {name: "is not a field of this request"}
    assert asked(TokenKind.MANAGEMENT, expires_in=900) == TokenRequest(AGORA, TokenKind.MANAGEMENT, expires_in=900)


def test_every_wrong_field_is_named() -> None:
    wrong = refusals(room_id="课堂", role="host", user_id="0", services=[], expires_in=1, uid=5)
    assert wrong.keys() == {"room_id", "role", "user_id", "services", "expires_in", "uid"}


@pytest.mark.parametrize("sub", ["110169484474386276334", "0", "auth0|*", "a" * 256])
def test_a_signed_in_user_whose_id_agora_cannot_have_gets_no_token(sub: str) -> None:
    with pytest.raises(NotAllowed):
        bind_to_user(parse(AGORA, TokenKind.APP, body(user_id=None), lifetimes=DEFAULT_LIFETIMES, signed_in=True), sub)


# --- known answers -------------------------------------------------------------------------------------------------

LEFT_OUT = {
    "agora-rtc_uid_zero-01": "a wildcard: uid 0",
    "agora-rtc_uid_zero-03": "a wildcard: uid 0",
    "agora-rtc_account_zero-01": "a wildcard: the empty account",
    "agora-rtc_account_zero-03": "a wildcard: the empty account",
    "agora-rtc_account-05": "an account outside the documented characters",
    "agora-rtc_channel-01": "a channel outside the documented characters",
    "agora-rtc_channel-07": "a channel of 64 bytes",
    "agora-rtc_expiry-01": "privileges with a separate lifetime",
    "agora-rtc_expiry-03": "privileges with a separate lifetime",
    "agora-cert_case-01": "a lifetime under two minutes",
    "agora-rtc_expiry-07": "a life under a minute",
    "agora-rtc_expiry-09": "a life under a minute",
    "agora-rtc_privileges-01": "privileges with separate lifetimes",
    "agora-rtc_privileges-03": "privileges with separate lifetimes",
    "agora-rtc_privileges_account-01": "privileges with separate lifetimes",
    "agora-rtc_privileges_account-03": "privileges with separate lifetimes",
    "agora-rtc_single_privilege-03": "a right to publish video without one to join",
    "agora-rtc_with_rtm-01": "privileges with a separate lifetime",
    "agora-rtc_with_rtm-03": "privileges with a separate lifetime",
    "agora-rtc_with_rtm2-01": "privileges with separate lifetimes, and two users",
    "agora-rtc_with_rtm2-03": "privileges with separate lifetimes, and two users",
    "agora-rtm-03": "a wildcard: the empty user",
    "agora-apaas_room_user-01": "the service APaaS",
    "agora-apaas_room_user-03": "the service APaaS",
    "agora-apaas_room_user-05": "the service APaaS",
    "agora-apaas_user-01": "the service APaaS",
    "agora-apaas_app-01": "the service APaaS",
    "agora-fpa-01": "the service FPA",
    "agora-multi_order-01": "the services FPA and APaaS",
    "agora-multi_repeat-01": "a service twice",
    "agora-streaming_fcdn-01": "the services Streaming and FCDN",
    "agora-streaming_fcdn-03": "the services Streaming and FCDN",
    "agora-rtm2_permissions-01": "the service RTM2",
    "agora-rtm2_permissions-03": "the service RTM2",
    "agora-convoai-01": "the service ConvoAI",
    "agora-stt-01": "the service STT",
    "agora-vendor-test-05": "the service APaaS",
    "agora-vendor-test-07": "the service APaaS",
    "agora-vendor-test-08": "a wildcard: uid 0",
    "agora-vendor-test-10": "the service APaaS",
    "agora-vendor-test-11": "two users",
    "agora-vendor-test-13": "two users",
    "agora-vendor-test-14": "the service FPA",
    "agora-vendor-test-16": "the services FPA and APaaS",
    "agora-vendor-test-17": "the services Streaming and FCDN",
}
"""Content that Roomkey never mints, and why."""


def request_of(vector: Mapping[str, Any]) -> tuple[TokenKind, dict[str, object]] | None:
    """Return the request for the known token; None if Roomkey never mints its privileges and services."""
    says = vector["expect"]
    lifetimes = {lifetime for service in says["services"] for lifetime in service["privileges"].values()}
    held = {service["name"]: {int(number) for number in service["privileges"]} for service in says["services"]}
    users = {service.get("uid", service.get("user_id")) for service in says["services"]}
    if held == {"chat": {2}} and users == {""} and lifetimes == {says["expire"]}:
        return TokenKind.MANAGEMENT, {"expires_in": says["expire"]}
    role = {frozenset({1}): "subscriber", frozenset({1, 2, 3, 4}): "publisher"}.get(frozenset(held.pop("rtc", {1})))
    others = all(name in SERVICES and privileges == {1} for name, privileges in held.items())
    names = [service["name"] for service in says["services"]]
    if role is None or not others or lifetimes != {says["expire"]} or len(users) > 1 or len(set(names)) < len(names):
        return None
    room_id = next((service["channel_name"] for service in says["services"] if "channel_name" in service), "any")
    return TokenKind.APP, {
        "room_id": room_id,
        "role": role,
        "user_id": users.pop(),
        "services": names[::-1],
        "expires_in": says["expire"],
    }


def accepted(vector: Mapping[str, Any]) -> TokenRequest | None:
    wanted = request_of(vector)
    if wanted is None:
        return None
    try:
        return parse(AGORA, *wanted, lifetimes=DEFAULT_LIFETIMES)
    except InvalidRequest:
        return None


def keys_of(inputs: Mapping[str, Any]) -> Credentials:
    return Credentials({name: inputs[name] for name in SECRET})


def test_the_omitted_vectors_are_exactly_those_that_no_request_expresses() -> None:
    assert {name for name, vector in KNOWN.items() if accepted(vector) is None} == LEFT_OUT.keys()


@pytest.mark.threat("G2", "G5")
@pytest.mark.parametrize("name", sorted(KNOWN.keys() - LEFT_OUT.keys()))
def test_a_known_token_is_minted_byte_for_byte(name: str) -> None:
    vector = KNOWN[name]
    says, request = vector["expect"], accepted(vector)
    assert request is not None
    token = minted(
        request,
        at=says["issue_ts"] + 0.75,
        lifetime=says["expire"],
        salt=says["salt"],
        keys=AGORA.check_credentials(keys_of(vector["inputs"]).values),
    )
    content = zlib.decompress(base64.b64decode(token.removeprefix("007"), validate=True))
    assert content.hex() == "2000" + says["signature_hex"] + says["signing_info_hex"]


BEYOND_A_LIMIT = {
    "agora-rtc_channel-07": "102 Invalid Channel Name",
    "agora-rtc_expiry-09": "109 Token Expired",
}
"""Valid packing, a channel of 64 bytes, and a lifetime of 0."""


def known_text(vector: Mapping[str, Any]) -> str:
    expect = vector["expect"]
    if "tokens" in expect:
        return str(expect["tokens"][0]["token"])
    return str(expect["token_tools_python3"] or expect["token_npm_agora_token"])


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_token_is_good_when_it_is_issued(name: str) -> None:
    vector = KNOWN[name]
    report = explained(known_text(vector), keys_of(vector["inputs"]), vector["expect"]["issue_ts"])
    assert report.signature is Signature.VALID
    assert report.issued_at == vector["expect"]["issue_ts"]
    if name in BEYOND_A_LIMIT:
        assert [BEYOND_A_LIMIT[name] in problem for problem in report.problems] == [True]
    else:
        assert report.problems == ()
    if request := accepted(vector):
        assert report.warnings == ()
        expires_at = vector["expect"]["issue_ts"] + vector["expect"]["expire"]
        assert report.content == AGORA.expressible(grant_of(request, expires_at)._replace(services=request.services))


WITHOUT_CREDENTIALS_GENUINE = {
    "wrong_certificate",
    "certificate_other_letter_case",
    "wrong_app_id",
    "privilege_raised_not_resigned",
    "app_id_bit_flipped",
    "signature_bit_flipped",
    "big_endian_ts_signing",
    "key_and_message_swapped",
    "certificate_hex_decoded",
}
"""Faults that only the certificate reveals."""


@pytest.mark.parametrize("negative", NEGATIVE, ids=lambda negative: negative["why"])
def test_a_request_that_agora_would_refuse_is_refused(negative: Mapping[str, Any]) -> None:
    why, token, now = negative["why"], negative["token"], negative["now"]
    judged = AGORA.explain(token, keys_of(negative["verify"]), now)
    unjudged = AGORA.explain(token, None, now)
    if why == "no_prefix":
        assert judged is None
        assert unjudged is None
        return
    assert judged is not None
    assert unjudged is not None
    assert judged.problems
    assert unjudged.signature in (Signature.UNCHECKED, Signature.IMPOSSIBLE)
    assert (why in WITHOUT_CREDENTIALS_GENUINE) is (not unjudged.problems)


def test_every_negative_is_there() -> None:
    assert len(NEGATIVE) == 26
    assert {negative["why"] for negative in NEGATIVE} > WITHOUT_CREDENTIALS_GENUINE


# --- minting -------------------------------------------------------------------------------------------------------


def services_in(token: str) -> tuple[Service, ...]:
    return access_token2.read(token).token.services


def test_a_publisher_may_join_and_publish_and_a_subscriber_join() -> None:
    publisher = services_in(minted(asked(role="publisher", services=["rtc"])))
    assert publisher == (rtc("alice", privileges={1: 600, 2: 600, 3: 600, 4: 600}),)
    assert services_in(minted(asked(role="subscriber", services=["rtc"]))) == (rtc("alice", privileges={1: 600}),)


def test_a_bundle_is_for_one_user_and_one_life() -> None:
    token = minted(asked(role="subscriber", services=["chat", "rtc", "rtm"]))
    assert services_in(token) == (rtc("alice"), rtm("alice"), chat("alice"))
    assert access_token2.read(token).token.expire == 600


def test_a_request_without_services_is_for_rtc() -> None:
    assert services_in(minted(asked(role="subscriber", services=None))) == (rtc("alice"),)


@pytest.mark.threat("F6")
def test_a_management_token_has_chats_app_privilege_alone() -> None:
    assert services_in(minted(asked(TokenKind.MANAGEMENT))) == (chat("", {2: 600}),)


@pytest.mark.threat("F6")
@pytest.mark.parametrize("services", [["chat"], ["rtc", "chat"], list(SERVICES)])
def test_no_app_token_has_chats_app_privilege(services: list[str]) -> None:
    privileges = [one.privileges for one in services_in(minted(asked(services=services))) if one.type == CHAT]
    assert privileges == [{1: 600}]


@pytest.mark.parametrize("missing", ["room_id", "role", "user_id"])
@pytest.mark.parametrize("value", [None, ""])
def test_no_app_token_is_made_of_a_grant_with_a_hole(missing: str, value: Any) -> None:
    grant = grant_of(asked(), NOW + 600)._replace(**{missing: value})
    with pytest.raises(ValueError, match="match any"):
        AGORA.token(KEYS, grant, MintContext(NOW, Randomness()))


@pytest.mark.parametrize("services", [("rtm",), ("chat",), ("rtm", "chat")])
def test_rtm_and_chat_carry_neither_channel_nor_role(services: tuple[str, ...]) -> None:
    grant = Grant(TokenKind.APP, NOW + 600, "lobby", "publisher", "alice", services)
    assert AGORA.expressible(grant) == Grant(TokenKind.APP, NOW + 600, user_id="alice", services=services)


def test_a_grant_is_carried_whole_with_rtc_or_for_a_server() -> None:
    whole = Grant(TokenKind.APP, NOW + 600, "lobby", "publisher", "alice", ("rtc", "chat"))
    assert AGORA.expressible(whole) == whole
    server = Grant(TokenKind.MANAGEMENT, NOW + 600)
    assert AGORA.expressible(server) == server


# --- reports about tokens ------------------------------------------------------------------------------------------


def test_a_token_is_explained_in_its_own_words() -> None:
    token = minted(asked(user_id="42"), at=NOW + 0.5)
    assert explained(token, at=NOW + 1) == TokenReport(
        platform="agora",
        content=TokenContent(TokenKind.APP, NOW + 600, "lobby", "publisher", "42", SERVICES),
        issued_at=NOW,
        signature=Signature.VALID,
        claims={
            "app_id": SECRET["app_id"],
            "issue_ts": NOW,
            "expire": 600,
            "salt": 1,
            "services": [
                {
                    "type": 1,
                    "name": "rtc",
                    "privileges": {
                        "joinChannel": 600,
                        "publishAudioStream": 600,
                        "publishVideoStream": 600,
                        "publishDataStream": 600,
                    },
                    "channel_name": "lobby",
                    "uid": "42",
                },
                {"type": 2, "name": "rtm", "privileges": {"login": 600}, "user_id": "42"},
                {"type": 5, "name": "chat", "privileges": {"user": 600}, "user_id": "42"},
            ],
        },
    )


def test_the_older_format_is_known_and_refused() -> None:
    report = explained("006" + SECRET["app_id"] + "IAAK")
    assert report.problems == ("it is cut short, or not an AccessToken (006) (110 Invalid Token)",)
    assert (report.content, report.signature, report.claims) == (TokenContent(), Signature.IMPOSSIBLE, {})


def test_unreadable_text_is_an_invalid_token() -> None:
    assert explained("007", None).signature is Signature.IMPOSSIBLE
    report = explained("007eJxT")
    assert report.problems == ("it is cut short (110 Invalid Token)",)
    assert (report.content, report.signature, report.claims) == (TokenContent(), Signature.IMPOSSIBLE, {})


@pytest.mark.parametrize(
    ("at", "problems"),
    [
        (NOW - 0.001, ("it was issued in the future (110 Invalid Token)",)),
        (NOW, ()),
        (NOW + 599.999, ()),
        (NOW + 600, ("expired 2023-11-14 (109 Token Expired)",)),
    ],
)
def test_a_token_lives_from_its_issue_to_its_end(at: float, problems: tuple[str, ...]) -> None:
    report = explained(signed(rtc()), at=at)
    assert report.problems == problems
    assert report.content.kind is TokenKind.APP


def test_a_token_lives_no_longer_than_a_day() -> None:
    assert explained(signed(rtc(), expire=86400)).problems == ()
    for expire, guess in ((86401, ""), (3_600_000, ": milliseconds?"), (NOW + 600, ": a Unix time?")):
        assert explained(signed(rtc(), expire=expire)).problems == (
            f"it lives longer than the 86400 s that Agora allows{guess} (110 Invalid Token)",
        )


def test_a_privilege_that_has_ended_is_a_problem() -> None:
    token = signed(rtc(privileges={1: 600, 2: 10}), rtm(lifetime=0))
    assert explained(token, at=NOW + 9.9).problems == ()
    assert explained(token, at=NOW + 10).problems == ("rtc: publishAudioStream has expired (109 Token Expired)",)
    assert explained(token, at=NOW + 600).problems == ("expired 2023-11-14 (109 Token Expired)",)


@pytest.mark.parametrize("lifetime", [0, 600, 601, 86400])
def test_a_privilege_lasts_no_longer_than_its_token(lifetime: int) -> None:
    report = explained(signed(rtc(privileges={1: lifetime}), rtm(lifetime=lifetime)))
    assert (report.problems, report.warnings) == ((), ())
    assert report.content == Grant(TokenKind.APP, NOW + 600, "lobby", "subscriber", "5", ("rtc", "rtm"))


def test_a_privilege_of_more_than_a_day_has_a_warning() -> None:
    report = explained(signed(rtc(privileges={1: NOW + 600})))
    assert report.problems == ()
    assert report.warnings == ("rtc: joinChannel is granted for more than 86400 s: the token's own end cuts it off",)


@pytest.mark.parametrize(
    ("services", "warnings", "user_id"),
    [
        ([rtc("")], ["rtc: uid is empty: the token is valid for any"], None),
        ([rtm("")], ["rtm: user_id is empty: the token is valid for any"], None),
        ([chat("")], ["chat: user_id is empty: the token is valid for any"], None),
        ([rtc("0")], ["rtc: uid must be from 1 to 4294967295 where it is a number"], "0"),
        ([rtc("-1")], ["rtc: uid must be from 1 to 4294967295 where it is a number"], "-1"),
        (
            [rtc("用户"), rtm("用户")],
            [
                f"{label} must contain only ASCII letters, digits, spaces and !#$%&()+-:;<=.>?@[]^_{{}}|~,"
                for label in ("rtc: uid", "rtm: user_id")
            ],
            "用户",
        ),
    ],
)
def test_a_user_that_roomkey_would_refuse_has_a_warning(
    services: list[Service], warnings: list[str], user_id: str | None
) -> None:
    report = explained(signed(*services))
    assert list(report.warnings) == warnings
    assert report.problems == ()
    assert report.content is not None
    assert report.content.user_id == user_id


def test_a_channel_for_any_has_a_warning() -> None:
    report = explained(signed(rtc(channel="")))
    assert report.warnings == ("rtc: channel_name is empty: the token is valid for any",)
    assert report.problems == ()
    assert report.content == Grant(TokenKind.APP, NOW + 600, None, "subscriber", "5", ("rtc",))


@pytest.mark.parametrize(
    ("service", "problem"),
    [
        (rtc(channel="c" * 64), "rtc: channel_name is longer than 63 bytes (102 Invalid Channel Name)"),
        (rtc(channel="é" * 32), "rtc: channel_name is longer than 63 bytes (102 Invalid Channel Name)"),
        (rtc("a" * 256), "rtc: uid is longer than 255 bytes (134 Invalid User Account)"),
        (rtm("a" * 65), "rtm: user_id is longer than 64 bytes (-10006 Invalid User ID)"),
        (chat("a" * 65), "chat: user_id is longer than 64 bytes (105 User Name Too Long)"),
    ],
)
def test_a_name_that_is_too_long_is_a_problem_in_the_sdks_words(service: Service, problem: str) -> None:
    report = explained(signed(service))
    assert report.problems == (problem,)
    assert report.warnings == ()


@pytest.mark.parametrize("app_id", ["", "970ca35de60c44645bbae8a215061b3", "970CA35de60c44645bbae8a215061b3g"])
def test_an_app_id_of_another_form_is_invalid(app_id: str) -> None:
    problem = "app_id is not 32 hexadecimal digits (101 Invalid App ID)"
    assert explained(signed(rtc(), app_id=app_id)).problems == (problem,)
    assert explained(signed(rtc(), app_id=app_id), None).problems == (problem,)


def test_another_projects_app_id_is_named() -> None:
    other = SECRET["app_id"].swapcase()
    assert explained(signed(rtc(), app_id=other)).problems == ("app_id is not these credentials' (110 Invalid Token)",)
    assert explained(signed(rtc(), app_id=other), None).problems == ()


def test_claims_before_a_fault_are_shown() -> None:
    genuine = access_token2.read(signed(rtc()))
    info = genuine.info[:46] + b"\2\0" + genuine.info[48:] + b"\xe7\3"
    content = b"\x20\0" + genuine.signature + info
    report = explained("007" + base64.b64encode(zlib.compress(content)).decode(), None)
    assert report.problems == ("it contains a service of an unknown type (110 Invalid Token)",)
    assert [service["name"] for service in services_of(report)] == ["rtc"]


@pytest.mark.parametrize(
    "services",
    [
        [Service(FPA, {1: 0})],
        [Service(APAAS, {3: 600}, {"room_uuid": "", "user_uuid": "", "role": -1})],
        [rtc(), Service(FPA, {1: 600})],
        [rtc(), rtc(channel="another")],
        [rtc("5"), rtm("6")],
        [rtc(privileges={2: 600})],
        [rtc(privileges={1: 600, 2: 600})],
        [rtc(privileges={1: 600, 2: 600, 3: 600, 4: 599})],
        [rtc(privileges={1: 300})],
        [chat(privileges={1: 600, 2: 600})],
        [chat("5", {2: 600})],
        [rtc(), chat("", {2: 600})],
        [chat("", {2: 300})],
    ],
)
def test_a_token_with_unknown_content_is_shown_without_a_problem(services: list[Service]) -> None:
    report = explained(signed(*services))
    assert report.problems == ()
    assert (report.content.role, report.complete) == (None, False)
    assert len(services_of(report)) == len(services)


# --- any request ---------------------------------------------------------------------------------------------------


def is_name(name: str) -> bool:
    return name == name.strip() and not is_missing_value(name)


def names(longest: int) -> st.SearchStrategy[str]:
    return st.text(CHARACTERS, min_size=1, max_size=longest).filter(is_name)


def suits_chat(fields: dict[str, Any]) -> bool:
    return "chat" not in fields.get("services", ()) or bool(re.fullmatch("[a-z0-9_.-]{1,64}", fields["user_id"]))


uids = st.builds(
    "{}{}{}".format, st.sampled_from(["", "+"]), st.integers(0, 20).map("0".__mul__), st.integers(1, 2**32 - 1)
)
accounts = names(64).filter(lambda name: not name.lstrip("+-").isdigit() or name.count("+") + name.count("-") > 1)
requests: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"room_id": names(63), "role": st.sampled_from(["publisher", "subscriber"]), "user_id": uids | accounts},
    optional={
        "services": st.lists(st.sampled_from(SERVICES), min_size=1, unique=True),
        "expires_in": st.integers(120, 86400),
    },
).filter(suits_chat)


@given(requests, st.floats(1, 2**32 - 86401), st.integers(1, 99_999_999))
def test_a_token_has_exactly_the_requested_claims(fields: dict[str, Any], at: float, salt: int) -> None:
    request = parse(AGORA, TokenKind.APP, fields, lifetimes=DEFAULT_LIFETIMES)
    lifetime = resolve_lifetime(request, DEFAULT_LIFETIMES)
    token = minted(request, at=at, lifetime=lifetime, salt=salt)
    named = [name for name in SERVICES if name in fields.get("services", ["rtc"])]
    publish = (1, 2, 3, 4) if fields["role"] == "publisher" else (1,)
    expected = {
        "rtc": rtc(fields["user_id"], fields["room_id"], dict.fromkeys(publish, lifetime)),
        "rtm": rtm(fields["user_id"], lifetime),
        "chat": chat(fields["user_id"], {1: lifetime}),
    }
    assert access_token2.read(token).token == AccessToken2(
        SECRET["app_id"], int(at), lifetime, salt, tuple(expected[name] for name in named)
    )
    report = explained(token, at=at)
    assert (report.signature, report.problems, report.warnings) == (Signature.VALID, (), ())
    assert report.content == Grant(
        TokenKind.APP,
        int(at) + lifetime,
        fields["room_id"] if "rtc" in named else None,
        fields["role"] if "rtc" in named else None,
        fields["user_id"],
        tuple(named),
    )
