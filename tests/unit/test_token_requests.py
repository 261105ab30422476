"""From the fields of a body to a token request, on a real platform and on one that has every kind of field."""

import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import InvalidRequest, NotAllowed, UserMismatch
from roomkey.platforms.agora import Agora
from roomkey.platforms.base import AuthHeader, Platform, TokenKind
from roomkey.platforms.fields import Check, Lifetime, RequestField, TokenSpec, check_id, check_role, one_of
from roomkey.platforms.hms import Hms
from roomkey.settings import DEFAULT_LIFETIMES, LifetimeLimits
from roomkey.token_requests import (
    LENIENT,
    STRICT,
    ParseMode,
    TokenRequest,
    bind_to_user,
    lifetime_bounds,
    parse,
    resolve_lifetime,
)

APP, MANAGEMENT = TokenKind.APP, TokenKind.MANAGEMENT
HMS, AGORA = Hms(), Agora()
FORMS = [STRICT, LENIENT]


UPPER = Check(lambda value: check_role(value).upper(), {})
ONE_SERVICE = Check(lambda value: (check_role(value),), {})


class Inventive(Platform):
    """A platform with what 100ms lacks: alternative fields, defaults, conflicts, a short lifetime."""

    name = "inventive"
    title = "Inventive"
    auth_header = AuthHeader("token", "")
    kinds = {
        APP: TokenSpec(
            (
                RequestField("room_id", check_id, required=True),
                RequestField("role", one_of("host", "guest"), required=True),
                RequestField("loud_role", UPPER, maps_to="role"),
                RequestField("user_id", check_id, required=True),
                RequestField("services", ONE_SERVICE, default=("rtc",)),
            ),
            Lifetime(maximum=600),
        ),
        MANAGEMENT: TokenSpec(
            (
                RequestField("role", one_of("admin", "writer"), default="admin"),
                RequestField("services", ONE_SERVICE),
            ),
            Lifetime(maximum=600),
        ),
    }
    credential_fields = ()

    def conflicts(self, values: Mapping[str, object]) -> Iterable[tuple[str, str]]:
        if values.get("services") == ("loud",) and values.get("user_id") == "quiet":
            yield "services", "cannot be had by that user"

    def token(self, *_: object) -> str:
        raise NotImplementedError

    def explain(self, *_: object) -> None:
        raise NotImplementedError


INVENTIVE = Inventive()


def _parse(body: Mapping[str, Any], *, kind: TokenKind = APP, platform: Platform = HMS, **how: Any) -> TokenRequest:
    return parse(platform, kind, body, lifetimes=how.pop("lifetimes", DEFAULT_LIFETIMES), **how)


