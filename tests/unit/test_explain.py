"""`roomkey explain`: real tokens, pasted text, other vendors' tokens. Every case states what must be reported."""

import base64
import hashlib
import hmac
import html
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey import strict_json
from roomkey.minting import mint
from roomkey.platforms import PLATFORMS, hs256
from roomkey.platforms.base import Grant, MintContext, Randomness, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import parse, resolve_lifetime
from roomkey_cli import credential_file
from roomkey_cli.terminal import print_json
from roomkey_cli.tokens.clipboard import decode
from roomkey_cli.tokens.explain import Explanation, as_json, explain
from support.known_answers import vectors

NOW = 1_800_000_000
DEMO: dict[str, Any] = dict(credential_file.demo())
KEYS = {name: Credentials(secret) for name, secret in DEMO.items()}
HMS = KEYS["100ms"]


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def jwt(claims: Mapping[str, Any], secret: str = "k" * 32, digest: Any = hashlib.sha256, **header: Any) -> str:
    return jwt_of(json.dumps(claims).encode(), secret, digest, **header)


def jwt_of(payload: bytes, secret: str = "k" * 32, digest: Any = hashlib.sha256, **header: Any) -> str:
    signed = f"{encoded(json.dumps({'alg': 'HS256', 'typ': 'JWT'} | header).encode())}.{encoded(payload)}"
    return f"{signed}.{encoded(hmac.digest(secret.encode(), signed.encode(), digest))}"


def payload_of(token: str) -> dict[str, Any]:
    """Return the claims of a JSON Web Token, nothing of other formats."""
    decoded = hs256.read(token, None)
    return dict(decoded.claims) if decoded else {}


LEGACY: Mapping[str, Any] = {
    "access_key": HMS["app_access_key"],
    "type": "app",
    "version": 2,
    "room_id": "physics",
    "role": "host",
    "user_id": "ada",
    "jti": "4b9f",
    "exp": NOW + 600,
}
"""100ms's own endpoint issued tokens with these claims for years: of the times only `exp`."""
DASHBOARD = {"apikey": "c5cc", "permissions": ["allow_join", "allow_mod"], "iat": NOW - 60, "exp": NOW + 600}


def whiteboard(prefix: str, **fields: str) -> str:
    return prefix + encoded("&".join(f"{name}={fields[name]}" for name in sorted(fields)).encode())


def old_agora(privileges: Mapping[int, int], ends: int = NOW + 86400) -> str:
    message = struct.pack("<IIH", 7, ends, len(privileges))
    message += b"".join(struct.pack("<HI", *privilege) for privilege in privileges.items())
    content = struct.pack("<H32sIIH", 32, b"s" * 32, 11, 12, len(message)) + message
    return "006" + KEYS["agora"]["app_id"] + base64.b64encode(content).decode()


def minted(name: str, **grant: Any) -> str:
    return PLATFORMS[name].token(KEYS[name], Grant(TokenKind.APP, NOW + 600, **grant), MintContext(NOW, Randomness()))


GOOD = jwt(LEGACY, HMS["app_secret"])
AGORA = minted("agora", room_id="lobby", role="publisher", user_id="42", services=("rtc",))
ROOM = "0123456789abcdef0123456789abcdef"
BOARD = minted("agora-whiteboard", room_id=ROOM, role="writer")
USER_SIG = str.maketrans("+/=", "*-_")
EXAMPLES = pytest.mark.parametrize("token", [GOOD, AGORA, BOARD], ids=["jwt", "agora", "whiteboard"])


def explained(text: str, *, keys: bool = True, at: float = NOW) -> dict[str, Any]:
    return dict(as_json(explanation(text, keys=keys, at=at)))


def explanation(text: str, *, keys: bool = True, at: float = NOW) -> Explanation:
    return explain(text, at, lambda platform: KEYS[platform.name] if keys else None)


# --- tokens as vendors issue them ----------------------------------------------------------------------------------

