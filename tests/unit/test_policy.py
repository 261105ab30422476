"""Who may have which token: the rules' decisions, cell by cell, and what a policy may say."""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from roomkey.callers import Caller, normalised_principal
from roomkey.errors import InvalidRequest
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.policy import SERVICES, Decision, Mode, Pattern, Policy, PolicyProblems
from roomkey.settings import Access, Lives
from roomkey.token_requests import TokenRequest, parse

APP, MANAGEMENT = TokenKind.APP, TokenKind.MANAGEMENT
DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "policy.schema.json").read_text())
SCHEMA_JUDGE = Draft202012Validator(SCHEMA)
LIVES = Lives(default={APP: 3600, MANAGEMENT: 900}, longest=90 * 86400)

ROLE = "arn:aws:iam::111122223333:role/"
UUID = "0123456789abcdef0123456789abcdef"


def rule(**fields: Any) -> dict[str, Any]:
    """A rule that grants everything to anyone, but for `fields`; those that are `...` are left out."""
    everything = {
        "who": ["anyone"],
        "kinds": ["app"],
        "platforms": ["*"],
        "roles": ["*"],
        "services": ["*"],
        "rooms": ["*"],
    }
    return {name: value for name, value in {**everything, **fields}.items() if value is not ...}


def document(*rules: Any, **fields: Any) -> dict[str, Any]:
    """A policy of these rules."""
    whole = {"version": 1, "mode": "enforce", "rules": list(rules), **fields}
    return {name: value for name, value in whole.items() if value is not ...}


def policy(*rules: Any, **fields: Any) -> Policy:
    return Policy.parse(json.dumps(document(*rules, **fields)))


def user(name: str = "ada", *groups: str, **claims: str) -> Caller:
    return Caller(Access.JWT, user_id=name, groups=groups, claims=claims)


def principal(arn: str) -> Caller:
    return Caller(Access.IAM, principal=normalised_principal(arn))


def ask(platform: str, kind: TokenKind = APP, **body: Any) -> TokenRequest:
    """The request as the endpoint would know it. Raises `InvalidRequest` where it would refuse it as one."""
    return parse(PLATFORMS[platform], kind, body, lives=LIVES, signed_in=True)


ANYONE = Caller(Access.OPEN)


# --- an oracle -----------------------------------------------------------------------------------------------------
# It reads the document itself, by other means: what it shares with the code is the meaning of a policy, and no line.


def fits(pattern: str, value: str, caller: Caller) -> bool:
    expression = ""
    for piece in re.split(r"(\{[^{}]*\}|\*)", pattern):
        if piece == "*":
            expression += r"[\s\S]*"
        elif piece.startswith("{"):
            text = caller.user_id if piece == "{sub}" else caller.claims.get(piece[len("{claim:") : -1])
            if text is None or text == "" or "*" in text:
                return False
            expression += re.escape(text)
        else:
            expression += re.escape(piece)
    return re.fullmatch(expression, value) is not None


def is_for(subject: Any, caller: Caller) -> bool:
    if isinstance(subject, str):
        return subject == "anyone" or caller != ANYONE
    if "group" in subject:
        return subject["group"] in caller.groups
    value = caller.user_id if "user" in subject else caller.principal
    return value is not None and any(fits(pattern, value, caller) for pattern in subject.values())


def expected(whole: Mapping[str, Any], request: TokenRequest, caller: Caller) -> tuple[bool, set[str | None], Any]:
    """Whether it is allowed, the names of the rules that may be said to have decided, and the longest life."""
    granting: dict[str, float] = {}
    for index, one in enumerate(whole["rules"]):
        words = {name: one.get(name, []) for name in ("kinds", "platforms", "services", "roles", "rooms")}
        wanted = [("kinds", request.kind), ("platforms", request.platform.name)]
        wanted += [("services", service) for service in request.services]
        named = all(word in words[name] or words[name] == ["*"] for name, word in wanted)
        role = request.role is None or any(fits(pattern, request.role, caller) for pattern in words["roles"])
        room = request.room_id is None or any(fits(pattern, request.room_id, caller) for pattern in words["rooms"])
        if named and role and room and any(is_for(subject, caller) for subject in one["who"]):
            granting[one.get("name", f"rules[{index}]")] = one.get("longest_life", float("inf"))
    if not granting:
        return False, {None}, None
    longest = max(granting.values())
    names: set[str | None] = {name for name, life in granting.items() if life == longest}
    return (request.expires_in or 0) <= longest, names, None if longest == float("inf") else longest


