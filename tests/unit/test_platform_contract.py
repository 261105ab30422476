"""The contract of every platform in the registry. A platform's own tests cover its claims, errors and known answers."""

import base64
import itertools
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import InternalError, InvalidRequest
from roomkey.limits import MIN_LIFETIME
from roomkey.minting import MintedToken, mint
from roomkey.platforms import _REGISTRY, DEFAULT_PLATFORMS, PLATFORM_NAMES, PLATFORMS, SERVICES, platform
from roomkey.platforms.base import Platform, Randomness, Signature, TokenContent, TokenKind, TokenReport
from roomkey.platforms.credentials import Credentials, InvalidCredentials
from roomkey.platforms.fields import DISPLAY_FIELDS, GUEST_PREFIX
from roomkey.settings import DEFAULT_LIFETIMES, LifetimeLimits
from roomkey.token_requests import TokenRequest, lifetime_bounds, parse
from roomkey_cli import credential_file
from roomkey_cli.tokens.minimal_request import minimal_request

NOW = 1_800_000_000
DEMO = credential_file.demo()
WIDE = LifetimeLimits(default=DEFAULT_LIFETIMES.default, longest=90 * 86400)
"""The widest limits that a stack can have."""

ID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"

every_platform = pytest.mark.parametrize("name", PLATFORM_NAMES)
every_token = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in PLATFORM_NAMES for kind in PLATFORMS[name].kinds]
)


def keys_of(name: str) -> Credentials:
    return PLATFORMS[name].check_credentials(DEMO[name])


def others_of(name: str) -> Credentials:
    """Return credentials of the same form with another signing key."""
    signing = {field.name for field in PLATFORMS[name].credential_fields if field.signs}
    changed = {key: str(value)[::-1] if key in signing else value for key, value in keys_of(name).values.items()}
    return Credentials(changed)


def request_of(name: str, kind: TokenKind, **more: Any) -> TokenRequest:
    return parse(PLATFORMS[name], kind, {**minimal_request(PLATFORMS[name], kind), **more}, lifetimes=WIDE)


def minted(
    name: str, kind: TokenKind, lifetime: int = 600, at: float = NOW + 0.5, randomness: Randomness | None = None
) -> MintedToken:
    lifetime = max(lifetime, lifetime_bounds(PLATFORMS[name], kind, WIDE).minimum)
    request = request_of(name, kind, expires_in=lifetime)
    return mint(request, lifetime, keys_of(name), at=at, randomness=randomness or Randomness())


def explained(vendor: Platform, token: str, credentials: Credentials | None, at: float = NOW + 1) -> TokenReport:
    report = vendor.explain(token, credentials, at)
    assert report is not None
    return report


@every_token
def test_no_id_of_a_platform_is_the_text_of_a_missing_value(name: str, kind: TokenKind) -> None:
    ids = [field for field in PLATFORMS[name].kinds[kind].fields if field.maps_to_field in ("room_id", "user_id")]
    for field, word in itertools.product(ids, ("undefined", "null", "[object Object]", "<nil>", "None")):
        for text in {word, *((word.lower(), word.upper(), word.title()) if word != "None" else ())}:
            for value in (text, f"default:{text}"):
                with pytest.raises(InvalidRequest):
                    request_of(name, kind, **{field.name: value})


@pytest.mark.parametrize("room", ["UNDEFINED", "NIL", "\u0130" * 150])
def test_a_folded_room_is_checked_after_folding(room: str) -> None:
    assert PLATFORMS["jitsi"].fold_room_case
    with pytest.raises(InvalidRequest):
        request_of("jitsi", TokenKind.APP, room_id=room)


@pytest.mark.parametrize("name", [name for name in PLATFORM_NAMES if PLATFORMS[name].binds_user(TokenKind.APP)])
def test_a_guest_keeps_the_prefix_in_every_token(name: str) -> None:
    for rest in (Randomness().guest(), "x" * 40):
        request = request_of(name, TokenKind.APP, user_id=GUEST_PREFIX + rest)
        token = mint(request, 3600, keys_of(name), at=NOW, randomness=Randomness())
        shown = str(explained(PLATFORMS[name], token.token, keys_of(name)).content.user_id)
        assert shown.startswith(GUEST_PREFIX)
        assert len(rest) == 40 or shown == GUEST_PREFIX + rest


# --- declarations --------------------------------------------------------------------------------------------------