SOON = "2027-01-15T08:10:00Z"
HMS_FACTS = {"platform": "100ms", "kind": "app", "room": "physics", "role": "host", "user": "ada"}
VENDORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "100ms-with-exp-alone": (GOOD, {**HMS_FACTS, "signature": "valid", "problems": (), "expires_at": SOON}),
    "100ms-expired-in-2022": (
        jwt({**LEGACY, "exp": 1668000000}, HMS["app_secret"]),
        {**HMS_FACTS, "signature": "valid", "problems": ("expired 2022-11-09",)},
    ),
    "100ms-api-claims": (
        jwt({**LEGACY, "iat": NOW, "nbf": NOW, "app_data": None, "iss": "i", "sub": "s"}, HMS["app_secret"]),
        {**HMS_FACTS, "problems": (), "warnings": ()},
    ),
    "100ms-exp-as-float": (jwt({**LEGACY, "exp": NOW + 600.0}), {**HMS_FACTS, "expires_at": SOON}),
    "100ms-exp-with-fraction": (jwt({**LEGACY, "exp": NOW + 600.5}), {**HMS_FACTS, "expires_at": SOON}),
    "videosdk-dashboard": (
        jwt(DASHBOARD),
        {"platform": "videosdk", "kind": "app", "role": "moderator", "expires_at": SOON, "claims": DASHBOARD},
    ),
    "videosdk-expired-dashboard": (
        jwt({**DASHBOARD, "exp": NOW - 1}),
        {"platform": "videosdk", "kind": "app", "expires_at": "2027-01-15T07:59:59Z"},
    ),
    "whiteboard-without-end": (
        whiteboard("NETLESSSDK_", ak="a", nonce="n", role="0", sig="0" * 64),
        {
            "platform": "agora-whiteboard",
            "kind": "management",
            "label": "SDK token",
            "role": "admin",
            "never_expires": True,
            "expires_at": None,
        },
    ),
    "whiteboard-room-without-end": (
        whiteboard("NETLESSROOM_", ak="a", nonce="n", role="2", sig="0" * 64, uuid=ROOM),
        {"kind": "app", "label": "room token", "room": ROOM, "role": "reader", "never_expires": True},
    ),
    "whiteboard-task": (
        whiteboard("NETLESSTASK_", ak="a", nonce="n", role="2", sig="0" * 64, uuid=ROOM),
        {"kind": None, "label": "task token", "room": ROOM, "never_expires": True},
    ),
    "agora-006": (
        old_agora({1: NOW + 600, 2: NOW + 600}),
        {
            "platform": "agora",
            "kind": "app",
            "label": "AccessToken (006)",
            "role": "publisher",
            "expires_at": SOON,
            "signature": "not-checkable",
            "problems": (),
        },
    ),
    "agora-006-rtm": (old_agora({1000: 0}), {"services": ("rtm",), "role": None, "expires_at": "2027-01-16T08:00:00Z"}),
    "agora-006-expired": (
        old_agora({1: NOW - 1}),
        {"role": "subscriber", "problems": ("expired 2027-01-15 (109 Token Expired)",)},
    ),
}


@pytest.mark.parametrize("name", VENDORS)
def test_a_vendors_token_is_decoded_before_it_is_judged(name: str) -> None:
    token, expected = VENDORS[name]
    found = explained(token)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["agora", "agora-whiteboard"])
def test_an_expired_token_keeps_everything_that_can_be_read(name: str) -> None:
    token = {"agora": AGORA, "agora-whiteboard": BOARD}[name]
    good, late = explained(token), explained(token, at=NOW + 600)
    assert late["problems"]
    assert late["problems"][0].startswith("expired 2027-01-15")
    assert {**late, "problems": ()} == good


# --- times ---------------------------------------------------------------------------------------------------------


def of_example(name: str) -> str:
    """Return a token that is minted for the platform's example."""
    platform = PLATFORMS[name]
    request = parse(platform, TokenKind.APP, platform.example, lifetimes=DEFAULT_LIFETIMES)
    lifetime = resolve_lifetime(request, DEFAULT_LIFETIMES)
    return mint(request, lifetime, KEYS[name], at=NOW, randomness=Randomness()).token


WEB_TOKENS = {name: claims for name in PLATFORMS if (claims := payload_of(of_example(name)))}
UNITS = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("name", "claim"), [(name, claim) for name in WEB_TOKENS for claim in ("iat", "nbf", "exp")])
def test_a_time_in_another_unit_is_named(name: str, claim: str, unit: str) -> None:
    good = WEB_TOKENS[name]
    found = explained(jwt({**good, claim: good.get(claim, NOW) * UNITS[unit]}), keys=False)
    assert f"{unit}?" in f"{found['problems']} {found['warnings']}"
    assert "?)" not in f"{explained(jwt(good), keys=False)}"