def as_expected(whole: Mapping[str, Any], compiled: Policy, request: TokenRequest, caller: Caller) -> bool:
    decision = compiled.decide(request, caller)
    allowed, names, longest = expected(whole, request, caller)
    return decision.allowed is allowed and decision.rule in names and decision.longest_life == longest


# --- the matrix ------------------------------------------------------------------------------------------------------

CALLERS = {
    "anyone": ANYONE,
    "ada": user("ada"),
    "ada of acme": user("ada", "teachers", org="acme"),
    "bob of globex": user("bob", "students", "teachers", org="globex"),
    "in both groups": user("stu", "students", "staff"),
    "in a group of nearly the name": user("x", "teacher", "teachers2", "Teachers", "*"),
    "a hostile claim": user("*", org="*"),
    "a claim with braces": user("{sub}", org="{sub}"),
    "an empty claim": user("a.c", org=""),
    "the backend": principal(ROLE + "backend"),
    "the backend's session": principal("arn:aws:sts::111122223333:assumed-role/backend/i-0abc"),
    "another role": principal(ROLE + "backend2"),
    "another account": principal("arn:aws:iam::444455556666:role/backend"),
    "an IAM user": principal("arn:aws:iam::111122223333:user/backend"),
}
ROOMS = {
    "agora-whiteboard": (UUID, UUID.replace("0", "f")),
    **dict.fromkeys(
        ("100ms", "videosdk", "agora"),
        ("class-1", "Class-1", "class-", "tenant-acme-1", "tenant-globex-1", "tenant--1", "user-ada", "user-abc", "x"),
    ),
}
ROLES = {
    "100ms": ("host", "guest", "Host", "ghost"),
    "videosdk": ("guest", "participant", "moderator"),
    "agora": ("publisher", "subscriber"),
    "agora-whiteboard": ("admin", "writer", "reader"),
}
SERVICES_ASKED = (None, ["rtm"], ["rtc", "rtm"], ["chat", "rtc"])
LIVES_ASKED = (None, 60, 600, 601, 3600, 3601, 86400)

MATRIX = document(
    rule(name="teachers", who=[{"group": "teachers"}], platforms=["100ms", "videosdk"], roles=["host", "moderator"]),
    rule(name="guests", who=["signed-in"], platforms=["100ms"], roles=["g*st"], rooms=["class-*"], longest_life=600),
    rule(name="tenants", who=["signed-in"], rooms=["tenant-{claim:org}-*"], services=["rtc", "rtm"], longest_life=3600),
    rule(name="own room", who=[{"user": "a*"}], rooms=["user-{sub}"], services=["rtc"], roles=["*"]),
    rule(name="boards", who=["anyone"], platforms=["agora-whiteboard"], roles=["reader"], services=..., longest_life=60),
    rule(who=[{"group": "staff"}, {"group": "teachers"}], platforms=["agora"], services=["rtm"], rooms=["*-*"]),
    rule(name="the app", who=[{"principal": ROLE + "backend"}], platforms=["videosdk", "agora"], services=["*"]),
    rule(
        name="management",
        who=[{"principal": "arn:aws:iam::111122223333:*"}],
        kinds=["management"],
        platforms=["100ms", "agora-whiteboard"],
        roles=["writer", "reader"],
        services=...,
        rooms=...,
        longest_life=600,
    ),
    rule(who=[{"principal": ROLE + "*"}], kinds=["*"], platforms=["agora"], roles=..., services=..., longest_life=3600),
    rule(who=["signed-in"], kinds=["management"], platforms=["videosdk"], roles=..., services=..., rooms=...),
    rule(name="everything of nothing", who=["anyone"], roles=..., services=..., rooms=...),
)


@cache
def cells(platform: str, kind: TokenKind) -> list[TokenRequest]:
    """Every request of this kind that the platform takes."""
    bodies: list[dict[str, Any]] = []
    if kind is APP:
        for room, role in product(ROOMS[platform], ROLES[platform]):
            for services in SERVICES_ASKED if platform == "agora" else (None,):
                bodies.append({"room_id": room, "role": role, "services": services})
    else:
        bodies += [{"role": role} for role in (None, *ROLES[platform])] if platform == "agora-whiteboard" else [{}]
    sent = [
        {name: value for name, value in {**body, "expires_in": life}.items() if value is not None}
        for body, life in product(bodies, LIVES_ASKED)
    ]
    return [ask(platform, kind, **body) for body in sent]