def _errors(body: Mapping[str, Any], **how: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        _parse(body, **how)
    return [(error.field, error.reason) for error in caught.value.errors]


ASK = {"room_id": "r", "role": "guest"}

# --- fields --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", FORMS, ids=["strict", "lenient"])
def test_a_request_has_the_values_of_its_fields(mode: ParseMode) -> None:
    body: dict[str, Any] = {"room_id": "633fcdd84208780bf665346a", "role": "Host", "user_id": "ada", "expires_in": 600}

    assert _parse(body, mode=mode) == TokenRequest(HMS, APP, **body)
    assert _parse(ASK, mode=mode) == TokenRequest(HMS, APP, room_id="r", role="guest")
    assert _parse({}, kind=MANAGEMENT, mode=mode) == TokenRequest(HMS, MANAGEMENT)
    assert _parse({"expires_in": 60}, kind=MANAGEMENT, mode=mode) == TokenRequest(HMS, MANAGEMENT, expires_in=60)


def test_a_request_leaves_the_body_as_it_was() -> None:
    body = {**ASK, "user_id": ""}

    _parse(body, mode=LENIENT)

    assert body == {**ASK, "user_id": ""}


def test_the_values_of_a_request_go_by_the_names_that_platforms_know() -> None:
    values = {"room_id": "r", "role": "publisher", "user_id": "ada", "services": ("rtc", "rtm")}

    assert TokenRequest(AGORA, APP, **values, expires_in=60).values() == values  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", FORMS, ids=["strict", "lenient"])
@pytest.mark.parametrize("missing", ["room_id", "role"])
def test_a_required_field_must_be_present(mode: ParseMode, missing: str) -> None:
    body = {name: value for name, value in ASK.items() if name != missing}

    assert _errors(body, mode=mode) == [(missing, "is missing")]
    for empty in ("", None):
        assert [field for field, _ in _errors({**ASK, missing: empty}, mode=mode)] == [missing]


@pytest.mark.parametrize("empty", ["", None])
def test_on_the_drop_in_route_an_empty_user_is_missing(empty: str | None) -> None:
    assert _parse({**ASK, "user_id": empty}, mode=LENIENT) == _parse(ASK)
    assert [field for field, _ in _errors({**ASK, "user_id": empty}, mode=STRICT)] == ["user_id"]


@pytest.mark.parametrize("user", [0, False, [], {}, " ", 0.0])
def test_white_space_is_not_an_empty_user(user: object) -> None:
    for mode in FORMS:
        assert [field for field, _ in _errors({**ASK, "user_id": user}, mode=mode)] == ["user_id"]


@pytest.mark.parametrize(
    "name", ["type", "exp", "jti", "access_key", "version", "ROOM_ID", "kind", "platform", "services", "x", "x" * 64]
)
def test_a_stray_field_is_refused_or_passed_over_and_never_more(name: str) -> None:
    assert _errors({**ASK, name: "x"}) == [(name, "is not a field of this request")]
    assert _parse({**ASK, name: "x"}, mode=LENIENT) == _parse(ASK)


@pytest.mark.parametrize("name", ["", " ", "a b", "é", "a\n", "\ud800", "x" * 65, "<b>", "a/b", "$ref", "{a}"])
def test_a_stray_field_with_a_strange_name_is_not_named(name: str) -> None:
    assert _errors({**ASK, name: "x"}) == [("(unprintable)", "is not a field of this request")]
    assert _parse({**ASK, name: "x"}, mode=LENIENT) == _parse(ASK)


def test_every_field_that_is_at_fault_is_named_once() -> None:
    body = {"room_id": 5, "user_id": " ", "expires_in": "60", "stray": 1, "stray2": 2}

    fields = [field for field, _ in _errors(body)]

    assert sorted(fields) == ["expires_in", "role", "room_id", "stray", "stray2", "user_id"]
    assert sorted(field for field, _ in _errors(body, mode=LENIENT)) == ["expires_in", "role", "room_id", "user_id"]


def test_the_number_of_reported_errors_is_limited() -> None:
    assert len(_errors({f"stray{number}": 1 for number in range(1000)})) == 20


@given(
    st.dictionaries(
        st.sampled_from(["room_id", "role", "user_id", "expires_in", "services", "loud_role"])
        | st.text(st.characters()),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.lists(st.text()),
    ),
    st.sampled_from([HMS, INVENTIVE]),
    st.sampled_from([APP, MANAGEMENT]),
    st.sampled_from(FORMS),
    st.booleans(),
)
def test_any_fields_are_a_request_or_invalid(
    body: dict[str, Any], platform: Platform, kind: TokenKind, mode: ParseMode, signed_in: bool
) -> None:
    try:
        request = _parse(body, platform=platform, kind=kind, mode=mode, signed_in=signed_in)
    except InvalidRequest as refusal:
        fields, reasons = [error.field for error in refusal.errors], " ".join(error.reason for error in refusal.errors)
        assert 1 <= len(fields) <= 20
        assert all(field.isascii() and field.isprintable() for field in fields)
        assert not [value for value in body.values() if isinstance(value, str) and len(value) > 20 and value in reasons]
        return
    assert (
        request.expires_in is None
        or 60 <= request.expires_in <= lifetime_bounds(platform, request.kind, DEFAULT_LIFETIMES).maximum
    )
    if kind is APP:
        assert request.room_id == body["room_id"]
        assert request.role


# --- alternative fields, defaults, conflicts -----------------------------------------------------------------------

INVENTED = {"room_id": "r", "role": "host", "user_id": "ada"}


def test_of_two_fields_that_mean_the_same_one_must_be_sent() -> None:
    either = "exactly one of role and loud_role must be sent"
    neither = {"room_id": "r", "user_id": "ada"}

    assert _parse({**neither, "role": "host"}, platform=INVENTIVE).role == "host"
    assert _parse({**neither, "loud_role": "host"}, platform=INVENTIVE).role == "HOST"
    assert _errors(neither, platform=INVENTIVE) == [("role", either)]
    assert _errors({**neither, "role": "host", "loud_role": "host"}, platform=INVENTIVE) == [("role", either)]


def test_a_missing_field_has_the_default_of_the_platform() -> None:
    assert _parse(INVENTED, platform=INVENTIVE).services == ("rtc",)
    assert _parse({**INVENTED, "services": "chat"}, platform=INVENTIVE).services == ("chat",)
    assert _parse({}, platform=INVENTIVE, kind=MANAGEMENT).role == "admin"
    assert _parse({"role": "writer"}, platform=INVENTIVE, kind=MANAGEMENT).role == "writer"
    assert _parse({}, platform=INVENTIVE, kind=MANAGEMENT).services == ()


def test_conflicting_fields_are_refused_once_each_is_valid() -> None:
    clash = {**INVENTED, "user_id": "quiet", "services": "loud"}

    assert _errors(clash, platform=INVENTIVE) == [("services", "cannot be had by that user")]
    assert _errors({**clash, "role": "none"}, platform=INVENTIVE) == [("role", "must be one of host, guest")]


# --- users ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", [HMS, INVENTIVE], ids=["100ms", "inventive"])
def test_a_signed_in_user_can_omit_the_user_id(platform: Platform) -> None:
    body = {"room_id": "r", "role": "guest"}

    request = bind_to_user(_parse(body, platform=platform, signed_in=True), "ada")

    assert request.user_id == "ada"
    assert (request.room_id, request.role) == ("r", "guest")


def test_a_required_user_must_come_from_the_body_or_the_sign_in() -> None:
    assert _errors({"room_id": "r", "role": "guest"}, platform=INVENTIVE) == [("user_id", "is missing")]


def test_a_signed_in_user_may_repeat_the_own_user_id() -> None:
    assert bind_to_user(_parse({**ASK, "user_id": "ada"}, signed_in=True), "ada").user_id == "ada"


@pytest.mark.threat("F3")
@pytest.mark.parametrize("other", ["eve", "Ada", "a\u200bda", "ad", "adaa", "\uff41da"])
def test_a_signed_in_user_gets_no_token_for_another_user(other: str) -> None:
    with pytest.raises(UserMismatch):
        bind_to_user(_parse({**ASK, "user_id": other}, signed_in=True), "ada")


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=10).map(str.strip).filter(str.isprintable).filter(bool)
)
def test_only_the_very_same_text_is_the_same_user(user_id: str) -> None:
    request = TokenRequest(HMS, APP, room_id="r", role="guest", user_id="ada")
    if user_id == "ada":
        assert bind_to_user(request, user_id) == request
    else:
        with pytest.raises(UserMismatch):
            bind_to_user(request, user_id)


