"""All platforms on one stack: each token matches its request, and no platform affects another.

The properties draw requests by the rules of docs/api.md, as events of the gateway, and read every token with the
independent readers of `token_readers`."""

import base64
import itertools
import json
import re
import string
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomkey.platforms.fields import is_missing_value
from roomkey_cli.data import POLICIES
from support.aws.moto_proxy import GET_SECRET, Aws
from support.events import EVENTS, load_event
from support.stack import EVERY_PLATFORM, SECRET_TEXTS, SECRETS, SIGNING_KEYS, Answer, Deploy, Deployed
from support.token_readers import PERMISSIONS, assert_same, beside_the_token, due, read

KINDS = ("app", "management")
MODES = ("open", "jwt", "iam")
DEFAULT_LIFE = {"app": 3600, "management": 900}
DAY = 86400

UUID_OF_A_ROOM = "534c08ca3f52a55f27bb471e3eccb305"
ASKS: Mapping[str, Mapping[str, Any]] = {
    "100ms": {"room_id": "633fcdd84208780bf665346a", "role": "guest", "user_id": "student-7"},
    "videosdk": {"room_id": "bmej-gdmc-dchc", "role": "guest", "user_id": "student-7"},
    "agora": {"room_id": "algebra-2", "role": "subscriber", "user_id": "42"},
    "agora-whiteboard": {"room_id": UUID_OF_A_ROOM, "role": "reader"},
}
"""For each platform, an app token's request with all required fields, and a user if the platform has one."""

every_platform = pytest.mark.parametrize("platform", EVERY_PLATFORM)
every_token = pytest.mark.parametrize(("platform", "kind"), list(itertools.product(EVERY_PLATFORM, KINDS)))

_ENTRANCES = {
    "open": "app-token-open.json",
    "jwt": "app-token-jwt.json",
    "iam": "app-token-iam-role.json",
    "management": "management-token-iam-role.json",
}
"""The event that a request starts from, by access and for management tokens."""

FRAME = {"success", "status", "msg", "api_version"}
"""The other fields of every response with a token."""


def request(platform: str, kind: str, body: str | bytes | None, access: str = "open", sub: str = "teacher-1") -> Any:
    """Return the event of a request for this token. `body` is text, base64 (bytes) or missing; `sub` is the user."""
    event = load_event(_ENTRANCES["management" if kind == "management" else access])
    path = f"/v1/{platform}/{kind}-token"
    event |= {"rawPath": path, "pathParameters": {"platform": platform}}
    event["requestContext"]["http"]["path"] = path
    if access == "jwt" and kind == "app":
        event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"] = sub
    return _with_body(event, body)


def _with_body(event: Any, body: str | bytes | None) -> Any:
    encoded = isinstance(body, bytes)
    event |= {"body": base64.b64encode(body).decode() if isinstance(body, bytes) else body, "isBase64Encoded": encoded}
    if body is None:
        del event["body"], event["headers"]["content-type"]
    return event


def asking(platform: str, kind: str = "app", access: str = "open", sub: str = "teacher-1", **more: Any) -> Any:
    """Return the event of a valid request: `ASKS` for an app token, and `more`."""
    body = {**(ASKS[platform] if kind == "app" else {}), **more}
    return request(platform, kind, json.dumps(body), access, sub)


def minted(answer: Answer) -> str:
    """Return the token in `answer`, which must be a success."""
    assert answer.status == 200, answer.text
    assert answer.token
    return answer.token


def milliseconds(deployed: Deployed) -> int:
    """Return the time of the stack's clock."""
    return round(deployed.clock.wall * 1000)