every_row = pytest.mark.parametrize(("platform", "kind"), list(product(PLATFORMS, TokenKind)))


@every_row
@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_every_cell_of_caller_kind_platform_role_room_and_life_is_decided_as_it_should(
    caller: Caller, platform: str, kind: TokenKind
) -> None:
    compiled = policy(*MATRIX["rules"])

    wrong = [request for request in cells(platform, kind) if not as_expected(MATRIX, compiled, request, caller)]

    assert wrong == []


def test_the_matrix_is_worth_its_name() -> None:
    """Each rule but the one that can grant nothing decides something; each caller is allowed some and refused some."""
    compiled = policy(*MATRIX["rules"])
    asked = [request for row in product(PLATFORMS, TokenKind) for request in cells(*row)]
    decisions = {name: [compiled.decide(request, caller) for request in asked] for name, caller in CALLERS.items()}

    deciding = {decision.rule for row in decisions.values() for decision in row}
    allowed = {name: sum(decision.allowed for decision in row) for name, row in decisions.items()}
    too_long = sum(not decision.allowed and decision.rule is not None for row in decisions.values() for decision in row)

    names = {one.name for one in compiled.rules}
    assert deciding == names - {"everything of nothing"} | {None}
    assert all(0 < number < len(asked) for number in allowed.values())
    assert too_long > 100


# --- the worked policies, by hand ------------------------------------------------------------------------------------


def worked(name: str) -> Policy:
    return Policy.parse((DOCS / "policies" / f"{name}.json").read_text())


PEOPLE = {
    "anyone": ANYONE,
    "tess": user("tess", "teachers"),
    "stu": user("stu", "staff", "students"),
    "ned": user("ned", "Teachers", org="x"),
    "ada": user("ada", org="acme"),
    "bob": user("bob", org="globex"),
    "sue": user("sue", "support", org="roomkey"),
    "classroom": principal("arn:aws:sts::111122223333:assumed-role/classroom-backend/i-0abc"),
    "tenants": principal(ROLE + "tenants-api"),
}
NAMED = ("class-7b", "staff-1", "tenant-acme-1", "tenant-globex-1", "user-ada", "user-bob", "lobby")
BOARDS = (UUID, UUID.replace("0", "f"))
ROLES_ASKED = {**ROLES, "100ms": ("host", "guest", "broadcaster", "*")}
SERVICES_OF_AGORA = (("rtc",), ("rtm",), ("rtc", "rtm"), ("rtc", "chat"))

type Asked = tuple[str, str, TokenKind, str | None, str | None, tuple[str, ...]]
"""Who, platform, kind, role, room, services."""

type By = tuple[str, int | None]
"""The rule that grants it, and for how long at most."""


def joins(
    who: str,
    platform: str,
    roles: tuple[str, ...],
    rooms: tuple[str, ...],
    services: tuple[tuple[str, ...], ...] = ((),),
    *,
    by: By,
) -> dict[Asked, By]:
    """What these people, their names with a space between them, may have app tokens for."""
    return {(name, platform, APP, *rest): by for name, *rest in product(who.split(), roles, rooms, services)}


def manages(who: str, platforms: tuple[str, ...], roles: tuple[str, ...], *, by: By) -> dict[Asked, By]:
    """What these people may have management tokens for."""
    return {
        (name, platform, MANAGEMENT, role, None, ()): by
        for name, platform in product(who.split(), platforms)
        for role in (roles if platform == "agora-whiteboard" else (None,))
    }