@pytest.mark.parametrize(
    ("token", "hint"),
    [
        (jwt({"iss": "me", "exp": NOW * 1000}), "exp lies after the year 2286 (milliseconds?)"),
        (f"{NOW * 1000}:ada:{'A' * 27}=", "its end lies after the year 2286 (milliseconds?)"),
        (
            whiteboard("NETLESSROOM_", ak="a", nonce="n", role="2", sig="0" * 64, uuid=ROOM, expireAt=f"{NOW}000000"),
            "its expireAt lies after the year 2286 (microseconds?)",
        ),
        (old_agora({1: 0}, ends=3600), "expired 1970-01-01 (a lifetime, not a Unix time?) (109 Token Expired)"),
    ],
    ids=["another-issuer", "turn", "whiteboard", "agora-006"],
)
def test_other_formats_name_the_unit_too(token: str, hint: str) -> None:
    found = explained(token, keys=False)
    assert hint in (*found["problems"], *found["warnings"])


ODD_TIMES = ["1e308", "-1e308", "1e999", "1" + "0" * 400, "9" * 5000, "NaN", "Infinity", "-Infinity", '"\\ud800"']
NOT_IN_JSON = "its claims contain NaN or Infinity, which are not JSON"


@pytest.mark.parametrize("time", [*ODD_TIMES, "[" * 2000 + "]" * 2000, '{"a":' * 900 + "1" + "}" * 900])
def test_an_invalid_time_is_reported_in_strict_json(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    claims = json.dumps({**LEGACY, "exp": 0, "\ud800": 1}).replace('"exp": 0', f'"exp": {time}')
    token = jwt_of(claims.encode())
    found = explained(token)
    assert "exp is not a number of seconds" in found["problems"]
    assert (NOT_IN_JSON in found["problems"]) is ("N" in time or "I" in time)
    assert (found["room"], found["expires_at"], found["never_expires"]) == ("physics", None, False)
    print_json(found)
    assert strict_json.loads(capsys.readouterr().out)


def test_times_are_in_iso_8601() -> None:
    assert explained(GOOD)["expires_at"] == "2027-01-15T08:10:00Z"
    assert explained(AGORA)["issued_at"] == "2027-01-15T08:00:00Z"
    assert explained(jwt({"iss": "me", "exp": NOW}))["expires_at"] == "2027-01-15T08:00:00Z"
    assert explained(jwt({"iss": "me", "exp": NOW * 1000}))["expires_at"] is None


# --- claims of any type --------------------------------------------------------------------------------------------

ODD_VALUES: list[Any] = [[[]], [{}], {}, [], {"a": [{}]}, [[[{"a": {}}]]], None, True, -1, 0.5, "", "\ud800"]


def with_each_value_odd(value: Any) -> Iterator[Any]:
    """Return copies of `value` in which one value at any depth is odd."""
    yield from ODD_VALUES
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from (value | {name: odd} for odd in with_each_value_odd(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ([*value[:index], odd, *value[index + 1 :]] for odd in with_each_value_odd(inner))


@pytest.mark.parametrize(
    "file", ["hms", "videosdk", "livekit", "twilio", "stream", "zoom_video", "zoom_meeting", "jitsi", "daily"]
)
def test_a_claim_of_any_type_is_reported_in_strict_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    for vector in vectors(file).values():
        for changed in filter(None, with_each_value_odd(payload_of(vector.get("expect", vector)["token"]))):
            print_json(explained(jwt_of(json.dumps(changed).encode())))
            assert strict_json.loads(capsys.readouterr().out)


# --- signatures ----------------------------------------------------------------------------------------------------

NOT_HS256 = "its signature is not an HS256 signature"


@pytest.mark.parametrize(
    ("token", "keys", "signature", "problem"),
    [
        (GOOD, True, "valid", None),
        (GOOD, False, "unchecked", None),
        (jwt(LEGACY, "x" * 32), True, "invalid", "the signature is not this secret's (40109 Bad JWT Token)"),
        (
            jwt(LEGACY, digest=hashlib.sha512, alg="HS512"),
            False,
            "impossible",
            "its signature is not an HS256 signature",
        ),
        (jwt(LEGACY, digest=hashlib.sha384), True, "impossible", "its signature is not an HS256 signature"),
        (jwt(LEGACY)[:-43] + encoded(bytes(256)), False, "impossible", "its signature is not an HS256 signature"),
        (jwt(LEGACY)[:-43], False, "impossible", "its signature is missing: it is cut short, or unsigned"),
    ],
)
def test_wrong_for_this_key_impossible_and_not_checked_are_three_things(
    token: str, keys: bool, signature: str, problem: str | None
) -> None:
    found = explained(token, keys=keys)
    assert found["signature"] == signature
    assert problem is None or problem in found["problems"]


# --- tokens cut short ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", range(1, 61))
def test_a_jwt_cut_short_keeps_what_is_readable(missing: int) -> None:
    found = explained(GOOD[:-missing])
    assert {name: found[name] for name in ("platform", "kind", "room", "role")} == {
        "platform": "100ms",
        "kind": "app",
        "room": "physics",
        "role": "host",
    }
    assert "cut short" in found["problems"][0]
    assert len(found["problems"]) == 1
    assert found["signature"] == "impossible"


@pytest.mark.parametrize("missing", range(1, 40, 3))
@pytest.mark.parametrize(
    ("token", "platform"),
    [(AGORA, "agora"), (BOARD, "agora-whiteboard"), (old_agora({1: NOW + 600, 2: NOW + 600}), "agora")],
    ids=["agora", "whiteboard", "agora-006"],
)
def test_other_formats_cut_short_are_named(token: str, platform: str, missing: int) -> None:
    found = explained(token[:-missing])
    assert found["platform"] == platform
    assert "cut short" in found["problems"][0]
    assert found["signature"] != "invalid"


def test_a_jwt_without_its_start_is_explained() -> None:
    found = explained(GOOD[6:])
    assert (found["platform"], found["room"]) == ("100ms", "physics")
    assert "cut short at the start" in found["problems"][0]


# --- what a clipboard adds -----------------------------------------------------------------------------------------

FORMATS = {
    "jwt": GOOD,
    "livekit": of_example("livekit"),
    "agora": AGORA,
    "agora-006": old_agora({1: NOW + 600, 2: NOW + 600}),
    "whiteboard": BOARD,
    "turn": of_example("turn"),
    "opentok": "T1==" + base64.b64encode(b"partner_id=123&sig=ab:cd").decode(),
    "zegocloud": "04AAAA" + "aB3/" * 20,
    "tencent": base64.b64encode(zlib.compress(b'{"TLS.identifier": "ada"}')).decode().translate(USER_SIG),
    "invite": "rki1.eyJwbGF0Zm9ybSI6IjEwMG1zIn0." + "Ab-" * 14 + "Z",
}
READABLE = ("platform", "vendor", "kind", "room", "role", "user", "expires_at", "signature", "problems", "claims")


def readable(text: str) -> dict[str, Any]:
    found = explained(text)
    return {name: found.get(name) for name in READABLE}


AROUND = [
    *("{}\n", "  {}\t", "{}.", "{},", "{};", '"{}"', "'{}'", "`{}`", "\u201c{}\u201d", "<{}>", "({})", "\ufeff{}"),
    *("Bearer {}", "bearer  {}", "Authorization: Bearer {}", "authorization=Bearer {}", "token: {}", "TOKEN='{}'"),
    *("\u200b{}", "curl -H 'token: {}'", "{}\u200e\u2063", "\x1b[32m{}\x1b[0m", "\u00ab{}\u00bb", "**{}**", "_{}_"),
    *('export TOKEN="{}"', "const token = '{}';", "https://example.com/?token={}&room=x", "\"Bearer {}\""),
    *("curl -sH 'Authorization: Bearer {}' https://api.example.com/v2/rooms?limit=2", "Cookie: a=b; token={}; c=d"),
    *("https://example.com/join#access_token={}&x=1", "&quot;{}&quot;", "<token>{}</token>", "token%3D{}%26room%3Dx"),
    '{{"headers": {{"Authorization": "Bearer {}"}}}}',
    '{{"success": true, "token": "{}", "expires_in": 600}}',
    '{{"data": {{"participant_token": "{}"}}}}',
    '{{"server_url": "wss://a.example", "participant_token": "{}"}}',
    '[{{"token": "{}"}}]',
    '{{\u201ctoken\u201d: \u201c{}\u201d}}',
    '{{"body": "{{\\"token\\": \\"{}\\"}}"}}',
    "{{&quot;token&quot;:&quot;{}&quot;}}",
    "{{&amp;quot;token&amp;quot;:&amp;quot;{}&amp;quot;}}",
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{{\"token\": \"{}\"}}",
    '"token": "{}",',
    "here it is:\n\n{}\n\nthanks",
    "Here you go:\n> {}\n\n--\nAda",
    "{{\\u201ctoken\\u201d: \\u201c{}\\u200b\\u201d}}",
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("around", AROUND)
def test_what_is_pasted_around_a_token_is_removed(name: str, around: str) -> None:
    text = around.format(FORMATS[name])
    assert readable(text) == readable(FORMATS[name])
    assert bool(explained(text)["notes"]) is (text.strip() != FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "joint",
    [
        "\n",
        "\r\n",
        "\n    ",
        "\\\n",
        "\n> ",
        " \n",
        "\\n",
        " |\n| ",
        "\u2028",
        '" +\n  "',
        "'\n'",
        "=\n",
        " ",
        "\u200b",
    ],
)
@pytest.mark.parametrize("width", [20, 64, 76])
def test_wrapped_lines_are_joined(name: str, joint: str, width: int) -> None:
    token = FORMATS[name]
    wrapped = joint.join(token[start : start + width] for start in range(0, len(token), width))
    assert readable(f"Bearer {wrapped}\n") == readable(token)


@pytest.mark.parametrize("name", ["jwt", "livekit", "agora", "whiteboard", "turn"])
@pytest.mark.parametrize("width", [20, 60, 72])
@pytest.mark.parametrize(
    ("start", "joint", "end"),
    [
        ("Hi\n\n", "\n", "\n\nthanks, Ada"),
        ("", "\n", "\n\nSent from my iPhone"),
        ("Here it is:\n", "\r\n", "\r\nIt expired yesterday\r\n"),
        ("> ", "\n> ", "\n>\n> thanks"),
        ("token      : ", "\n             ", "\nexpires_in : 3600"),
        (" token\n-------\n ", "+\n ", "\n(1 row)"),
        ("", "-\n", "\n"),
        ("<p>", "<br>\n", "</p>\n\n<p>thanks</p>"),
        ("", "<br />\n", ""),
        ("<div>", "</div>\n<div>", "</div>\n"),
        ("<p>", "</p>\r\n<p>", "</p>"),
        ("app-1  | ", "\napp-1  | ", "\n"),
        (" 1 | ", "\n10 | ", "\n"),
        ("   1  ", "\n  10  ", ""),
        ("\u2503 ", " \u2503\n\u2503 ", " \u2503\n\u2517"),
        ("", "&ZeroWidthSpace;", ""),
    ],
)
def test_what_is_around_each_wrapped_line_is_removed(name: str, start: str, joint: str, end: str, width: int) -> None:
    token = FORMATS[name]
    wrapped = joint.join(token[index : index + width] for index in range(0, len(token), width))
    assert readable(f"{start}{wrapped}{end}") == readable(token)


def test_text_after_a_wrapped_token_does_not_complete_it() -> None:
    cut = "\n".join(re.findall(".{1,72}", GOOD[:-3]))
    assert "lacks 3 of 43" in explained(f"Hi\n\n{cut}\n\nthanks, Ada", keys=False)["problems"][0]


@pytest.mark.parametrize("name", ["jwt", "livekit", "agora", "whiteboard", "turn"])
@pytest.mark.parametrize("prompt", ["ada@host:~$ ", "root#"])
def test_a_prompt_after_a_token_is_removed(name: str, prompt: str) -> None:
    assert readable(FORMATS[name] + prompt) == readable(FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("between", ["", "+", " ", "\n"])
def test_a_token_pasted_twice_is_explained_once(name: str, between: str) -> None:
    assert readable(FORMATS[name] + between + FORMATS[name]) == readable(FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_an_encoded_token_is_decoded(name: str) -> None:
    token = FORMATS[name]
    encoded = quote(token, safe="")
    entities = "".join(character if character.isalnum() else f"&#{ord(character)};" for character in token)
    hexadecimal = "".join(character if character.isalnum() else f"&#x{ord(character):x};" for character in token)
    for text in (
        *(encoded, f"?token={encoded}&x=1", quote(encoded), token.replace("/", "\\/"), entities, hexadecimal),
        *(
            f"<b>{entities}</b>",
            html.escape(entities),
            token.replace("=", "\\u003d"),
            "<wbr>".join(token),
            token.replace("=", "=3D"),
        ),
        *(token.translate({ord("."): "&period;", ord("-"): "&hyphen;", ord("_"): "&lowbar;", ord("/"): "&sol;"}),),
        *(token.translate({ord("."): "\\x2e", ord("-"): "\\x2d"}), re.sub(r"([._*-])", r"\\\1", token)),
        *(token.replace("-", "\u2011"), token.translate({ord("."): "\uff0e"}), "\u00ad".join(token)),
    ):
        assert readable(text) == readable(token)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_a_file_in_utf8_or_utf16_is_decoded(encoding: str) -> None:
    assert explained(decode(f"Bearer {GOOD}\r\n".encode(encoding)))["signature"] == "valid"
    assert decode(b"\xe9 broken").endswith(" broken")


def test_a_plus_that_a_form_turned_into_a_blank_is_restored() -> None:
    token = next(
        token
        for user in range(1, 999)
        if "+" in (token := minted("agora", room_id="lobby", role="publisher", user_id=str(user), services=("rtc",)))
    )
    assert explained(token.replace("+", " "))["signature"] == "valid"


ICE = {"urls": ["turn:turn.example.com:3478"], "username": "{user}", "credential": "{credential}"}
ICE_SERVERS = [
    json.dumps({"ice_servers": [ICE], "platform": "turn", "expires_in": 14400, "renew_in": 14340}),
    json.dumps({"iceServers": [{"urls": "stun:stun.example.com"}, ICE]}, indent=2),
    json.dumps([ICE]),
    json.dumps(json.dumps(ICE)),
    html.escape(json.dumps(ICE)),
    quote(json.dumps(ICE), safe="{}"),
    str(ICE),
    json.dumps({"username": "{user}", "password": "{credential}", "ttl": 86400, "uris": []}),
    "new RTCPeerConnection({ iceServers: [{ urls: 'turn:a', credential: '{credential}', username: '{user}' }] })",
    "username: {user}\npassword: {credential}\n",
    "turnutils_uclient -u '{user}' -w '{credential}' turn.example.com",
    "{user}:{credential}",
    "\u201c{user}:{credential}\u201d",
    "HTTP/2 200\r\n\r\n" + json.dumps({"ice_servers": [ICE]}),
]


@pytest.mark.parametrize("text", ICE_SERVERS)
def test_ice_servers_are_explained(text: str) -> None:
    user, _, credential = FORMATS["turn"].rpartition(":")
    if "%" in text:
        user, credential = quote(user), quote(credential, safe="")
    pasted = text.replace("{user}", user).replace("{credential}", credential)
    assert readable(pasted) == readable(FORMATS["turn"])
    assert explained(pasted)["signature"] == "valid"


# --- other issuers and other vendors -------------------------------------------------------------------------------

STRANGERS: Mapping[str, tuple[str, str, str | None]] = {
    "an-apps-own": (jwt({"type": "access", "iss": "https://app.example"}), "iss https://app.example", None),
    "an-apps-own-with-version": (jwt({"type": "access", "version": 2, "iss": "me"}), "another issuer (iss me)", None),
    "an-apps-own-with-a-kind": (jwt({"type": "app", "version": 1, "iss": "me"}), "another issuer (iss me)", None),
    "an-apps-own-with-room": (jwt({"room_id": "r", "role": "host", "iss": "me"}), "another issuer (iss me)", None),
    "without-iss": (jwt({"sub": "ada", "permissions": ["read"]}), "another issuer (it has no iss)", None),
    "with-participant": (jwt({"participantId": "p", "iss": "me"}), "another issuer (iss me)", None),
    "realtimekit": (
        jwt({"orgId": "o", "meetingId": "m", "participantId": "p", "presetId": "x"}),
        "another issuer",
        "Cloudflare RealtimeKit",
    ),
    "cognito": (
        jwt({"iss": "https://cognito-idp.eu-west-1.amazonaws.com/x", "sub": "u"}, alg="RS256", digest=hashlib.sha512),
        "cognito-idp",
        None,
    ),
    "vonage": (
        jwt({"application_id": "a", "scope": "session.connect", "acl": {}}, alg="RS256"),
        "Vonage",
        "Vonage Video",
    ),
    "jaas": (jwt({"aud": "jitsi", "iss": "chat", "sub": "vpaas-magic-cookie-1", "room": "*"}), "JaaS", "JaaS (8x8)"),
    "jitsi-with-key-server": (
        jwt({"aud": "jitsi", "iss": "app", "room": "r"}, alg="RS256")[:-43] + encoded(bytes(256)),
        "a Jitsi token: a JWT of another issuer (iss app); its RS256 signature cannot be checked with a shared secret",
        "Jitsi",
    ),
    "jaas-of-a-backend": (
        jwt({"aud": "jitsi", "iss": "me", "sub": "vpaas-magic-cookie-1", "room": "*", "context": {}}, alg="RS256"),
        "its RS256 signature cannot be checked with a shared secret",
        "JaaS (8x8)",
    ),
    "ivs": (jwt({"resource": "arn:aws:ivs:eu:1:stage/x", "capabilities": {}}), "IVS", "Amazon IVS"),
    "opentok": ("T1==" + base64.b64encode(b"partner_id=123&sig=ab:cd").decode(), "OpenTok token (T1==)", "OpenTok"),
    "jwe": (encoded(b'{"alg":"RSA-OAEP","enc":"A256GCM"}') + ".aaaa.bbbb.cccc.dddd", "encrypted", None),
    "five-segments": (encoded(b'{"alg":"HS256"}') + ".aaaa.bbbb.cccc.dddd", "cut short or damaged", None),
    "shown-shortened": ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...", "cut short", None),
    "undefined": ("undefined", "the text undefined: a program printed a variable that has no value", None),
    "bearer-undefined": ("Authorization: Bearer undefined", "the text undefined", None),
    "bearer-object": ("bearer [object Object]", "the text [object Object]", None),
    "bearer-unset": ("curl -H 'Authorization: Bearer ${token}'", "the text ${token}", None),
    "url-with-undefined": ("https://example.com/join?token=undefined&x=1", "the text undefined", None),
    "url-with-null": ("https://example.com/join#access_token=null", "the text null", None),
    "json-with-null": ('{"token": null}', "the text null", None),
    "line-with-undefined": ("token: 'undefined',", "the text undefined", None),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_foreign_token_is_named(name: str) -> None:
    token, words, vendor = STRANGERS[name]
    for text in (token, f'"{token}"', f"Bearer {token}") if token.startswith("ey") else (token,):
        found = explained(text)
        assert (found["platform"], found["vendor"]) == (None, vendor)
        assert words in found["problems"][0]
        assert not any("cut short" in warning for warning in found["warnings"])


@pytest.mark.parametrize(
    ("claims", "vendor"),
    [
        ({"iss": "APIabc", "sub": "ada", "video": {"roomJoin": True, "room": "r"}}, "livekit"),
        ({"iss": "SK12", "sub": "AC12", "grants": {"identity": "ada"}}, "twilio"),
        ({"app_key": "k", "tpc": "s", "role_type": 1, "version": 1}, "zoom"),
        ({"user_id": "ada"}, "stream"),
    ],
)
def test_a_neighbours_token_is_explained_or_its_vendor_named(claims: dict[str, Any], vendor: str) -> None:
    found = explained(jwt(claims), keys=False)
    assert vendor in (found["platform"] or found["vendor"]).lower()


URL = "https://auth.example"


@pytest.mark.parametrize(
    ("alg", "claims"),
    [
        ("HS256", {"user_id": "ada", "role": "admin", "exp": NOW + 60, "iat": NOW}),
        ("HS256", {"user_id": 7, "exp": NOW + 60, "iat": NOW}),
        ("HS256", {"server": "eu-1", "exp": NOW + 60}),
        ("RS256", {"user_id": "ada", "role": "admin", "call_cids": [], "exp": NOW + 60, "iss": URL}),
        ("RS256", {"video": "https://x.example/a.mp4", "exp": NOW + 60}),
        ("HS256", {"video": ["read"], "sip": True, "nbf": NOW, "sub": "ada"}),
        ("ES256", {"video": {"read": True}, "exp": NOW + 60, "iss": URL}),
        ("RS256", {"grants": ["read"], "exp": NOW + 60, "iss": URL}),
        ("HS256", {"grants": "read write", "jti": "1", "exp": NOW + 60}),
        ("RS256", {"permissions": ["x"], "roomId": "r", "iss": "auth"}),
        ("HS256", {"permissions": {"allow_join": True}, "roomId": 5}),
        ("RS256", {"type": "app", "version": 2, "iss": URL}),
        ("HS256", {"type": "management", "version": 2, "iss": "billing"}),
        ("PS256", {"access_key": "a", "type": "refresh", "iss": URL}),
        ("HS256", {"r": "reader", "o": "org-1", "exp": NOW + 60}),
        ("HS256", {"r": 1, "d": 2, "exp": NOW + 60}),
        ("HS256", {"room": "101", "aud": "hotel-api", "sub": "ada"}),
        ("EdDSA", {"room": "101", "context": {"user": {}}, "iss": URL}),
    ],
)
def test_another_apps_token_is_of_no_platform(alg: str, claims: dict[str, Any]) -> None:
    found = explained(jwt(claims, alg=alg), keys=False)
    assert (found["platform"], found["claims"]) == (None, claims)
    assert "another issuer" in found["problems"][0]


@pytest.mark.parametrize(
    ("claims", "platform"),
    [
        ({"user_id": "ada"}, "stream"),
        ({"server": True}, "stream"),
        ({"user_id": "ada", "channel_cids": ["messaging:a"], "role": "guest", "exp": NOW + 60}, "stream"),
        ({"user_id": "ada", "channel_cids": ["messaging:a"], "call_cids": ["default:a"], "exp": NOW + 60}, "stream"),
        ({"permissions": ["allow_join"], "roomId": "r"}, "videosdk"),
        ({"type": "app", "version": 2, "room_id": "r"}, "100ms"),
        ({"iss": "SK1", "sub": "AC1", "exp": NOW + 60, "grants": []}, "twilio"),
        ({"r": "lobby", "o": True}, "daily"),
        ({"room": "lobby", "aud": "jitsi"}, "jitsi"),
        ({"room": "lobby", "aud": "school", "context": {}}, "jitsi"),
    ],
)
def test_a_platforms_token_with_few_claims_stays_its_own(claims: dict[str, Any], platform: str) -> None:
    assert explained(jwt(claims), keys=False)["platform"] == platform
    of_key_pair = explained(jwt({**claims, "exp": NOW - 1}, alg="RS256"), keys=False)
    assert of_key_pair["platform"] == (None if platform == "jitsi" else platform)


def test_a_verified_token_is_of_its_platform_whatever_its_claims() -> None:
    found = explained(jwt({"user_id": 7, "exp": NOW + 60}, DEMO["stream"]["api_secret"]))
    assert (found["platform"], found["signature"]) == ("stream", "valid")
    assert "user_id is missing or not a string" in found["problems"][0]


@pytest.mark.parametrize("word", ["undefined", "null", "[object Object]"])
@pytest.mark.parametrize("claim", ["room_id", "role", "user_id"])
def test_the_text_of_a_missing_value_is_a_warning(claim: str, word: str) -> None:
    found = explained(jwt({**LEGACY, "iat": NOW, "nbf": NOW, claim: word}, HMS["app_secret"]))
    assert (found["problems"], found["warnings"]) == ((), (MISSING_VALUE.format(claim, word),))


MISSING_VALUE = "{} is {}: a program printed a variable that has no value"


def test_the_text_of_a_missing_value_is_found_in_other_formats() -> None:
    agora = explained(minted("agora", room_id="null", role="publisher", user_id="42", services=("rtc",)))
    assert MISSING_VALUE.format("room_id", "null") in agora["warnings"]
    call = explained(jwt({"user_id": "ada", "call_cids": ["default:undefined"], "role": "host", "exp": NOW + 60}))
    assert MISSING_VALUE.format("room_id", "default:undefined") in call["warnings"]


@pytest.mark.parametrize("text", ["abc", "0060", "hello world", "NETLESS", "e.y"])
def test_other_text_is_no_token(text: str) -> None:
    found = explained(text)
    assert (found["platform"], found["vendor"]) == (None, None)
    assert found["problems"] == (f"this is not a token of {', '.join(p.title for p in PLATFORMS.values())}",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the text is empty"),
        (" \n", "the text is empty"),
        (
            '{"success": false, "code": "invalid-request", "errors": [{"field": "role", "reason": "is missing"}]}',
            "this is a refusal: invalid-request (role: is missing)",
        ),
        ('{"success": false, "code": 404, "reason": "not-found", "message": "x"}', "this is a refusal: not-found"),
        ('{"message": "Unauthorized"}', "this is a refusal: Unauthorized"),
    ],
)
def test_text_that_is_no_token_gets_a_reason(text: str, problem: str) -> None:
    assert explained(text)["problems"] == (problem,)


@given(st.text() | st.binary().map(lambda content: "ey" + encoded(content)) | st.text().map("006".__add__))
def test_no_text_makes_explain_fail(text: str) -> None:
    json.dumps(explained(text))
    explained(f"{GOOD[:40]}{text}")
