"""The requests that `roomkey run` prints are granted by its policy."""

import json

import pytest

from roomkey.platforms import PLATFORM_NAMES, PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.settings import Access
from roomkey_cli.data import OPEN_POLICY, POLICIES
from roomkey_cli.local import examples

OPEN = OPEN_POLICY.read_text()
CLASSROOM = (POLICIES / "classroom.json").read_text()
NOTHING = json.dumps({"version": 1, "mode": "enforce", "rules": []})


@pytest.mark.parametrize("platform", PLATFORM_NAMES)
def test_each_platform_alone_has_examples_under_the_open_policy(platform: str) -> None:
    app = examples.app_token(OPEN, Access.OPEN, [platform], demo_users=False)
    management = examples.management_token(OPEN, [platform])
    kinds = PLATFORMS[platform].kinds
    assert (app is not None) == (TokenKind.APP in kinds)
    assert (management is not None) == (TokenKind.MANAGEMENT in kinds)


def test_a_policy_for_groups_has_an_example_of_a_demo_user() -> None:
    example = examples.app_token(CLASSROOM, Access.JWT, ["agora", "100ms"], demo_users=True)
    assert example
    assert (example.user, example.platform) == ("teacher", "agora")
    assert example.body["room_id"].startswith(("class-", "staff-"))
    assert "user_id" not in example.body


@pytest.mark.parametrize(
    ("policy", "access"), [(NOTHING, Access.OPEN), (CLASSROOM, Access.OPEN), (CLASSROOM, Access.IAM)]
)
def test_a_policy_that_grants_nothing_has_no_example(policy: str, access: Access) -> None:
    assert examples.app_token(policy, access, PLATFORM_NAMES, demo_users=False) is None
    assert examples.management_token(policy, PLATFORM_NAMES) is None


@pytest.mark.parametrize(("policy", "named"), [(CLASSROOM, True), (NOTHING, False)])
def test_a_policy_for_signed_in_users_names_the_access_that_it_needs(policy: str, named: bool) -> None:
    assert ("add --access jwt" in examples.why_no_app_token(policy, PLATFORM_NAMES)) == named
