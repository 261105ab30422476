"""`roomkey policy explain` and `policy test` compared with the endpoint's own answers."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from roomkey.invites import Invite, InviteKeys
from roomkey.platforms import PLATFORMS
from roomkey.policy import parse_policy
from roomkey_cli.policy import simulate
from support.commands import DEMO
from support.events import token_event
from support.invites import KEY_SECRET
from support.stack import NOW, Deploy, Deployed

CALLERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "open": ("anyone", {}),
    "jwt": ("user:7", {"jwt": {"claims": {"sub": "7"}}}),
    "iam": ("principal:arn:aws:iam::111122223333:user/ada", {"iam": {"userArn": "arn:aws:iam::111122223333:user/ada"}}),
}
"""The caller of a stack, by its access: as the column `as`, and as API Gateway passes it."""

LIVEKIT = {"kind": "app", "platform": "livekit", "room": "r", "role": "participant"}
AT_LIVEKITS_ENDPOINT = [
    LIVEKIT | {"as": who} | columns
    for who in ("caller", "invite")
    for columns in (
        {"sets": "metadata"},
        {"agent": "tutor"},
        {"agent": "x" * 128},
        {"agent": "x" * 129},
        {"agent": "\u200b"},
        {"agent": "a\x01"},
    )
]


def questions() -> Iterator[dict[str, str]]:
    """Yield one request for each platform, kind and caller, with and without a room and a lifetime."""
    for name, platform in PLATFORMS.items():
        kinds = [*platform.kinds, *(["invite"] if "app" in platform.kinds else [])]
        for kind, who, room, lifetime in itertools.product(kinds, ("caller", "invite"), (True, False), ("", "2000")):
            spec = platform.kinds[kind if kind != "invite" else "app"]  # type: ignore[index]
            columns = {"as": who, "kind": str(kind), "platform": name, "lifetime": lifetime}
            if spec.field("room_id") and room:
                columns["room"] = str(platform.example["room_id"])
            if spec.field("role"):
                columns["role"] = str(platform.example["role"])
            if spec.field("services"):
                columns["services"] = "video" if name == "twilio" else "rtc"
            yield columns


def simulated(policy: str, columns: Mapping[str, str], caller: str) -> bool:
    who = caller if columns["as"] == "caller" else "invite"
    try:
        question = simulate.parse_question({**columns, "as": who})
    except ValueError:
        return False
    return simulate.decide(parse_policy(policy), question).allowed


def answered(stack: Deployed, columns: Mapping[str, str], authorizer: Mapping[str, Any]) -> bool:
    """Return whether the endpoint grants the same request."""
    platform, kind = columns["platform"], columns["kind"]
    body: dict[str, Any] = {
        field: columns[name]
        for name, field in {"room": "room_id", "role": "role"}.items()
        if name in columns
    }  # fmt: skip
    if "services" in columns:
        body["services"] = [columns["services"]]
    if columns.get("lifetime"):
        body["expires_in"] = int(columns["lifetime"])
    if columns["as"] == "invite":
        if kind != "app":
            return False  # The function has no route on which a guest can request it.
        invite = Invite(
            platform, body.pop("room_id", None), body.pop("role", None), tuple(body.pop("services", ())),
            NOW + 600, "k3FhYz0qVbA1", None,
        )  # fmt: skip
        body["invite"] = InviteKeys.parse(KEY_SECRET).sign(invite, stack.environment)
        body |= {name: columns[name] for name in ("sets", "agent") if name in columns}
        return granted(stack, "POST /v1/invites/redeem", body, {})
    if kind == "invite":
        return granted(stack, "POST /v1/invites", {**body, "platform": platform}, authorizer)
    if "sets" in columns or "agent" in columns:
        body = {"room_name": body["room_id"], "participant_identity": "7", "participant_metadata": columns.get("sets")}
        body["room_config"] = {"agents": [{"agent_name": columns["agent"]}] if "agent" in columns else None}
        return granted(stack, "POST /v1/livekit/token", body, authorizer)
    if PLATFORMS[platform].kinds[kind].field("user_id") and authorizer.keys() != {"jwt"}:  # type: ignore[index]
        body["user_id"] = "7"
    return granted(stack, f"POST /v1/{{platform}}/{kind}-token", body, authorizer, platform)


def granted(
    stack: Deployed, route: str, body: Mapping[str, Any], authorizer: Mapping[str, Any], platform: str = "livekit"
) -> bool:
    event = {**token_event(platform, "app", body, authorizer=authorizer), "routeKey": route}
    answer = stack.answer(event)
    assert answer.status < 500, answer.body
    return answer.status in (200, 201)


@pytest.mark.parametrize("access", CALLERS)
@pytest.mark.parametrize("max_lifetime", [None, 60, 299, 2000])
def test_the_simulation_grants_what_the_endpoint_grants(deploy: Deploy, access: str, max_lifetime: int | None) -> None:
    rule = {
        "who": ["anyone", "invite"],
        "kinds": ["*"],
        "platforms": ["*"],
        "roles": ["*"],
        "services": ["*"],
        "rooms": ["*"],
        "may_set": ["metadata"],
        "agents": ["*"],
    }
    rule |= {} if max_lifetime is None else {"max_lifetime": max_lifetime}  # type: ignore[dict-item]
    policy = json.dumps({"version": 1, "mode": "enforce", "rules": [rule]})
    stack = deploy(access, platforms=tuple(PLATFORMS), policy=policy, secret=DEMO["100ms"], secrets=DEMO)
    stack.aws.put_secret(stack.environment, KEY_SECRET, "invites")
    caller, authorizer = CALLERS[access]

    asked = [*questions(), *AT_LIVEKITS_ENDPOINT]
    decisions = [(simulated(policy, one, caller), answered(stack, one, authorizer)) for one in asked]

    assert [(*one.values(), pair) for one, pair in zip(asked, decisions, strict=True) if len({*pair}) == 2] == []
    assert {theirs for _, theirs in decisions} == {True, False}
