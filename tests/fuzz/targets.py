"""The fuzz targets, and the properties that must hold.

A target takes any bytes and raises where a property fails. The expected results come from other code than the
function's. The first byte of an input decides how the rest is used.
"""

import base64
import contextlib
import functools
import hashlib
import hmac
import io
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jsonschema import Draft202012Validator

from integration.model import PLATFORMS as PLATFORM_NAMES
from integration.model import off_by
from roomkey import request_body, strict_json
from roomkey.api import Api
from roomkey.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from roomkey.identity import Caller
from roomkey.kill_switch import KillSwitch
from roomkey.limits import MAX_BODY_BYTES
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Signature, TokenKind
from roomkey.platforms.credentials import Credentials
from roomkey.policy import InvalidPolicy, parse_policy
from roomkey.settings import Access
from roomkey.token_requests import KINDS, TokenRequest
from roomkey_cli.data import DATA, POLICIES
from support import token_readers
from support.aws import faulty as faults
from support.aws.virtual import ENVIRON, VirtualAws
from support.clocks import FakeClock
from support.events import EVENTS, LambdaContext
from support.stack import NOW, OPEN_POLICY, SECRET_TEXTS, SECRETS, SIGNING_KEYS, Answer, build_dependencies

VECTORS = Path(__file__).parents[1] / "unit" / "vectors"


@dataclass(frozen=True)
class Target:
    """A function to fuzz, with seeds."""

    one: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def _text(data: bytes) -> str:
    """Return any text, with lone surrogates, which JSON can escape."""
    return data.decode("utf-8", "surrogatepass") if _is_text(data) else data.decode("latin-1")


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except ValueError:
        return False
    return True


def _events() -> Iterator[Any]:
    for path in sorted(EVENTS.glob("*.json")):
        yield json.loads(path.read_text())


# --- bodies --------------------------------------------------------------------------------------------------------

_TYPES = (
    None,
    "application/json",
    "Application/JSON; charset=UTF-8",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
)


def body(data: bytes) -> None:
    """Check that a body is read as the standard library reads it, or rejected for a reason."""
    mode, content = (data[0], data[1:]) if data else (0, b"")
    _json(content)
    lenient, encoded = bool(mode & 1), bool(mode & 2)
    content_type = _TYPES[(mode >> 2) % len(_TYPES)]
    text = base64.b64encode(content).decode() if encoded else _text(content)
    event = {"body": text, "isBase64Encoded": encoded}
    meant = content if encoded else text.encode("utf-8", "surrogatepass")
    try:
        fields = (
            request_body.read_lenient(event, content_type)
            if lenient
            else request_body.read_strict(event, content_type, may_be_empty=True)
        )
    except BodyTooLarge:
        assert len(meant) > MAX_BODY_BYTES
        return
    except UnsupportedMediaType:
        assert content_type not in (_TYPES[1:3] if not lenient else _TYPES[:5])
        return
    except MalformedBody:
        document = _reference(meant)
        form = lenient and content_type == _TYPES[4] and not meant.lstrip(b" \t\r\n").startswith(b"{")
        assert form or not isinstance(document, dict)
        return
    assert len(meant) <= MAX_BODY_BYTES
    if not meant and not lenient:
        assert fields == {}
    elif meant.lstrip(b" \t\r\n").startswith(b"{") or not lenient:
        assert _same(fields, _reference(meant))
    else:
        pairs = parse_qsl(meant.decode(), keep_blank_values=True)
        assert len(fields) == len(pairs)
        fields.pop("expires_in", None)  # Digits become a number.
        assert fields == {name: value for name, value in pairs if name != "expires_in"}


def _json(data: bytes) -> None:
    """Check that accepted text means what the standard library reads, and that it rejects or misreads the rest."""
    expected = _reference(data)
    try:
        document = strict_json.loads(data)
    except ValueError as error:
        assert expected is _REFUSED
        leaks = error.__cause__ or not error.__suppress_context__  # The decoder's exception contains the document.
        assert not leaks
    else:
        assert _same(document, expected)


_REFUSED = object()