@pytest.mark.parametrize("user_id", [" ada", "a\nb", "x" * 257, "\ud800", ""])
def test_a_user_id_that_the_platform_refuses_gets_no_token(user_id: str) -> None:
    with pytest.raises(NotAllowed):
        bind_to_user(_parse(ASK, signed_in=True), user_id)


def test_a_user_id_must_match_the_rules_of_the_platform() -> None:
    """A channel of Agora may be called 0. As a user, 0 means every user."""
    body = {"room_id": "0", "role": "publisher"}
    for user_id in ("0", "-5"):
        assert bind_to_user(_parse(ASK, signed_in=True), user_id).user_id == user_id
        with pytest.raises(NotAllowed):
            bind_to_user(_parse(body, platform=AGORA, signed_in=True), user_id)


def test_a_refusal_drags_no_other_exception_along() -> None:
    with pytest.raises(NotAllowed) as caught:
        bind_to_user(_parse(ASK, signed_in=True), " ada")

    assert "another exception" not in "".join(traceback.format_exception(caught.value))


def test_a_user_without_permission_gets_no_token() -> None:
    request = _parse({"room_id": "r", "role": "host", "services": "loud"}, platform=INVENTIVE, signed_in=True)

    assert bind_to_user(request, "ada").user_id == "ada"
    with pytest.raises(NotAllowed):
        bind_to_user(request, "quiet")


def test_a_token_without_a_user_stays_without_one() -> None:
    for platform in (HMS, INVENTIVE):
        request = _parse({}, platform=platform, kind=MANAGEMENT, signed_in=True)

        assert bind_to_user(request, "ada") == request
        assert request.user_id is None


# --- lifetimes -----------------------------------------------------------------------------------------------------

SHORT = LifetimeLimits(default={APP: 120, MANAGEMENT: 90}, longest=300)
LONG = LifetimeLimits(default={APP: 10_000_000, MANAGEMENT: 700}, longest=90_000_000)