def assert_says(deployed: Deployed, platform: str, kind: str, asked: Mapping[str, Any], event: Any) -> None:
    """Check that the answer to `event`, its token and its audit line match `asked` in every field.

    `asked` is the body, with the user of the token if it is known."""
    at, before = milliseconds(deployed), deployed.stream.tell()
    answer = deployed.answer(event)
    token = minted(answer)
    (line,) = deployed.audit_lines(before)

    role = asked.get("role")
    if "permissions" in asked:
        role = next(word for word, permissions in PERMISSIONS.items() if permissions == sorted(asked["permissions"]))
    if (platform, kind) == ("agora-whiteboard", "management"):
        role = asked.get("role", "admin")
    user_id = asked.get("user_id")
    if user_id is None and kind == "app" and platform in ("100ms", "videosdk"):
        user_id = answer.body["user_id"]
        assert UUID(user_id).version == 4
    services = asked.get("services", ["rtc"]) if (platform, kind) == ("agora", "app") else []
    lifetime = asked.get("expires_in", DEFAULT_LIFE[kind])

    reading = read(platform, token)
    words: dict[str, Any] = {"room_id": asked.get("room_id"), "role": role, "user_id": user_id, "services": services}
    assert_same(reading.says, due(platform, kind, expires_in=lifetime, at=at, **words))
    expected = {"token": token, "expires_in": lifetime, "expires_at": at // 1000 + lifetime}
    expected |= {"user_id": user_id} if user_id is not None else {}
    expected |= beside_the_token(platform, kind, lifetime)
    assert_same({name: answer.body[name] for name in answer.body.keys() - FRAME}, expected)

    assert (line["platform"], line["kind"], line["decision"]) == (platform, kind, "minted")
    listed = [name for name in ("rtc", "rtm", "chat") if name in services]
    requested = {"room_id": words["room_id"], "role": role, "services": listed}
    assert line.get("requested", {}) == {name: value for name, value in requested.items() if value}
    assert (line["token"].get("user_id"), line["token"].get("id")) == (user_id, reading.token_id)


@pytest.fixture(scope="module")
def stacks(aws_for_all: Aws) -> Iterable[Mapping[str, Deployed]]:
    """A stack of each access, with all platforms. Its clock advances; a request leaves nothing else."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        aws_for_all.lead_here(monkeypatch)
        aws_for_all.forget()
        yield {access: Deployed.on(aws_for_all, access, platforms=EVERY_PLATFORM) for access in MODES}


# --- valid and invalid fields ----------------------------------------------------------------------------------------

NOT_SHOWN: Any = ("Cc", "Cs", "Cn", "Co", "Zl", "Zp")
REFUSED: Any = ("Cc", "Cs", "Co", "Zl", "Zp")
BIDI_CONTROLS = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
NO_TEXT = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["room_id", "$ne"]), st.integers(), max_size=1),
)
LETTERS = st.text(string.ascii_letters, min_size=1, max_size=3)


@dataclass(frozen=True)
class Words:
    """The valid and invalid values of a field: each of `takes` and `refuses` is tried, of the others some."""

    good: st.SearchStrategy[Any]
    bad: st.SearchStrategy[Any]
    takes: Sequence[Any]
    refuses: Sequence[Any]
    required: bool = False

    @property
    def right(self) -> st.SearchStrategy[Any]:
        return st.sampled_from(self.takes) | self.good

    @property
    def wrong(self) -> st.SearchStrategy[Any]:
        return st.sampled_from(self.refuses) | self.bad


FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffc\U0001d159")
"""Letters and symbols that show nothing."""


def _shows(text: str) -> bool:
    ends = {text[0], text[-1]}
    return {unicodedata.category(end)[0] for end in ends} <= set("LNPS") and not (
        ends & FILLERS or is_missing_value(text)
    )


def _with_one_of(characters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda *parts: "".join(parts), LETTERS, characters, LETTERS)


def text(longest: int, *, required: bool = False) -> Words:
    """Ids and roles of the vendors without rules of their own."""
    shown = st.text(st.characters(exclude_categories=NOT_SHOWN, exclude_characters=BIDI_CONTROLS), min_size=1)
    return Words(
        good=shown.filter(lambda text: len(text) <= longest and _shows(text)),
        bad=NO_TEXT | _with_one_of(st.characters(categories=REFUSED)),
        takes=(
            "é" * longest,
            "👩\u200d👩\u200d👧",
            ">>>???~~~",
            'a"b\\c</script>',
            "0",
            "nul",
            "{sub}",
            "Zoe\u0308",
            "a b",
        ),
        refuses=(
            *(
                "",
                " ",
                "\u3000",
                "\u200b",
                " a",
                "a ",
                "a\u00a0",
                "é" * (longest + 1),
                "a\x00b",
                "a\n",
                "\x7f",
                "\ud800",
            ),
            *("\ue000", "a\u2028b", *(f"a{control}b" for control in BIDI_CONTROLS)),
        ),
        required=required,
    )


def word(*words: str, required: bool = True) -> Words:
    """Return the values of a closed list."""
    return Words(
        good=st.sampled_from(words),
        bad=NO_TEXT | st.text(max_size=12).filter(lambda text: text not in words),
        takes=words,
        refuses=(
            "host",
            "owner",
            "0",
            "1",
            0,
            1,
            "",
            "*",
            list(words),
            *(form for w in words for form in (w.upper(), w + " ")),
        ),
        required=required,
    )


def _lifetimes(least: int) -> Words:
    return Words(
        good=st.integers(least, DAY),
        bad=st.integers(max_value=least - 1) | st.integers(DAY + 1, 10**60) | st.text(max_size=4),
        takes=(least, least + 1, DAY - 1, DAY),
        refuses=(
            least - 1,
            DAY + 1,
            0,
            -60,
            600.0,
            600.5,
            "600",
            "",
            True,
            False,
            None,
            [600],
            {"seconds": 600},
            10**60,
        ),
    )


LIFE, AGORA_LIFE = _lifetimes(60), _lifetimes(120)

AGORA_CHARACTERS = string.ascii_letters + string.digits + " !#$%&()+-:;<=.>?@[]^_{}|~,"
MAX_UID = 2**32 - 1
OTHER_CHARACTERS = "\"'*/\\`\t\x00\x7fé\u0661\uff11"
others = NO_TEXT | _with_one_of(st.characters(exclude_characters=AGORA_CHARACTERS))


def _agora_names(shortest: int, longest: int) -> st.SearchStrategy[str]:
    names = st.text(AGORA_CHARACTERS, min_size=shortest, max_size=longest)
    return names.filter(
        lambda name: name == name.strip(" ") and not is_missing_value(name) and not re.fullmatch("[+-]?[0-9]+", name)
    )


CHANNEL = Words(
    good=_agora_names(1, 63),
    bad=others,
    takes=("x", "0", "x" * 63, "a b", AGORA_CHARACTERS[:31].strip(), AGORA_CHARACTERS[31:].strip()),
    refuses=("", " ", " a", "a ", "x" * 64, "x" * 256, "é" * 32, *(f"a{other}b" for other in OTHER_CHARACTERS)),
    required=True,
)
uids = st.builds(
    lambda sign, zeros, uid: f"{sign}{'0' * zeros}{uid}",
    st.sampled_from(["", "+"]),
    st.integers(0, 5),
    st.integers(1, MAX_UID),
)
AGORA_USER = Words(
    good=uids | _agora_names(1, 64),
    bad=others | st.integers(max_value=0).map(str) | st.integers(min_value=MAX_UID + 1).map("{:+}".format),
    takes=(
        "1",
        "+1",
        "00042",
        str(MAX_UID),
        f"000{MAX_UID}",
        "0" * 63 + "1",
        "x" * 64,
        "1.5",
        "-",
        "1-1",
        "0x1",
        "a b",
    ),
    refuses=(
        *("", " ", "0", "00", "+0", "-0", "-1", f"-{MAX_UID}", str(2**32), f"+{2**32}", f"000{2**32}", "1" * 21),
        *(f"{2**32 + 5}", f"{2**64 + 5}", "x" * 256, "0" * 255 + "1", " 1", "1 ", 0, 1, 42, 1.5),
        *(f"a{other}b" for other in OTHER_CHARACTERS),
    ),
    required=True,
)
LONG_ACCOUNTS = ("x" * 65, "x" * 255, "0" * 64 + "1")
SERVICES = Words(
    good=st.lists(st.sampled_from(["rtc", "rtm", "chat"]), min_size=1, unique=True),
    bad=NO_TEXT | st.lists(st.text(max_size=2), max_size=2),
    takes=[list(order) for many in (1, 2, 3) for order in itertools.permutations(["rtc", "rtm", "chat"], many)],
    refuses=(
        [],
        "rtc",
        "",
        ["RTC"],
        ["rtc", "rtc"],
        ["rtc", "fpa"],
        [["rtc"]],
        {"rtc": 1},
        [None],
        ["rtc", 1],
        [1],
        [5],
    ),
)

UUIDS = st.uuids().map(str)
PLAIN, DASHED = UUID_OF_A_ROOM, "9f1c2b3a-4d5e-46f7-8091-a2b3c4d5e6f7"
ROOM_UUID = Words(
    good=UUIDS | UUIDS.map(lambda uuid: uuid.replace("-", "")),
    bad=NO_TEXT | UUIDS.map(lambda uuid: uuid.replace("-", "", 1)) | st.text(max_size=40),
    takes=(PLAIN, DASHED, "0" * 32, "f" * 32),
    refuses=(
        *("", "algebra-2", "*", PLAIN[:31], PLAIN + "0", PLAIN.upper(), DASHED.upper(), "g" * 32, "\uff10" * 32),
        *(
            PLAIN + "\n",
            f" {PLAIN}",
            f"{{{DASHED}}}",
            f"urn:uuid:{DASHED}",
            DASHED.replace("-", "_"),
            DASHED + "-",
            [PLAIN],
        ),
        *("534c08ca3f52a55f-27bb471e3eccb305", PLAIN + "/../" + PLAIN, int(PLAIN[:8], 16)),
    ),
    required=True,
)
PERMISSION_LISTS = Words(
    good=st.sampled_from(list(PERMISSIONS.values())),
    bad=NO_TEXT
    | st.lists(st.sampled_from(["ask_join", "allow_join", "allow_mod"]), max_size=4).filter(
        lambda words: sorted(words) not in PERMISSIONS.values()
    ),
    takes=[list(order) for words in PERMISSIONS.values() for order in itertools.permutations(words)],
    refuses=(
        *([], ["allow_mod"], ["ask_join", "allow_join"], ["ask_join", "allow_mod"], ["allow_join", "allow_join"]),
        *(["ask_join", "allow_join", "allow_mod"], ["allow_join", "allow_mod", "allow_mod"], "allow_join", ""),
        *({"allow_join": True}, ["ALLOW_JOIN"], [["allow_join"]], ["allow_join", None], ["allow_join", ["allow_mod"]]),
        *(["participant"], "participant", [True]),
    ),
)

FIELDS: Mapping[tuple[str, str], Mapping[str, Words]] = {
    ("100ms", "app"): {"room_id": text(256, required=True), "role": text(128, required=True), "user_id": text(256)},
    ("videosdk", "app"): {
        "room_id": text(256, required=True),
        "role": word("guest", "participant", "moderator"),
        "user_id": text(256),
    },
    ("agora", "app"): {
        "room_id": CHANNEL,
        "role": word("publisher", "subscriber"),
        "user_id": AGORA_USER,
        "services": SERVICES,
    },
    ("agora-whiteboard", "app"): {"room_id": ROOM_UUID, "role": word("admin", "writer", "reader")},
    ("100ms", "management"): {},
    ("videosdk", "management"): {},
    ("agora", "management"): {},
    ("agora-whiteboard", "management"): {"role": word("admin", "writer", "reader", required=False)},
}
"""From docs/api.md; `expires_in` is in every request. VideoSDK's `permissions` replace its `role`."""

SHOWN_AS = {name: name for name in ("type", "env", "exp", "apikey", "permissions", "services", "user_id", "room_id")}
SHOWN_AS |= {
    "Role": "Role",
    "expiresIn": "expiresIn",
    "a b": "(unprintable)",
    "": "(unprintable)",
    "é": "(unprintable)",
}
"""Fields that only some requests may have, and their names in the response."""


def _fields(platform: str, kind: str) -> Mapping[str, Words]:
    return {**FIELDS[platform, kind], "expires_in": AGORA_LIFE if platform == "agora" else LIFE}


def _takes_permissions(platform: str, kind: str) -> bool:
    return (platform, kind) == ("videosdk", "app")


@st.composite
def asks(draw: st.DrawFn, platform: str, kind: str) -> dict[str, Any]:
    """The body of a valid request."""
    fields = _fields(platform, kind)
    body = {name: draw(words.right) for name, words in fields.items() if words.required or draw(st.booleans())}
    if _takes_permissions(platform, kind) and draw(st.booleans()):
        del body["role"]
        body["permissions"] = draw(PERMISSION_LISTS.right)
    if platform == "agora" and kind == "app" and body.get("services", ["rtc"]) == ["rtc"] and draw(st.booleans()):
        body["user_id"] = draw(st.sampled_from(LONG_ACCOUNTS) | _agora_names(65, 255))
    if "chat" in body.get("services", ()):
        body["user_id"] = draw(st.from_regex(r"[a-z_.-][a-z0-9_.-]{0,63}", fullmatch=True))
    return dict(draw(st.permutations(list(body.items()))))


@st.composite
def spellings(draw: st.DrawFn, body: Mapping[str, Any]) -> str | bytes | None:
    """A body as a client writes it and the gateway delivers it."""
    if not body and draw(st.booleans()):
        return draw(st.sampled_from([None, "", b""]))
    written = json.dumps(
        body,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 2])),
        separators=draw(st.sampled_from([(",", ":"), (" , ", " : ")])),
    )
    return written.encode() if draw(st.booleans()) else written