@every_platform
def test_a_platform_matches_its_registry_entry(name: str) -> None:
    vendor = PLATFORMS[name]
    assert vendor.name == name
    assert vendor is platform(name)
    assert vendor.title
    assert vendor.services == _REGISTRY[name].services
    assert set(vendor.services) <= set(SERVICES)
    assert TokenKind.APP in vendor.kinds
    assert (vendor.auth_header is not None) == (TokenKind.MANAGEMENT in vendor.kinds)
    assert not vendor.recognizing_claims or min(map(len, vendor.recognizing_claims)) >= 2


@every_token
def test_fields_lead_to_a_request_and_a_grant(name: str, kind: TokenKind) -> None:
    spec = PLATFORMS[name].kinds[kind]
    assert {field.maps_to_field for field in spec.fields} <= set(TokenRequest._fields) - {"platform", "kind"}
    names = [field.name for field in spec.fields]
    assert len(set(names)) == len(names)
    assert "expires_in" not in names
    if kind is TokenKind.MANAGEMENT:
        assert not {"user_id", *DISPLAY_FIELDS} & set(names)
    minimum, default, maximum = lifetime_bounds(PLATFORMS[name], kind, WIDE)
    assert MIN_LIFETIME <= minimum <= default <= maximum


@every_platform
def test_credential_fields_are_complete(name: str) -> None:
    fields = {field.name: field for field in PLATFORMS[name].credential_fields}
    assert sum(field.signs for field in fields.values()) == 1
    assert set(PLATFORMS[name].public_fields) <= fields.keys()
    assert not any(fields[public].signs for public in PLATFORMS[name].public_fields)


