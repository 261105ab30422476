"""TURN: known answers that a coturn accepted (turn.json), and credentials that it refused."""

import base64
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import InvalidRequest
from roomkey.platforms import platform
from roomkey.platforms.base import Signature, TokenKind
from roomkey.platforms.credentials import InvalidCredentials
from roomkey.token_requests import parse
from support.known_answers import LIFETIMES, explained, minted, vectors

TURN = platform("turn")
KNOWN = vectors("turn")
URLS = ["turn:turn.example.com:3478?transport=udp", "turns:[2001:db8::1]:5349?transport=tcp", "stun:turn.example.com"]
SECRET = {"static_auth_secret": "MadeUp0Secret1For2The3Tests4Of5Turn6", "urls": URLS}
NOW = 1_800_000_000

LEFT_OUT = {"turn-no_user-01": "credentials are always for a user"}


def secret_of(vector: Any) -> dict[str, Any]:
    return {name: vector["inputs"][name] for name in SECRET}


@pytest.mark.parametrize("name", sorted(KNOWN.keys() - LEFT_OUT.keys()))
def test_known_answers_to_the_letter(name: str) -> None:
    vector = KNOWN[name]
    body = {"user_id": vector["inputs"]["user_id"], "expires_in": vector["inputs"]["ttl"]}
    minted_token = minted(TURN, secret_of(vector), body, at=vector["inputs"]["now"] + 0.5)
    assert minted_token.response_members == {"ice_servers": vector["expect"]["ice_servers"]}
    assert minted_token.connect == {"urls": vector["inputs"]["urls"]}


@pytest.mark.parametrize("name", KNOWN)
def test_good_credentials_are_understood(name: str) -> None:
    vector = KNOWN[name]
    token = f"{vector['expect']['username']}:{vector['expect']['credential']}"
    report = explained(TURN, token, TURN.check_credentials(secret_of(vector)), vector["inputs"]["now"])
    assert (report.problems, report.signature) == ((), Signature.VALID)
    assert (report.content.user_id, bool(report.warnings)) == (vector["inputs"]["user_id"], name in LEFT_OUT)


@pytest.mark.parametrize(
    ("user", "at", "secret", "reason"),
    [
        ("ada", NOW + 600, "MadeUp0Secret1For2The3Tests4Of5Turn6", "expired"),
        ("ada", NOW, "Another0Secret1For2The3Tests4Of5Turn6", "credential"),
        ("ada lovelace", NOW, "MadeUp0Secret1For2The3Tests4Of5Turn6", "characters"),
        ("h\u00f4te", NOW, "MadeUp0Secret1For2The3Tests4Of5Turn6", "characters"),
    ],
)
def test_bad_credentials_are_refused_for_the_right_reason(user: str, at: float, secret: str, reason: str) -> None:
    username = f"{NOW + 600}:{user}"
    credential = base64.b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode()
    report = explained(TURN, f"{username}:{credential}", TURN.check_credentials(SECRET), at)
    assert [reason in problem for problem in report.problems] == [True]


@pytest.mark.parametrize("user", ["ada lovelace", "it's", 'say "hi"', "back\\slash", "h\u00f4te", "a\u00a0b"])
def test_users_that_coturn_refuses_are_hashed(user: str) -> None:
    minted_token = minted(TURN, SECRET, {"user_id": user}, at=NOW)
    expiry, name, _ = minted_token.token.split(":")
    assert (expiry, len(name), name.isalnum()) == (str(NOW + 4 * 3600), 32, True)
    assert minted_token.grant.user_id == user
    assert name == minted(TURN, SECRET, {"user_id": user}, at=NOW + 9).token.split(":")[1]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"room_id": "r"}, "room_id"), ({"role": "host"}, "role"), ({"expires_in": 86401}, "expires_in")],
)
def test_requests_that_cannot_work_are_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(TURN, TokenKind.APP, body, lifetimes=LIFETIMES)
    assert [error.field for error in refused.value.errors] == [field]


@pytest.mark.parametrize("urls", [None, [], "turn:a.example.com", ["https://a.example.com"], ["turn:a b"], [7]])
def test_urls_must_be_a_list_of_turn_addresses(urls: Any) -> None:
    with pytest.raises(InvalidCredentials, match=r"^urls: "):
        TURN.check_credentials(SECRET | {"urls": urls})


@given(st.text())
def test_any_text_is_refused_or_no_credentials_at_all(text: str) -> None:
    report = TURN.explain(text, TURN.check_credentials(SECRET), NOW)
    assert report is None or report.problems