@st.composite
def flaws(draw: st.DrawFn, platform: str, kind: str, *, signed_in: bool) -> tuple[dict[str, Any], set[str]]:
    """The body of a request with one or more invalid fields, and the fields that the response must name.

    A caller who has `signed_in` with a JWT may omit the user id."""
    fields, body, faulty = _fields(platform, kind), draw(asks(platform, kind)), set[str]()
    alternatives = _takes_permissions(platform, kind)
    strays = sorted(SHOWN_AS.keys() - fields.keys() - ({"permissions"} if alternatives else set()))
    for name in draw(st.lists(st.sampled_from([*fields, "a stray field"]), min_size=1, max_size=3, unique=True)):
        if name == "a stray field":
            stray = draw(st.sampled_from(strays))
            body[stray] = draw(NO_TEXT | LETTERS)
            faulty.add(SHOWN_AS[stray])
        elif name == "role" and alternatives:
            body, wrong = draw(_wrong_roles(body))
            faulty |= wrong
        elif fields[name].required and not (signed_in and name == "user_id") and draw(st.booleans()):
            del body[name]
            faulty.add(name)
        else:
            body[name] = draw(fields[name].wrong)
            faulty.add(name)
    return body, faulty


@st.composite
def _wrong_roles(draw: st.DrawFn, body: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return `body` with VideoSDK's `role` and `permissions` wrong in one of five ways."""
    role, permissions = FIELDS["videosdk", "app"]["role"], PERMISSION_LISTS
    chosen, wrong = draw(
        st.sampled_from(
            [
                ({}, {"role"}),
                ({"role": role.right, "permissions": permissions.right}, {"role"}),
                ({"role": role.wrong}, {"role"}),
                ({"permissions": permissions.wrong}, {"permissions"}),
                ({"role": role.wrong, "permissions": permissions.wrong}, {"role", "permissions"}),
            ]
        )
    )
    rest = {name: value for name, value in body.items() if name not in ("role", "permissions")}
    return rest | {name: draw(strategy) for name, strategy in chosen.items()}, set(wrong)


# --- limits ----------------------------------------------------------------------------------------------------------


def _deps(platform: str, kind: str, name: str, value: object) -> dict[str, Any]:
    """Return a valid request's body with one field replaced. `permissions` replace `role`."""
    body = {**(ASKS[platform] if kind == "app" else {}), name: value}
    if name == "permissions":
        del body["role"]
    return body


def _all_fields(platform: str, kind: str) -> Mapping[str, Words]:
    alternatives = {"permissions": PERMISSION_LISTS} if _takes_permissions(platform, kind) else {}
    return {**_fields(platform, kind), **alternatives}


@every_token
def test_values_at_the_bounds_are_minted(stacks: Mapping[str, Deployed], platform: str, kind: str) -> None:
    for name, words in _all_fields(platform, kind).items():
        for value in words.takes:
            asked = _deps(platform, kind, name, value)
            assert_says(stacks["open"], platform, kind, asked, request(platform, kind, json.dumps(asked)))


@every_token
def test_values_beyond_the_bounds_are_refused_by_name(stacks: Mapping[str, Deployed], platform: str, kind: str) -> None:
    for name, words in _all_fields(platform, kind).items():
        for value in (*words.refuses, None):
            body = _deps(platform, kind, name, value)
            answer = stacks["open"].answer(request(platform, kind, json.dumps(body)))
            assert (answer.status, answer.code, answer.body["errors"] and answer.faulty_fields) == (
                *(400, "invalid-request"),
                [name],
            ), value


@every_platform
def test_a_missing_required_field_is_named(stacks: Mapping[str, Deployed], platform: str) -> None:
    for name, words in _fields(platform, "app").items():
        body = {field: value for field, value in ASKS[platform].items() if field != name}
        answer = stacks["open"].answer(request(platform, "app", json.dumps(body)))
        assert (answer.status, answer.body.get("errors") and answer.faulty_fields) == (
            (400, [name]) if words.required else (200, None)
        )


@pytest.mark.parametrize("role", PERMISSIONS)
def test_a_role_and_permissions_are_never_taken_together(stacks: Mapping[str, Deployed], role: str) -> None:
    """Not even with equal values."""
    for permissions in PERMISSION_LISTS.takes:
        answer = stacks["open"].answer(asking("videosdk", role=role, permissions=permissions))
        assert (answer.status, answer.faulty_fields) == (400, ["role"])


@pytest.mark.parametrize("account", LONG_ACCOUNTS, ids=len)
def test_an_agora_account_may_be_longer_for_rtc_alone(stacks: Mapping[str, Deployed], account: str) -> None:
    for services in (None, *SERVICES.takes):
        asked = {**ASKS["agora"], "user_id": account} | ({"services": services} if services else {})
        event = request("agora", "app", json.dumps(asked))
        if services in (None, ["rtc"]):
            assert_says(stacks["open"], "agora", "app", asked, event)
        else:
            answer = stacks["open"].answer(event)
            assert (answer.status, answer.faulty_fields) == (400, ["user_id"])


# --- the properties --------------------------------------------------------------------------------------------------

some = settings(max_examples=25)
moments = st.sampled_from([0, 1, 17, 499, 500, 501, 999])
"""Milliseconds between two requests."""


def _later(deployed: Deployed, passed: int) -> None:
    deployed.clock.wall = (milliseconds(deployed) + passed) / 1000
    deployed.clock.monotonic += passed / 1000


@every_token
@some
@given(data=st.data())
def test_every_documented_request_is_minted_as_requested(
    stacks: Mapping[str, Deployed], platform: str, kind: str, data: st.DataObject
) -> None:
    access, asked, sub = data.draw(st.sampled_from(MODES)), data.draw(asks(platform, kind)), "teacher-1"
    body = dict(asked)
    if access == "jwt" and kind == "app":
        users = _fields(platform, kind).get("user_id")
        sub = data.draw(users.right if users else text(256).right)
        if users:
            sub = asked.setdefault("user_id", sub)
            if data.draw(st.booleans()):
                body.pop("user_id", None)
    _later(stacks[access], data.draw(moments))

    event = request(platform, kind, data.draw(spellings(body)), access, sub)

    assert_says(stacks[access], platform, kind, asked, event)


@every_token
@some
@given(data=st.data())
def test_anything_else_is_refused_and_every_field_at_fault_is_named(
    stacks: Mapping[str, Deployed], platform: str, kind: str, data: st.DataObject
) -> None:
    access = data.draw(st.sampled_from(MODES))
    body, faulty = data.draw(flaws(platform, kind, signed_in=access == "jwt" and kind == "app"))
    calls = len(stacks[access].operations)

    answer = stacks[access].answer(request(platform, kind, json.dumps(body), access))

    assert (answer.status, answer.code) == (400, "invalid-request")
    assert set(answer.faulty_fields) == faulty
    assert len(stacks[access].operations) == calls


ANY_FIELD = {name: words.right for fields in FIELDS.values() for name, words in fields.items()}
ANY_FIELD |= {"permissions": PERMISSION_LISTS.right, "expires_in": LIFE.right}
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    NO_TEXT | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=2),
    max_leaves=6,
)