ALL = " ".join(PEOPLE)
OPEN: By = ("anyone joins anything", None)
GRANTED: dict[str, dict[Asked, By]] = {
    "open": {
        **joins(ALL, "100ms", ("host", "guest", "broadcaster", "*"), NAMED + BOARDS, by=OPEN),
        **joins(ALL, "videosdk", ("guest", "participant", "moderator"), NAMED + BOARDS, by=OPEN),
        **joins(ALL, "agora", ("publisher", "subscriber"), NAMED + BOARDS, SERVICES_OF_AGORA, by=OPEN),
        **joins(ALL, "agora-whiteboard", ("admin", "writer", "reader"), BOARDS, by=OPEN),
        **manages("classroom tenants", tuple(PLATFORMS), ROLES["agora-whiteboard"], by=("any backend manages", None)),
    },
    "classroom": {
        **joins("tess", "100ms", ("host", "guest"), NAMED + BOARDS, by=("teachers host on 100ms", 14400)),
        **joins(
            "tess",
            "videosdk",
            ("moderator", "participant"),
            NAMED + BOARDS,
            by=("teachers moderate on VideoSDK", 14400),
        ),
        **joins(
            "tess",
            "agora",
            ("publisher", "subscriber"),
            ("class-7b", "staff-1"),
            (("rtc",), ("rtm",), ("rtc", "rtm")),
            by=("teachers publish on Agora", 14400),
        ),
        **joins("tess", "agora-whiteboard", ("writer", "reader"), BOARDS, by=("teachers write on whiteboards", 14400)),
        **joins("stu", "100ms", ("guest",), NAMED + BOARDS, by=("students are guests on 100ms", 7200)),
        **joins("stu", "videosdk", ("participant",), NAMED + BOARDS, by=("students take part on VideoSDK", 7200)),
        **joins("stu", "agora", ("subscriber",), ("class-7b",), (("rtc",),), by=("students watch on Agora", 7200)),
        **joins("stu", "agora-whiteboard", ("reader",), BOARDS, by=("students read whiteboards", 7200)),
        **manages("classroom", tuple(PLATFORMS), ("admin",), by=("the backend manages", 900)),
    },
    "tenants": {
        **joins(
            "ada",
            "agora",
            ("publisher", "subscriber"),
            ("tenant-acme-1",),
            (("rtc",),),
            by=("members join their tenant's rooms", 7200),
        ),
        **joins(
            "bob",
            "agora",
            ("publisher", "subscriber"),
            ("tenant-globex-1",),
            (("rtc",),),
            by=("members join their tenant's rooms", 7200),
        ),
        **joins("ada", "agora", ("publisher",), ("user-ada",), (("rtc",),), by=("users have a room of their own", 3600)),
        **joins("bob", "agora", ("publisher",), ("user-bob",), (("rtc",),), by=("users have a room of their own", 3600)),
        **joins(
            "sue",
            "agora",
            ("subscriber",),
            ("tenant-acme-1", "tenant-globex-1"),
            (("rtc",),),
            by=("support watches", 900),
        ),
        **manages("tenants", ("agora",), (), by=("the backend manages", 900)),
    },
}
"""All that a worked policy grants of what is asked here. The rest is refused."""


@cache
def everything_asked() -> dict[Asked, TokenRequest]:
    """Every request that a platform takes, of these people, roles, rooms and services."""
    asked: dict[Asked, TokenRequest] = {}
    for who, platform, kind in product(PEOPLE, PLATFORMS, TokenKind):
        app = kind is APP
        roles = ROLES_ASKED[platform] if app or platform == "agora-whiteboard" else (None,)
        rooms = NAMED + BOARDS if app else (None,)
        for role, room, services in product(roles, rooms, SERVICES_OF_AGORA if app and platform == "agora" else ((),)):
            body = {"role": role, "room_id": room, "services": list(services)}
            try:
                request = ask(platform, kind, **{name: value for name, value in body.items() if value})
            except InvalidRequest:
                continue
            asked[who, platform, kind, role, room, services] = request
    return asked


@pytest.mark.parametrize("name", GRANTED)
def test_a_worked_policy_grants_what_is_written_here_and_nothing_else(name: str) -> None:
    compiled, granted = Policy.parse((DOCS / "policies" / f"{name}.json").read_text()), GRANTED[name]
    assert granted.keys() <= everything_asked().keys()

    for asked, request in everything_asked().items():
        caller, by = PEOPLE[asked[0]], granted.get(asked)
        decision = compiled.decide(request, caller)
        if by is None:
            assert decision == Decision(False, None, None), asked
            continue
        assert decision == Decision(True, *by), asked
        if (longest := by[1]) is not None:
            assert compiled.decide(replace(request, expires_in=longest), caller) == Decision(True, *by)
            assert compiled.decide(replace(request, expires_in=longest + 1), caller) == Decision(False, *by)
