"""The caller's identity in API Gateway's events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomkey.errors import NotAllowed, Unauthenticated
from roomkey.identity import Caller, from_authorizer, normalised_principal
from roomkey.settings import Access, ClaimNames

NAMES = ClaimNames(user_id="sub", groups="groups")
USER = "arn:aws:iam::111122223333:user/backend"

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=10),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["jwt", "iam", "claims", "sub", "groups", "userArn"]), children, max_size=4)
    ),
    max_leaves=12,
)


def _signed_in(**claims: object) -> Caller:
    return from_authorizer({"jwt": {"claims": claims, "scopes": None}}, Access.JWT, NAMES)


# --- open access ---------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), ANYTHING))
def test_open_access_has_no_identity(authorizer: dict[str, Any]) -> None:
    caller = from_authorizer(authorizer, Access.OPEN, NAMES)

    assert caller == Caller(Access.OPEN)
    assert (caller.user_id, caller.principal, caller.groups, dict(caller.claims)) == (None, None, (), {})
    caller.require_user()


# --- JWT -----------------------------------------------------------------------------------------------------------


def test_a_signed_in_user_is_known_by_the_verified_claims() -> None:
    claims = {
        "sub": "teacher-1",
        "iss": "https://login.example.com/",
        "groups": "[teachers staff]",
        "exp": "1795257000",
    }

    caller = _signed_in(**claims)

    assert caller == Caller(
        access=Access.JWT,
        user_id="teacher-1",
        issuer="https://login.example.com/",
        groups=("teachers", "staff"),
        claims=claims,
    )
    assert caller.principal is None
    caller.require_user()


def test_which_claims_say_so_is_a_setting() -> None:
    names = ClaimNames(user_id="https://example.com/user", groups="cognito:groups")
    claims = {"sub": "1", "groups": "[root]", "https://example.com/user": "ada", "cognito:groups": "[teachers]"}

    caller = from_authorizer({"jwt": {"claims": claims}}, Access.JWT, names)

    assert (caller.user_id, caller.groups) == ("ada", ("teachers",))


@pytest.mark.threat("F3")
@pytest.mark.parametrize(
    "sub",
    [
        None,
        "",
        " ",
        " ada",
        "ada ",
        "a\nb",
        "a\x00b",
        "\ud800",
        "\u202eada",
        "x" * 257,
        5,
        1.5,
        True,
        ["ada"],
        {"a": "b"},
        "guest-ada",
        "Guest-1",
    ],
)
def test_a_missing_or_invalid_claim_is_no_user(sub: object) -> None:
    for caller in (_signed_in(sub=sub, iss="i"), _signed_in(iss="i")):
        assert caller.user_id is None
        with pytest.raises(NotAllowed):
            caller.require_user()


@pytest.mark.parametrize(
    ("printed", "groups"),
    [
        ("[teachers staff]", ("teachers", "staff")),
        ("[teachers]", ("teachers",)),
        ("[]", ()),
        ("[ ]", ()),
        ("", ()),
        ("teachers", ("teachers",)),
        ("teachers staff", ("teachers staff",)),
        ("teachers,staff", ("teachers,staff",)),
        ("[teachers,staff]", ("teachers,staff",)),
        ("[a\u00a0b c]", ("a\u00a0b", "c")),
        ("[a\tb\nc\u2003d]", ("a\tb\nc\u2003d",)),
        ("[a\x1fb\x85c]", ("a\x1fb\x85c",)),
        ("[Teachers TEACHERS]", ("Teachers", "TEACHERS")),
        ("[1 2]", ("1", "2")),
        ("[true]", ("true",)),
    ],
)
def test_groups_are_read_as_the_gateway_prints_them(printed: str, groups: tuple[str, ...]) -> None:
    """A space separates two groups; any other blank is part of a name."""
    assert _signed_in(sub="ada", groups=printed).groups == groups


@pytest.mark.parametrize(
    "printed",
    [
        *("[map[name:x admins]]", "[map[name:x admins y]]", "map[a:b admins]", "[[a admins] b]", "[staff [admins]]"),
        *("[a", "a]", "[staff admins b", "a admins staff]", "[a] admins", "staff [a]", "[a]b", "a[b]"),
        *("[[ admins staff]", "[staff admins ]]"),
    ],
)
def test_no_group_is_ever_read_out_of_a_nested_claim(printed: str) -> None:
    """Brackets anywhere except around the whole leave no group."""
    assert _signed_in(sub="ada", groups=printed).groups == ()


@pytest.mark.parametrize("groups", [None, ["admins"], {"admins": True}, 5, True])
def test_groups_of_another_type_did_not_come_from_the_gateway(groups: object) -> None:
    assert _signed_in(sub="ada", groups=groups).groups == ()


def test_a_claim_that_is_not_text_is_missing() -> None:
    assert _signed_in(sub="ada", admin=True, level=5, nested={"a": "b"}, email="a@b").claims == {
        "sub": "ada",
        "email": "a@b",
    }


# --- IAM -----------------------------------------------------------------------------------------------------------

ROLES = {
    "arn:aws:sts::111122223333:assumed-role/backend/i-0abc": "arn:aws:iam::111122223333:role/backend",
    "arn:aws:sts::111122223333:assumed-role/backend/ada@example.com": "arn:aws:iam::111122223333:role/backend",
    "arn:aws-cn:sts::111122223333:assumed-role/backend/x": "arn:aws-cn:iam::111122223333:role/backend",
    "arn:aws-us-gov:sts::111122223333:assumed-role/b.e+n=d,@_-/x": "arn:aws-us-gov:iam::111122223333:role/b.e+n=d,@_-",
    "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0a1b/ada": (
        "arn:aws:iam::111122223333:role/AWSReservedSSO_Admin_0a1b"
    ),
}
AS_THEY_ARE = [
    USER,
    "arn:aws:iam::111122223333:user/path/to/backend",
    "arn:aws:iam::111122223333:root",
    "arn:aws:sts::111122223333:federated-user/ada",
    "arn:aws:iam::111122223333:role/backend",
    "arn:aws:sts::111122223333:assumed-role/backend",
    "arn:aws:sts::111122223333:assumed-role/backend/",
    "arn:aws:sts::111122223333:assumed-role//session",
    "arn:aws:sts::111122223333:assumed-role/backend/x\n",
    "arn:aws:sts::11112222333:assumed-role/backend/x",
    "arn:aws:iam::111122223333:user/assumed-role/backend/x",
    "xarn:aws:sts::111122223333:assumed-role/backend/x",
]


@pytest.mark.parametrize(("arn", "principal"), [*ROLES.items(), *((arn, arn) for arn in AS_THEY_ARE)])
def test_a_role_is_known_without_the_session_that_the_caller_named(arn: str, principal: str) -> None:
    assert normalised_principal(arn) == principal
    assert from_authorizer({"iam": {"userArn": arn, "accountId": "1"}}, Access.IAM, NAMES) == Caller(
        Access.IAM, principal=principal
    )


@given(
    st.from_regex(r"[a-zA-Z0-9+=,.@_-]{2,64}", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9+=,.@_-]{2,64}", fullmatch=True),
)
def test_no_session_name_makes_one_role_look_like_another(role: str, session: str) -> None:
    arn = f"arn:aws:sts::111122223333:assumed-role/{role}/{session}"

    assert normalised_principal(arn) == f"arn:aws:iam::111122223333:role/{role}"


# --- unauthenticated callers ---------------------------------------------------------------------------------------

UNPROVEN: list[Any] = [
    {},
    {"jwt": None},
    {"jwt": {}},
    {"jwt": {"claims": None}},
    {"jwt": {"claims": {}}},
    {"jwt": {"claims": ""}},
    {"jwt": {"claims": [["sub", "ada"]]}},
    {"jwt": "claims"},
    {"claims": {"sub": "ada"}},
    {"lambda": {"sub": "ada", "userArn": USER}},
    {"iam": None},
    {"iam": {}},
    {"iam": {"userArn": ""}},
    {"iam": {"userArn": None}},
    {"iam": {"userArn": [USER]}},
    {"iam": {"userarn": USER}},
    {"iam": [{"userArn": USER}]},
    {"userArn": USER},
]


@pytest.mark.threat("F1", "F5")
@pytest.mark.parametrize("access", [Access.JWT, Access.IAM])
@pytest.mark.parametrize("authorizer", UNPROVEN, ids=repr)
def test_without_its_authorizer_block_a_caller_is_unauthenticated(authorizer: Any, access: Access) -> None:
    with pytest.raises(Unauthenticated):
        from_authorizer(authorizer, access, NAMES)


@pytest.mark.threat("F1", "F5")
def test_one_proof_does_not_do_for_the_other() -> None:
    with pytest.raises(Unauthenticated):
        from_authorizer({"jwt": {"claims": {"sub": "ada"}}}, Access.IAM, NAMES)
    with pytest.raises(Unauthenticated):
        from_authorizer({"iam": {"userArn": USER}}, Access.JWT, NAMES)


def test_of_two_proofs_the_one_that_is_due_counts() -> None:
    both = {"jwt": {"claims": {"sub": "ada"}}, "iam": {"userArn": USER}}

    assert from_authorizer(both, Access.IAM, NAMES) == Caller(Access.IAM, principal=USER)
    assert from_authorizer(both, Access.JWT, NAMES).user_id == "ada"
    assert from_authorizer(both, Access.JWT, NAMES).principal is None


@given(st.dictionaries(st.sampled_from(["jwt", "iam", "claims"]), ANYTHING), st.sampled_from([Access.JWT, Access.IAM]))
def test_any_event_is_an_identity_or_unauthenticated(authorizer: dict[str, Any], access: Access) -> None:
    try:
        caller = from_authorizer(authorizer, access, NAMES)
    except Unauthenticated:
        return
    if access is Access.IAM:
        assert caller.principal == normalised_principal(authorizer["iam"]["userArn"])
    else:
        assert caller.user_id in (None, authorizer["jwt"]["claims"].get("sub"))
        assert caller.principal is None