@st.composite
def mixtures(draw: st.DrawFn, platform: str, kind: str) -> dict[str, Any]:
    """A body with the fields of this platform and of others, with valid values and any."""
    body = draw(asks(platform, kind))
    for name in draw(st.lists(st.sampled_from(sorted(ANY_FIELD)), max_size=2)):
        body[name] = draw(ANY_FIELD[name] | ANYTHING)
    return body


@every_token
@some
@given(data=st.data())
def test_any_request_is_minted_as_requested_or_refused_by_name(
    stacks: Mapping[str, Deployed], platform: str, kind: str, data: st.DataObject
) -> None:
    """This test does not decide which request is valid: a token never differs from its request."""
    body, deployed = data.draw(mixtures(platform, kind)), stacks["open"]
    event = request(platform, kind, json.dumps(body))

    answer = deployed.answer(event)

    assert answer.status in (200, 400)
    if answer.status == 200:
        assert body.keys() <= _fields(platform, kind).keys() | {"permissions"}
        assert_says(deployed, platform, kind, body, event)
    else:
        assert answer.code == "invalid-request"
        assert set(answer.faulty_fields) <= body.keys() | {"role"}


@some
@given(asked=asks("100ms", "app"), data=st.data())
def test_the_drop_in_route_reads_forms_and_json_of_any_type_alike(
    stacks: Mapping[str, Deployed], asked: dict[str, Any], data: st.DataObject
) -> None:
    event = load_event(data.draw(st.sampled_from(["api-token-json.json", "api-token-web.json"])))
    body = data.draw(spellings(asked | data.draw(st.sampled_from([{}, {"env": "prod", "type": "management"}]))))
    if data.draw(st.booleans()):
        body = urlencode(asked).encode()
        event["headers"]["content-type"] = "application/x-www-form-urlencoded"

    assert_says(stacks["open"], "100ms", "app", asked, _with_body(event, body))