def test_a_stack_imports_only_what_it_serves() -> None:
    code = (
        "import sys; from roomkey.platforms import platform, PLATFORM_NAMES; platform('agora');"
        "print(*(m for m in sys.modules if m.startswith('roomkey.platforms.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unused = {f"roomkey.platforms.{entry.module}" for name, entry in _REGISTRY.items() if name != "agora"}
    assert "roomkey.platforms.agora" in loaded
    assert not unused & set(loaded)
    assert "roomkey.platforms.hs256" not in loaded


def test_a_new_platform_is_off_by_default() -> None:
    assert DEFAULT_PLATFORMS == ("100ms", "videosdk", "agora", "agora-whiteboard")


# --- credentials ---------------------------------------------------------------------------------------------------


@every_platform
def test_credentials_are_checked_and_hidden(name: str) -> None:
    vendor, secret = PLATFORMS[name], DEMO[name]
    credentials = vendor.parse_secret(json.dumps({**secret, "note": "ignored"}))
    assert credentials == keys_of(name)
    assert not any(str(value) in repr(credentials) for value in secret.values())
    for field in vendor.credential_fields:
        if field.required:
            without = {key: value for key, value in secret.items() if key != field.name}
            assert problems_of(vendor, without) == (f"{field.name}: is missing",)
            value = secret[field.name]
            quoted = [f'"{value[0]}"'] if isinstance(value, list) else f'"{value}"'
            assert problems_of(vendor, {**secret, field.name: quoted}) == (f"{field.name}: is wrapped in quotes",)


def problems_of(vendor: Platform, secret: dict[str, object]) -> tuple[str, ...]:
    with pytest.raises(InvalidCredentials) as caught:
        vendor.check_credentials(secret)
    return caught.value.problems


# --- minting and explaining ----------------------------------------------------------------------------------------


@every_token
def test_the_shortest_and_the_longest_lifetime_are_minted(name: str, kind: TokenKind) -> None:
    bounds = lifetime_bounds(PLATFORMS[name], kind, WIDE)
    for lifetime in (bounds.minimum, bounds.default, bounds.maximum):
        token = minted(name, kind, lifetime)
        assert (token.expires_in, token.grant.expires_at) == (lifetime, NOW + lifetime)
    for lifetime in (bounds.minimum - 1, bounds.maximum + 1):
        with pytest.raises(InvalidRequest):
            request_of(name, kind, expires_in=lifetime)


@every_token
def test_a_token_is_read_back_as_it_was_granted(name: str, kind: TokenKind) -> None:
    vendor, token = PLATFORMS[name], minted(name, kind)
    report = explained(vendor, token.token, keys_of(name))
    assert report.content == TokenContent(*vendor.expressible(token.grant))
    assert (report.signature, report.problems, report.warnings) == (Signature.VALID, (), ())
    assert (report.platform, report.complete) == (name, True)
    json.dumps(report.claims)

    assert explained(vendor, token.token, None).signature is Signature.UNCHECKED
    other = explained(vendor, token.token, others_of(name))
    assert other.signature is Signature.INVALID
    assert any("signature" in problem or "credential" in problem for problem in other.problems)


@every_token
def test_an_expired_token_keeps_its_content(name: str, kind: TokenKind) -> None:
    token = minted(name, kind)
    good = explained(PLATFORMS[name], token.token, keys_of(name))
    late = explained(PLATFORMS[name], token.token, keys_of(name), at=token.grant.expires_at + 1)
    assert late._replace(problems=()) == good
    assert any(problem.startswith("expired ") for problem in late.problems)


@every_token
def test_a_token_belongs_to_one_platform(name: str, kind: TokenKind) -> None:
    token = minted(name, kind).token
    assert [other for other in PLATFORMS if PLATFORMS[other].explain(token, None, NOW)] == [name]


@every_token
def test_a_response_contains_the_token_and_what_a_client_needs(name: str, kind: TokenKind) -> None:
    vendor, token = PLATFORMS[name], minted(name, kind)
    assert vendor.token_in(token.response_members) == token.token
    assert token.connect == keys_of(name).public(vendor.public_fields)
    assert token.token not in repr(token)
    json.dumps([token.response_members, token.connect])
    if vendor.renew_before is None:
        assert token.renew_in is None
    else:
        assert token.renew_in == max(token.expires_in - vendor.renew_before, token.expires_in // 2)
        assert token.expires_in / 2 - 1 < token.renew_in < token.expires_in


@every_token
def test_two_tokens_for_one_request_differ(name: str, kind: TokenKind) -> None:
    first, second = minted(name, kind), minted(name, kind, at=NOW + 1.5)
    assert first.token != second.token


@every_token
def test_a_token_that_differs_from_its_grant_is_never_returned(
    name: str, kind: TokenKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = PLATFORMS[name]
    other = minted(name, kind, lifetime=700).token
    monkeypatch.setattr(type(vendor), "token", lambda *_: other)
    with pytest.raises(InternalError):
        minted(name, kind, lifetime=650 if lifetime_bounds(vendor, kind, WIDE).minimum < 650 else 2000)


# --- any text ------------------------------------------------------------------------------------------------------


@every_token
@given(data=st.data())
def test_a_damaged_token_is_never_another_good_one(name: str, kind: TokenKind, data: st.DataObject) -> None:
    token = minted(name, kind, randomness=Randomness(uuid=lambda: ID, salt=lambda: 1)).token
    position = data.draw(st.integers(0, len(token) - 1))
    inserted = data.draw(st.sampled_from(["", "A", "b", "_", ".", "\n", "\u00e9"]))
    damaged = token[:position] + inserted + token[position + 1 :]
    report = PLATFORMS[name].explain(damaged, keys_of(name), NOW + 1)
    # zlib has several forms of one content.
    assert report is None or report.problems or report == explained(PLATFORMS[name], token, keys_of(name))


@every_platform
@given(text=st.text() | st.from_regex(r"[\w=-]{0,20}\.[\w=-]{0,40}\.[\w=-]{0,45}", fullmatch=True))
def test_explaining_never_fails(name: str, text: str) -> None:
    PLATFORMS[name].explain(text, keys_of(name), NOW)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", [name for name in PLATFORM_NAMES if PLATFORMS[name].recognizing_claims])
@given(data=st.data())
def test_explaining_never_fails_for_any_claims(name: str, data: st.DataObject) -> None:
    vendor = PLATFORMS[name]
    known = explained(vendor, minted(name, TokenKind.APP).token, None).claims
    claims = {key: data.draw(_JSON | st.just(value)) for key, value in known.items() if data.draw(st.booleans())}
    header, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims)
    )
    report = vendor.explain(f"{header}.{payload}.{'A' * 43}", None, NOW)
    assert report is None or report.claims.keys() == claims.keys()


@pytest.mark.parametrize("name", [name for name in PLATFORM_NAMES if PLATFORMS[name].recognizing_claims])
def test_one_claim_makes_no_token_of_a_platform(name: str) -> None:
    vendor = PLATFORMS[name]
    for claim, value in explained(vendor, minted(name, TokenKind.APP).token, None).claims.items():
        assert not vendor.recognizes({claim: value, "email": "ada@example.com"})