def _reference(content: bytes) -> Any:
    """Parse JSON; return `_REFUSED` if it is invalid, or valid only to the standard library."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    def no_constant(name: str) -> None:
        raise ValueError(name)

    try:
        document = json.loads(content.decode(), object_pairs_hook=once, parse_constant=no_constant)
        return document if _finite(document) else _REFUSED
    except (ValueError, RecursionError):
        return _REFUSED


def _finite(document: Any) -> bool:
    if isinstance(document, dict | list):
        return all(map(_finite, document.values() if isinstance(document, dict) else document))
    return not isinstance(document, float) or math.isfinite(document)


def _same(one: Any, other: Any) -> bool:
    """Compare types as well: 1 is not true."""
    return repr(one) == repr(other)


def _bodies() -> Iterator[bytes]:
    for event in _events():
        if content := (event.get("body") or "").encode():
            yield from (bytes([mode]) + content for mode in (0, 1, 4, 5, 17))
    for odd in (
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": {"b": 1, "b": 2}}',
        '\ufeff{"a": 1}',
        "[" * 50,
        '{"a": "\\ud800"}',
    ):
        yield b"\x04" + odd.encode()
    yield from (b"\x04" + text.encode() for text in SECRET_TEXTS.values())


# --- the policy ----------------------------------------------------------------------------------------------------

_SCHEMA = Draft202012Validator(json.loads((DATA / "policy.schema.json").read_text()))
_CALLERS = (
    Caller(Access.OPEN),
    Caller(Access.JWT, user_id="alice", groups=("teachers",), claims={"sub": "alice", "school": "a"}),
    Caller(Access.JWT, user_id="*", claims={"sub": "*", "school": ""}),
    Caller(Access.IAM, principal="arn:aws:iam::123456789012:role/backend"),
)
_REQUESTS = (
    *(TokenRequest(PLATFORMS[name], TokenKind.APP, "alice-1", "guest", "alice") for name in PLATFORM_NAMES),
    *(TokenRequest(PLATFORMS[name], TokenKind.MANAGEMENT, role="admin") for name in PLATFORM_NAMES),
    TokenRequest(PLATFORMS["agora"], TokenKind.APP, "x" * 64, "publisher", "1", ("rtc", "chat"), 86400),
)


def policy(data: bytes) -> None:
    """Check that a policy matches its schema, and that a grant has a rule that grants it."""
    text = _text(data)
    try:
        understood = parse_policy(text)
    except InvalidPolicy as problems:
        number = len(problems.problems)
        assert 1 <= number <= 20
        return
    document = json.loads(text)
    _SCHEMA.validate(document)
    names = {rule.get("name", f"rules[{index}]"): rule for index, rule in enumerate(document["rules"])}
    assert len(names) == len(document["rules"])
    for request in _REQUESTS:
        for caller in _CALLERS:
            decision = understood.decide(request, caller)
            if decision.rule is None:
                assert not decision.allowed
                continue
            rule = names[decision.rule]
            assert request.platform.name in rule["platforms"] or rule["platforms"] == ["*"]
            assert request.kind in rule["kinds"] or rule["kinds"] == ["*"]
            assert request.room_id is None or rule["rooms"]
            assert decision.max_lifetime == rule.get("max_lifetime")
            assert decision.allowed == ((request.expires_in or 0) <= (decision.max_lifetime or math.inf))


def _policies() -> Iterator[bytes]:
    for path in sorted(POLICIES.glob("*.json")):
        document = json.loads(path.read_text())
        yield json.dumps(document).encode()
        yield from (json.dumps({**document, "rules": [rule]}).encode() for rule in document["rules"])
    whole = {
        "name": "all",
        "who": ["signed-in", {"user": "a*"}, {"group": "teachers"}, {"principal": "arn:*"}],
        "kinds": ["app"],
        "platforms": ["agora", "100ms"],
        "roles": ["*"],
        "services": ["rtc", "chat"],
        "rooms": ["{sub}-*", "{claim:school}*x"],
        "max_lifetime": 60,
    }
    yield json.dumps({"$schema": "x", "version": 1, "mode": "audit", "rules": [whole]}).encode()


# --- the kill switch -----------------------------------------------------------------------------------------------


_WORDS = (
    ",",
    "true",
    "false",
    "app",
    "management",
    "/",
    " ",
    "\n",
    *PLATFORM_NAMES,
    *(f"{one}," for one in PLATFORM_NAMES),
)


def flag(data: bytes) -> None:
    """Check that exactly the texts of the grammar are valid, and that each but `false` turns off its scopes."""
    mode, content = (data[0], data[1:]) if data else (0, b"")
    text = "".join(_WORDS[byte % len(_WORDS)] for byte in content) if mode & 1 else _text(content)
    off = off_by(text, PLATFORM_NAMES)
    try:
        understood = KillSwitch.parse(text)
    except ValueError:
        assert off is None
        return
    pairs = {(platform, kind) for platform in PLATFORM_NAMES for kind in KINDS if understood.is_off(platform, kind)}
    assert pairs == off
    assert bool(pairs) == (text != "false")
    assert KillSwitch.parse(understood.text) == understood


def _flags() -> Iterator[bytes]:
    scopes = ["app", "management", *PLATFORM_NAMES, "agora/app", "100ms/management"]
    yield from (b"\0" + one.encode() for one in ("true", "false", "TRUE", "false\n", "", ",".join(scopes), *scopes))
    yield from (bytes([1, *words]) for words in ((1,), (2,), (3, 0, 4), (8, 5, 3, 0, 9), (12, 13, 10)))


# --- explain -------------------------------------------------------------------------------------------------------

_CREDENTIALS = {name: Credentials(SECRETS[name]) for name in PLATFORM_NAMES}
_OTHERS = {name: Credentials({field: value[::-1] for field, value in SECRETS[name].items()}) for name in PLATFORM_NAMES}
_PREFIXES = ("NETLESSROOM_", "NETLESSSDK_", "NETLESSTASK_")


def explain(data: bytes) -> None:
    """Check that anything can be explained, and that a signature holds only with its key."""
    mode, content = (data[0], data[1:]) if data else (0, b"")
    name = PLATFORM_NAMES[mode % 4]
    signed = bool(mode & 4)
    token = _signed(name, content, mode) if signed else _text(content)
    platform = PLATFORMS[name]

    told = platform.explain(token, _CREDENTIALS[name], NOW)
    without, other = platform.explain(token, None, NOW), platform.explain(token, _OTHERS[name], NOW)
    assert (told is None) == (without is None) == (other is None)
    if told is None or without is None or other is None:
        return
    assert without.signature is not Signature.VALID
    assert other.signature is not Signature.VALID
    assert other.problems, "a token of another app is valid"
    assert (told.issued_at, told.token_id) == (without.issued_at, without.token_id)
    if signed and name in ("100ms", "videosdk"):
        damaged = any("damaged" in problem for problem in told.problems)
        assert damaged or told.signature is Signature.VALID, "a genuine token is reported as invalid"
    elif told.signature is Signature.VALID and not signed and not told.problems:
        assert token_readers.read(name, token)
    if told.content.expires_at is not None and told.signature is Signature.VALID and not told.problems:
        assert told.content.expires_at > NOW - 1
    json.dumps({str(key): str(value) for key, value in told.claims.items()})


def _signed(name: str, content: bytes, mode: int) -> str:
    """Sign arbitrary `content` in the platform's format."""
    key = list(SECRETS[name].values())[-1].encode()
    match name:
        case "agora":
            app_id = SECRETS["agora"]["app_id"].encode()
            info = struct.pack("<H", len(app_id)) + app_id + struct.pack("<III", NOW, 3600, 7) + content[:4096]
            for word in (NOW, 7):
                key = hmac.digest(struct.pack("<I", word), key, hashlib.sha256)
            signature = hmac.digest(key, info, hashlib.sha256)
            return "007" + base64.b64encode(zlib.compress(struct.pack("<H", 32) + signature + info)).decode()
        case "agora-whiteboard":
            fields = dict(parse_qsl(content.decode("latin-1"), keep_blank_values=True))
            fields.pop("sig", None)
            said = json.dumps(dict(sorted(fields.items())), separators=(",", ":"), ensure_ascii=False).encode()
            fields["sig"] = hmac.new(key, said, hashlib.sha256).hexdigest()
            query = urlencode(sorted(fields.items())).encode()
            return _PREFIXES[(mode >> 3) % 3] + base64.urlsafe_b64encode(query).rstrip(b"=").decode()
        case _:
            header = b'{"alg":"HS256","typ":"JWT"}' if mode & 8 else content[: content.find(b"}") + 1]
            segments = [base64.urlsafe_b64encode(one).rstrip(b"=") for one in (header, content)]
            signature = hmac.digest(key, b".".join(segments), hashlib.sha256)
            return b".".join([*segments, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def _tokens() -> Iterator[bytes]:
    for stem, name in (
        ("hms", "100ms"),
        ("videosdk", "videosdk"),
        ("agora", "agora"),
        ("whiteboard", "agora-whiteboard"),
    ):
        mode = PLATFORM_NAMES.index(name)
        for path in VECTORS.glob(f"*{stem}*.json"):
            for vector in json.loads(path.read_text())["vectors"][:12]:
                if not isinstance(token := vector.get("token"), str):
                    continue
                yield bytes([mode]) + token.encode()
                with contextlib.suppress(ValueError, zlib.error, IndexError):
                    yield bytes([mode | 12]) + _content(name, token)
    for event in _events():
        if token := _answer(event, "open").token:
            yield bytes([PLATFORM_NAMES.index(_platform(event))]) + token.encode()


def _content(name: str, token: str) -> bytes:
    """Return the content that `_signed` would sign for `token`."""
    match name:
        case "agora":
            return zlib.decompress(base64.b64decode(token[3:]))[2 + 32 + 2 + 32 + 12 :]
        case "agora-whiteboard":
            return base64.urlsafe_b64decode(token.partition("_")[2] + "==")
        case _:
            return base64.urlsafe_b64decode(token.split(".")[1] + "==")


# --- the whole API -------------------------------------------------------------------------------------------------

_NEVER = (*SIGNING_KEYS, faults.ACCOUNT_ID, "AKIASTANDIN", "arn:aws:ssm", "arn:aws:secretsmanager")
_TEMPLATES = tuple(event for event in _events() if isinstance(event.get("body"), str))
_STATES = ("on", "off", "unknown", "no secret")


@functools.cache
def _environment(access: str, state: str) -> tuple[VirtualAws, Api]:
    """Return an environment over AWS in memory, with a fake clock."""
    aws = VirtualAws(FakeClock(wall=NOW + 0.5))
    aws.put_parameter("/roomkey/dev/policy", OPEN_POLICY)
    aws.put_parameter("/roomkey/dev/blocked", "{}")
    aws.put_parameter("/roomkey/dev/disabled", {"off": "true", "unknown": "offline"}.get(state, "false"))
    for name, text in SECRET_TEXTS.items():
        if state != "no secret":
            aws.put_secret(f"roomkey/dev/{name}", text)
    parts = build_dependencies(ENVIRON, aws.clock, None, access=access, platforms=PLATFORM_NAMES)
    return aws, Api(parts)


def _platform(event: Any) -> str:
    return str(event["pathParameters"]["platform"]) if "{platform}" in event["routeKey"] else "100ms"


def _answer(event: Any, access: str, state: str = "on") -> Answer:
    """Return the response, and discard the output."""
    printed, (aws, api) = io.StringIO(), _environment(access, state)
    with aws.installed(), contextlib.redirect_stdout(printed):
        response = api.answer(event, LambdaContext())
    shown = printed.getvalue()
    assert [word for word in _NEVER if word in shown] == []
    lines = [json.loads(line) for line in shown.splitlines()]
    answer = Answer.checked(response)
    if answer.token:
        assert hashlib.sha256(answer.token.encode()).hexdigest() in {
            line.get("token", {}).get("sha256") for line in lines
        }
    return answer


def handler(data: bytes) -> None:
    """Check that every event gets a documented response: never 500, and 503 only if the state is invalid."""
    mode, content = (data[0], data[1:]) if data else (0, b"")
    access, state = ("open", "jwt", "iam")[mode % 3], _STATES[(mode >> 2) % 4] if mode & 64 else "on"
    event: Any
    if mode & 128:  # Any body in an event that API Gateway would deliver.
        event = {**_TEMPLATES[mode % len(_TEMPLATES)], "body": _text(content)}
    else:
        try:
            event = json.loads(content)
        except (ValueError, RecursionError):
            return
    answer = _answer(event, access, state)
    assert answer.status != 500
    if answer.status == 503:
        assert (state, answer.code) in {
            ("unknown", "kill-switch-unavailable"),
            ("no secret", "credentials-unavailable"),
        }
    if answer.token:
        assert state == "on"
        route = event["routeKey"]
        assert "management" not in route or event["requestContext"]["authorizer"]["iam"]["userArn"]
        assert access != "jwt" or "jwt" in event["requestContext"]["authorizer"] or "management" in route
        assert token_readers.read(_platform(event), answer.token)
    else:
        assert [word for word in (*_NEVER, "Sentinel") if word in answer.text] == []


def _requests() -> Iterator[bytes]:
    for event in _events():
        for mode in (0, 1, 2, 64, 68):
            yield bytes([mode]) + json.dumps(event).encode()
    yield from (bytes([128 + mode]) + one["body"].encode() for mode, one in enumerate(_TEMPLATES[:100]))


TARGETS: Mapping[str, Target] = {
    "bodies": Target(body, _bodies),
    "policy": Target(policy, _policies),
    "flag": Target(flag, _flags),
    "explain": Target(explain, _tokens),
    "handler": Target(handler, _requests),
}