# --- any event -------------------------------------------------------------------------------------------------------

FILES_OF_OTHERS = sorted(
    path.name for path in EVENTS.glob("*.json") if re.search("-(videosdk|agora|whiteboard)[-.]", path.name)
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    for key, child in value.items() if isinstance(value, dict) else ():
        yield (*path, key)
        yield from _places(child, (*path, key))


@st.composite
def bent_events(draw: st.DrawFn) -> Any:
    """An event for one of the other three platforms, with up to three values replaced by anything."""
    event = load_event(draw(st.sampled_from(FILES_OF_OTHERS)))
    for _ in range(draw(st.integers(0, 3))):
        *path, last = draw(st.sampled_from(list(_places(event))))
        place = event
        for key in path:
            place = place[key]
        place[last] = draw(ANYTHING | st.sampled_from([*EVERY_PLATFORM, *ROUTES, "POST", "$default", "\ud800"]))
    return event


ROUTES = {
    "POST /api/token": "app",
    "POST /v1/{platform}/app-token": "app",
    "POST /v1/{platform}/management-token": "management",
}


@pytest.mark.threat("D14", "F6")
@pytest.mark.parametrize("access", MODES)
@settings(some, max_examples=80)
@given(event=bent_events())
def test_any_event_is_answered_below_500_and_its_token_matches_route_and_body(
    stacks: Mapping[str, Deployed], access: str, event: Any
) -> None:
    deployed = stacks[access]
    answer = deployed.answer(event)

    assert answer.status < 500
    if answer.token:
        kind = ROUTES[event["routeKey"]]
        platform = event["pathParameters"]["platform"] if "{platform}" in event["routeKey"] else "100ms"
        body = event.get("body") or ""
        asked = json.loads((base64.b64decode(body) if event.get("isBase64Encoded") else body) or "{}")
        if kind == "management" or access == "iam":
            assert event["requestContext"]["authorizer"]["iam"]["userArn"]
        elif access == "jwt" and platform != "agora-whiteboard":
            asked["user_id"] = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
        if event["routeKey"] == "POST /api/token":
            asked = {name: value for name, value in asked.items() if name in _fields("100ms", "app")}
        assert_says(deployed, platform, kind, asked, event)


# --- platforms are independent ---------------------------------------------------------------------------------------


def _statuses(deployed: Deployed) -> dict[tuple[str, str], tuple[int, str | None]]:
    """The answer of each platform to a valid request for each kind of token. Every token is its platform's own."""
    answers = {}
    for platform, kind in itertools.product(EVERY_PLATFORM, KINDS):
        answer = deployed.answer(asking(platform, kind))
        answers[platform, kind] = answer.status, answer.code
        if answer.token:
            read(platform, answer.token)
    return answers


def _secrets_read(deployed: Deployed) -> list[str]:
    """Return the platforms whose secrets were read, in order."""
    calls = [call.asked["SecretId"] for call in deployed.aws.calls if call.operation == GET_SECRET]
    assert all(secret_id.startswith(f"roomkey/{deployed.environment}/") for secret_id in calls)
    return [secret_id.rpartition("/")[2] for secret_id in calls]


MINTED = (200, None)
HEALTH = "health.json"


def test_a_secret_is_read_with_the_first_request_for_its_platform(deploy: Deploy) -> None:
    deployed, seen = deploy(platforms=EVERY_PLATFORM), []

    for platform in reversed(EVERY_PLATFORM):
        for kind in KINDS:
            minted(deployed.answer(asking(platform, kind)))
        seen.append(platform)
        assert _secrets_read(deployed) == seen

    assert set(_statuses(deployed).values()) == {MINTED}
    assert _secrets_read(deployed) == seen


@pytest.mark.threat("G8")
def test_a_platform_signs_with_its_own_secret_even_if_all_secrets_have_all_fields(deploy: Deploy) -> None:
    every_field = {name: value for secret in SECRETS.values() for name, value in secret.items()}
    secrets = {
        platform: {name: value[turn:] + value[:turn] for name, value in every_field.items()}
        for turn, platform in enumerate(EVERY_PLATFORM, start=1)
    }
    texts = {platform: json.dumps(secret) for platform, secret in secrets.items()}
    deployed = deploy(platforms=EVERY_PLATFORM, secrets=texts)

    for platform, kind in itertools.product(EVERY_PLATFORM, KINDS):
        token = minted(deployed.answer(asking(platform, kind)))

        read(platform, token, secrets)
        with pytest.raises(AssertionError):
            read(platform, token)


@pytest.mark.threat("F15")
@pytest.mark.parametrize(
    "served", [served for many in (1, 3) for served in itertools.combinations(EVERY_PLATFORM, many)], ids=",".join
)
def test_a_platform_that_the_stack_does_not_serve_is_not_there(deploy: Deploy, served: tuple[str, ...]) -> None:
    """Its secret exists, and is never read. The answer is that of an unknown platform, except for the request id."""
    deployed = deploy(platforms=EVERY_PLATFORM, PLATFORMS=",".join(served))

    assert deployed.answer(load_event(HEALTH)).body["platforms"] == list(served)
    assert _statuses(deployed) == {
        (platform, kind): MINTED if platform in served else (404, "not-found")
        for platform, kind in itertools.product(EVERY_PLATFORM, KINDS)
    }
    assert deployed.answer(load_event("api-token-json.json")).status == (200 if "100ms" in served else 404)
    assert sorted(_secrets_read(deployed)) == sorted(served)
    assert {line["platform"] for line in deployed.audit_lines()} == set(served)
    for platform in set(EVERY_PLATFORM) - set(served):
        for kind in KINDS:
            event, unknown = asking(platform, kind), asking(platform, kind)
            unknown["pathParameters"] = {"platform": "carrier-pigeon"}
            assert deployed.answer(event) == deployed.answer(unknown)


@every_platform
@pytest.mark.parametrize("served", [True, False], ids=["served", "not served"])
def test_another_method_is_405_only_on_a_known_route(deploy: Deploy, platform: str, served: bool) -> None:
    others = [name for name in EVERY_PLATFORM if name != platform]
    deployed = deploy(PLATFORMS=platform if served else ",".join(others))
    for kind in KINDS:
        event = load_event(f"{kind}-token-get.json")
        path = f"/v1/{platform}/{kind}-token"
        event["rawPath"] = event["requestContext"]["http"]["path"] = path

        answer = deployed.answer(event)

        assert (answer.status, answer.headers.get("allow")) == ((405, "POST") if served else (404, None))


SCOPES = [
    *KINDS,
    *EVERY_PLATFORM,
    *(f"{platform}/{kind}" for platform, kind in itertools.product(EVERY_PLATFORM, KINDS)),
    "agora/app,videosdk,agora-whiteboard/management",
]


@pytest.mark.threat("B1")
@pytest.mark.parametrize("flag", SCOPES)
def test_the_kill_switch_turns_off_only_its_scopes(deploy: Deploy, flag: str) -> None:
    deployed = deploy(platforms=EVERY_PLATFORM, flag=flag)
    off = {
        (platform, kind)
        for platform, kind in itertools.product(EVERY_PLATFORM, KINDS)
        if {platform, kind, f"{platform}/{kind}"} & set(flag.split(","))
    }

    statuses = _statuses(deployed)

    assert {token for token, status in statuses.items() if status == (403, "minting-disabled")} == off
    assert {token for token, status in statuses.items() if status == MINTED} == statuses.keys() - off
    assert set(_secrets_read(deployed)) == {platform for platform, _ in statuses.keys() - off}
    assert deployed.answer(load_event(HEALTH)).body["minting"] == "partly-off"


def test_health_is_off_only_when_all_that_the_stack_serves_is(deploy: Deploy) -> None:
    every_other = ",".join(EVERY_PLATFORM[1:])

    for served, minting in (("100ms", "on"), (every_other, "off"), (",".join(EVERY_PLATFORM), "partly-off")):
        health = deploy(flag=every_other, PLATFORMS=served).answer(load_event(HEALTH))
        assert health.body["minting"] == minting


BROKEN = {
    "missing": None,
    "cut-off": '{"app_access_key": "5f8d0a3c',
    "of-another": "",  # The test sets it.
    "empty": "{}",
}


@every_platform
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_secret_stops_its_own_platform_and_no_other(
    deploy: Deploy, capfd: pytest.CaptureFixture[str], platform: str, broken: str
) -> None:
    another = EVERY_PLATFORM[EVERY_PLATFORM.index(platform) - 1]
    text = SECRET_TEXTS[another] if broken == "of-another" else BROKEN[broken]
    deployed = deploy(platforms=EVERY_PLATFORM, secrets={platform: text})
    code = "credentials-unavailable" if text is None else "credentials-invalid"

    assert _statuses(deployed) == {
        (name, kind): (503, code) if name == platform else MINTED
        for name, kind in itertools.product(EVERY_PLATFORM, KINDS)
    }
    assert deployed.answer(load_event(HEALTH)).body["minting"] == "on"
    errors = [line for line in deployed.audit_lines() if line["decision"] == "error"]
    assert {(line["platform"], line["reason"]) for line in errors} == {(platform, code)}
    logged = [line for line in map(json.loads, capfd.readouterr().out.splitlines()) if line.get("message") == code]
    assert len(logged) == len(errors) == 2
    for line in logged:
        assert all(problem.startswith(f"{platform}.") for problem in line["problems"])
        assert bool(line["problems"]) == (text is not None)
        assert not [key for key in SIGNING_KEYS if key in json.dumps(line)]


# --- lifetimes, users, policy ----------------------------------------------------------------------------------------


@every_token
def test_a_stack_may_allow_lifetimes_above_a_day_except_on_agora(deploy: Deploy, platform: str, kind: str) -> None:
    lifetimes: dict[str, Any] = {
        "APP_TOKEN_LIFETIME": "172800",
        "MANAGEMENT_TOKEN_LIFETIME": "172800",
        "MAX_TOKEN_LIFETIME": "604800",
    }
    deployed = deploy(platforms=(platform,), **lifetimes)
    lifetime_limit = DAY if platform == "agora" else 604800

    assert deployed.answer(asking(platform, kind)).body["expires_in"] == min(172800, lifetime_limit)
    asked = {**(ASKS[platform] if kind == "app" else {}), "expires_in": lifetime_limit}
    assert_says(deployed, platform, kind, asked, request(platform, kind, json.dumps(asked)))
    answer = deployed.answer(asking(platform, kind, expires_in=lifetime_limit + 1))
    assert (answer.status, answer.faulty_fields) == (400, ["expires_in"])


@every_token
def test_a_stack_may_let_tokens_live_less(deploy: Deploy, platform: str, kind: str) -> None:
    deployed = deploy(platforms=(platform,), MAX_TOKEN_LIFETIME="600")

    assert deployed.answer(asking(platform, kind)).body["expires_in"] == 600
    answer = deployed.answer(asking(platform, kind, expires_in=601))
    assert (answer.status, answer.faulty_fields) == (400, ["expires_in"])


NO_USERS_OF_AGORA = {
    "google": "108204268033311374519",
    "everybody": "0",
    "everybody-too": "-00",
    "wraps-to-the-largest": "-1",
    "wraps-to-everybody": "4294967296",
    "auth0": "auth0|" + "5" * 250,
    "okta": "teacher'1",
    "azure": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ/",
    "not-ascii": "Zoë",
}


@pytest.mark.parametrize("sub", NO_USERS_OF_AGORA.values(), ids=NO_USERS_OF_AGORA)
def test_a_user_id_that_agora_refuses_gets_tokens_of_other_platforms(stacks: Mapping[str, Deployed], sub: str) -> None:
    deployed, calls = stacks["jwt"], len(stacks["jwt"].operations)
    body = {"room_id": "algebra-2", "role": "publisher"}

    refused = deployed.answer(request("agora", "app", json.dumps(body), "jwt", sub))

    assert (refused.status, refused.code) == (403, "not-allowed")
    assert len(deployed.operations) == calls
    for platform in ("100ms", "videosdk", "agora-whiteboard"):
        body = {"room_id": UUID_OF_A_ROOM, "role": ASKS[platform]["role"]}
        asked = body if platform == "agora-whiteboard" else {**body, "user_id": sub}
        assert_says(deployed, platform, "app", asked, request(platform, "app", json.dumps(body), "jwt", sub))


def test_a_signed_in_user_may_be_too_long_for_rtm_and_chat_alone(stacks: Mapping[str, Deployed]) -> None:
    sub, body = "x" * 65, {"room_id": "algebra-2", "role": "publisher"}

    for services, status in ((["rtc"], 200), (["rtc", "rtm"], 403), (["chat"], 403)):
        event = request("agora", "app", json.dumps({**body, "services": services}), "jwt", sub)
        assert stacks["jwt"].answer(event).status == status


@pytest.mark.parametrize(("claim", "status"), [("42", 200), ("teacher-1", 200), ("0", 403), (None, 403)])
def test_another_claim_can_be_the_user_id_on_agora(deploy: Deploy, claim: str | None, status: int) -> None:
    deployed = deploy("jwt", platforms=("agora",), USER_ID_CLAIM="agora_user")
    event = request("agora", "app", '{"room_id": "algebra-2", "role": "publisher"}', "jwt", "108204268033311374519")
    if claim:
        event["requestContext"]["authorizer"]["jwt"]["claims"]["agora_user"] = claim

    answer = deployed.answer(event)

    assert (answer.status, answer.body.get("user_id")) == (status, claim if status == 200 else None)


@pytest.mark.threat("F3")
@every_platform
@pytest.mark.parametrize("sub", ["teacher-1", "00042"])
def test_a_signed_in_user_gets_no_token_for_another(stacks: Mapping[str, Deployed], platform: str, sub: str) -> None:
    """Nor for another spelling of the same number. A whiteboard's token has no user, and neither has its request."""
    answer = stacks["jwt"].answer(asking(platform, "app", "jwt", sub, user_id="42"))

    if platform == "agora-whiteboard":
        assert (answer.status, answer.faulty_fields) == (400, ["user_id"])
    else:
        assert (answer.status, answer.code) == (403, "user-mismatch")


GRANTS: list[dict[str, Any]] = [
    {
        "who": ["anyone"],
        "kinds": ["app"],
        "platforms": ["agora"],
        "roles": ["subscriber"],
        "services": ["rtc", "chat"],
        "rooms": ["algebra-*"],
        "max_lifetime": 600,
    },
    {"who": ["anyone"], "kinds": ["app"], "platforms": ["videosdk"], "roles": ["participant"], "rooms": ["*"]},
    {"who": [{"principal": "*"}], "kinds": ["management"], "platforms": ["agora-whiteboard"], "roles": ["reader"]},
    {"who": [{"principal": "*"}], "kinds": ["management"], "platforms": ["agora"]},
]
RULES = [{"name": f"rule {number}", "roles": ["*"], **rule} for number, rule in enumerate(GRANTS)]


@pytest.mark.threat("F2")
@pytest.mark.parametrize(
    ("platform", "kind", "more", "allowed"),
    [
        ("agora", "app", {}, True),
        ("agora", "app", {"services": ["chat", "rtc"], "expires_in": 600}, True),
        ("agora", "app", {"services": ["rtc", "rtm"]}, False),
        ("agora", "app", {"services": ["rtm"]}, False),
        ("agora", "app", {"role": "publisher"}, False),
        ("agora", "app", {"services": ["chat"], "role": "publisher"}, False),
        ("agora", "app", {"services": ["chat"], "room_id": "staff"}, False),
        ("agora", "app", {"expires_in": 601}, False),
        ("agora", "management", {}, True),
        ("videosdk", "app", {"role": "participant"}, True),
        ("videosdk", "app", {"role": "moderator"}, False),
        ("videosdk", "management", {}, False),
        ("agora-whiteboard", "app", {}, False),
        ("agora-whiteboard", "management", {"role": "reader"}, True),
        ("agora-whiteboard", "management", {"role": "writer"}, False),
        ("agora-whiteboard", "management", {}, False),
        ("100ms", "app", {}, False),
        ("100ms", "management", {}, False),
    ],
    ids=str,
)
def test_the_policy_judges_every_platforms_words(
    policed: Deployed, platform: str, kind: str, more: Mapping[str, Any], allowed: bool
) -> None:
    """Also roles that are not in the token (Agora without RTC) or were not sent (a whiteboard's admin)."""
    answer = policed.answer(asking(platform, kind, **more))

    assert (answer.status, answer.code) == ((200, None) if allowed else (403, "not-allowed"))


@pytest.fixture(scope="module")
def policed(aws_for_all: Aws) -> Iterable[Deployed]:
    """Return a stack with the policy `RULES`."""
    policy = json.dumps({"version": 1, "mode": "enforce", "rules": RULES})
    with pytest.MonkeyPatch.context() as monkeypatch:
        aws_for_all.lead_here(monkeypatch)
        yield Deployed.on(aws_for_all, platforms=EVERY_PLATFORM, policy=policy)


@pytest.mark.threat("F4", "F15")
def test_a_room_of_another_tenant_is_refused_like_an_unknown_room(deploy: Deploy) -> None:
    """Equal to the byte, except for the request id: a refusal does not reveal which rooms exist."""
    policy = (POLICIES / "tenants.json").read_text()
    deployed = deploy("jwt", platforms=("agora",), policy=policy)

    def ask(room_id: str) -> Answer:
        event = asking("agora", "app", "jwt", "42", user_id="42", role="publisher", room_id=room_id)
        event["requestContext"]["authorizer"]["jwt"]["claims"]["org"] = "acme"
        return deployed.answer(event)

    assert minted(ask("tenant-acme-1"))
    refusals = [ask(room_id) for room_id in ("tenant-globex-1", "tenant-nobody-1", "user-43", "nowhere", "tenant-")]
    assert (refusals[0].status, refusals[0].code) == (403, "not-allowed")
    assert all(refusal == refusals[0] for refusal in refusals)


@pytest.mark.threat("F2")
@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [(["allow_join"], True), (["ask_join"], False), (["allow_mod", "allow_join"], False)],
    ids=str,
)
def test_permissions_are_judged_as_the_role_that_they_are(
    policed: Deployed, permissions: list[str], allowed: bool
) -> None:
    body = {"room_id": "bmej-gdmc-dchc", "user_id": "student-7", "permissions": permissions}

    assert policed.answer(request("videosdk", "app", json.dumps(body))).status == (200 if allowed else 403)