@pytest.mark.threat("F8")
@pytest.mark.parametrize(
    ("platform", "lifetimes", "longest"),
    [
        (HMS, DEFAULT_LIFETIMES, 86400),
        (HMS, SHORT, 300),
        (HMS, LONG, 90 * 86400 - 30),
        (INVENTIVE, DEFAULT_LIFETIMES, 600),
        (INVENTIVE, SHORT, 300),
        (INVENTIVE, LONG, 600),
    ],
)
def test_the_longest_life_is_the_stacks_or_the_vendors(
    platform: Platform, lifetimes: LifetimeLimits, longest: int
) -> None:
    body = {} if platform is HMS else {"role": "admin"}

    assert lifetime_bounds(platform, MANAGEMENT, lifetimes).maximum == longest
    for seconds in (60, longest):
        request = _parse({**body, "expires_in": seconds}, platform=platform, kind=MANAGEMENT, lifetimes=lifetimes)
        assert resolve_lifetime(request, lifetimes) == seconds
    for seconds in (59, longest + 1, 0, -60):
        assert _errors({**body, "expires_in": seconds}, platform=platform, kind=MANAGEMENT, lifetimes=lifetimes) == [
            ("expires_in", f"must be from 60 to {longest} seconds")
        ]


@pytest.mark.parametrize("seconds", ["60", 60.0, True, False, None, [60], {}, float("inf")])
def test_a_life_is_a_whole_number(seconds: object) -> None:
    for mode in FORMS:
        assert _errors({**ASK, "expires_in": seconds}, mode=mode) == [
            ("expires_in", "must be a whole number of seconds")
        ]


@pytest.mark.threat("F9", "H9")
@pytest.mark.parametrize(
    ("platform", "lifetimes", "app", "management"),
    [
        (HMS, DEFAULT_LIFETIMES, 3600, 900),
        (HMS, SHORT, 120, 90),
        (HMS, LONG, 90 * 86400 - 30, 700),
        (HMS, LifetimeLimits(default={APP: 3600, MANAGEMENT: 900}, longest=300), 300, 300),
        (INVENTIVE, DEFAULT_LIFETIMES, 600, 600),
        (INVENTIVE, SHORT, 120, 90),
    ],
)
def test_the_default_lifetime_is_never_above_the_maximum(
    platform: Platform, lifetimes: LifetimeLimits, app: int, management: int
) -> None:
    assert resolve_lifetime(TokenRequest(platform, APP), lifetimes) == app
    assert resolve_lifetime(TokenRequest(platform, MANAGEMENT), lifetimes) == management


@pytest.mark.parametrize(
    ("lifetimes", "allowed", "lifetime"),
    [
        (DEFAULT_LIFETIMES, None, 3600),
        (DEFAULT_LIFETIMES, 7200, 3600),
        (DEFAULT_LIFETIMES, 600, 600),
        (LifetimeLimits(default={APP: 3600, MANAGEMENT: 900}, longest=300), 7200, 300),
        (LifetimeLimits(default={APP: 3600, MANAGEMENT: 900}, longest=300), 120, 120),
    ],
)
def test_the_default_lifetime_is_never_above_the_policys_maximum(
    lifetimes: LifetimeLimits, allowed: int | None, lifetime: int
) -> None:
    assert resolve_lifetime(TokenRequest(HMS, APP), lifetimes, allowed) == lifetime


class Patient(Hms):
    """A platform whose tokens have a lifetime of at least half an hour, two hours by default, without a maximum."""

    kinds = {APP: TokenSpec(Hms.kinds[APP].fields, Lifetime(minimum=1800, default=7200))}


PATIENT = Patient()


@pytest.mark.parametrize(
    ("lifetimes", "bounds"),
    [
        (DEFAULT_LIFETIMES, (1800, 7200, 86400)),
        (LifetimeLimits(default={APP: 600, MANAGEMENT: 600}, longest=3600), (1800, 3600, 3600)),
        (LifetimeLimits(default={APP: 9000, MANAGEMENT: 600}, longest=86400), (1800, 7200, 86400)),
    ],
)
def test_a_platform_bounds_its_lifetimes(lifetimes: LifetimeLimits, bounds: tuple[int, int, int]) -> None:
    assert lifetime_bounds(PATIENT, APP, lifetimes) == bounds
    assert _errors({**ASK, "expires_in": 1799}, platform=PATIENT, lifetimes=lifetimes) == [
        ("expires_in", f"must be from 1800 to {bounds[2]} seconds")
    ]


def test_a_maximum_below_the_platforms_minimum_grants_nothing() -> None:
    request = TokenRequest(PATIENT, APP)
    assert resolve_lifetime(request, DEFAULT_LIFETIMES, 1800) == 1800
    with pytest.raises(NotAllowed):
        resolve_lifetime(request, DEFAULT_LIFETIMES, 1799)