@pytest.mark.threat("C3")
@pytest.mark.parametrize("platform", ["100ms", "agora", "agora-whiteboard"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_two_tokens_are_the_same_though_they_say_the_same(
    stacks: Mapping[str, Deployed], platform: str, kind: str
) -> None:
    """VideoSDK's have no random part."""
    tokens = [minted(stacks["open"].answer(asking(platform, kind))) for _ in range(3)]

    assert len(set(tokens)) == 3
    assert len({json.dumps(read(platform, token).says) for token in tokens}) == 1


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Set the machine's time zone for a test."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.threat("C9", "G4")
@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Kolkata", "Pacific/Kiritimati"], indirect=True)
def test_the_machines_time_zone_changes_no_time(deploy: Deploy, zone: str) -> None:
    """Nor does an hour that a zone skips or repeats: in Los Angeles on 10 March and 3 November 2024."""
    deployed = deploy(platforms=EVERY_PLATFORM)
    assert time.timezone != 0, "this machine lacks the time zone, so the test proves nothing"

    for moment in ("2024-03-10T10:00:00.500Z", "2024-11-03T09:00:00.500Z", "2024-07-01T00:00:00.500Z"):
        deployed.clock.wall = datetime.fromisoformat(moment).timestamp()
        for platform, kind in itertools.product(EVERY_PLATFORM, KINDS):
            assert_says(deployed, platform, kind, ASKS[platform] if kind == "app" else {}, asking(platform, kind))
            assert deployed.audit_lines()[-1]["ts"] == moment
