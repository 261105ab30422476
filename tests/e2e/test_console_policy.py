"""The console of a stack whose users sign in, with a policy: who may have what, the switch, the audit trail."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from e2e.browsers import Visit, needs_chromium, visit
from e2e.stacks import LocalStack, shell, started
from roomkey.limits import OPERATOR_CONFIG_BOUND_SECONDS

pytestmark = needs_chromium


FLAG = {"Name": "/roomkey/local/disabled"}


def parameters(stack: LocalStack) -> Any:
    """SSM of the stack, as somebody asks it from a terminal."""
    return stack.client("ssm")


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with started("--access", "jwt", "--policy", "cli/roomkey_cli/data/policies/classroom.json") as stack:
        yield stack


# --- who is asking ---------------------------------------------------------------------------------------------------


def test_the_teacher_may_and_the_student_may_not(console: Visit) -> None:
    console.choose("Who is asking", "teacher")
    console.mint("host")
    console.shows("Minted and copied.")
    expect(console.page.get_by_role("definition").filter(has_text=re.compile("^teacher$"))).to_be_visible()

    console.choose("Who is asking", "student")
    console.mint("host")
    console.shows("Refused: not-allowed.")
    console.mint("guest")
    console.shows("Minted and copied.")


def test_a_refusal_leads_to_the_rules_that_do_not_grant_it(console: Visit) -> None:
    console.choose("Who is asking", "student")
    console.mint("host")
    console.press("Ask the policy why")

    expect(console.page.get_by_role("heading", name="Switch", exact=True)).to_be_visible()
    console.shows("Refused, no rule grants it.")
    console.shows('roles: none of them fits "host"')
    assert console.page.get_by_role("textbox", name="Groups").input_value() == "students"


def test_the_gateway_refuses_nobody_at_all(console: Visit) -> None:
    console.choose("Who is asking", "Nobody")
    console.mint("host")

    console.shows("Refused by the gateway: Unauthorized.")
    console.shows("there is no audit line")


def test_nobody_is_somebody_else(console: Visit) -> None:
    console.type("User", "student")
    console.mint("host")

    console.shows("Refused: user-mismatch.")


def test_the_policy_holds_for_the_demo_key_too(console: Visit) -> None:
    console.choose("Kind of token", "Management")
    console.mint("management")
    console.shows("Refused: not-allowed.")
    console.press("Ask the policy why")

    console.shows("who: none of them is arn:aws:iam::000000000000:user/roomkey-demo")


def test_the_request_signs_in_first(console: Visit) -> None:
    answer = json.loads(shell(console.page.locator("#request-code").inner_text()))

    assert answer["user_id"] == "teacher"


def access_token(stack: LocalStack, user: str) -> str:
    answer = shell(f"curl -s {stack.url}/demo/token -d '{json.dumps({'user': user})}'")
    token: str = json.loads(answer)["access_token"]
    return token


def test_users_of_an_issuer_of_ones_own_paste_their_access_token(browser: Browser, stack: LocalStack) -> None:
    with (
        started("--access", "jwt", "--issuer", f"{stack.url}/demo") as other,
        visit(browser, other.url) as console,
    ):
        console.type("Access token of your issuer", access_token(stack, "student"))
        console.mint("host")
        console.shows("Minted and copied.")
        expect(console.page.get_by_role("definition").filter(has_text=re.compile("^student$"))).to_be_visible()


def test_with_iam_the_demo_key_asks(browser: Browser) -> None:
    with started("--access", "iam") as stack, visit(browser, stack.url) as console:
        console.mint("host")
        console.shows("Minted and copied.")
        console.choose("Who is asking", "Nobody")
        console.mint("host")
        console.shows("Refused by the gateway: Forbidden.")


# --- the policy ------------------------------------------------------------------------------------------------------


def edit(console: Visit, old: str, new: str) -> None:
    policy = console.page.get_by_role("textbox", name="The policy")
    expect(policy).to_have_value(re.compile(re.escape(old)))
    policy.fill(policy.input_value().replace(old, new, 1))


def test_a_mistake_is_found_on_its_line(console: Visit) -> None:
    console.go("Switch")
    edit(console, '{ "group": "teachers" }', '{ "group": "all teachers" }')

    finding = console.page.get_by_role("button", name=re.compile(r"^Line 8.*rules\[0\]\.who\[0\] must name one group"))
    expect(finding).to_be_visible()
    expect(console.page.get_by_role("button", name="Put into force")).to_be_disabled()
    finding.click()
    selected = (
        "document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)"
    )
    assert "all teachers" in console.page.evaluate(selected)

    console.press("Back to what is stored")
    expect(console.page.get_by_role("button", name="Put into force")).to_be_enabled()


def test_a_draft_can_be_tried_before_it_is_put(console: Visit) -> None:
    console.go("Switch")
    console.press("Ask the policy")
    console.shows('Allowed, by "teachers host on 100ms", for 14400 s at most.')

    edit(console, '"roles": ["host", "guest"]', '"roles": ["guest"]')
    console.shows("Refused, no rule grants it.")
    console.page.get_by_role("combobox", name="Who").select_option("anyone, not signed in")
    console.shows("none of them is someone who has not signed in")


def test_a_question_that_nobody_can_ask_says_why(console: Visit) -> None:
    console.go("Switch")
    console.page.get_by_role("combobox", name="Platform").select_option("videosdk")
    console.type("Role", "boss")
    console.press("Ask the policy")

    console.shows("Nobody can ask this: role must be one of guest, participant, moderator.")


# --- what is put bites -----------------------------------------------------------------------------------------------


def test_what_is_put_here_bites_within_its_bound(console: Visit, stack: LocalStack) -> None:
    console.go("Switch")
    page = console.page
    console.choose("Minting is", "off in part")
    page.get_by_role("checkbox", name="app tokens of agora", exact=True).check()
    page.get_by_role("checkbox", name="every token of videosdk").check()
    expect(page.get_by_role("checkbox", name="app tokens of videosdk", exact=True)).to_be_checked()
    expect(page.get_by_role("checkbox", name="app tokens of videosdk", exact=True)).to_be_disabled()
    edit(console, '"name": "students are guests on 100ms"', '"name": "students are hosts, too"')
    edit(console, '"roles": ["guest"]', '"roles": ["guest", "host"]')

    console.press("Turn the switch")
    console.press("Put into force")
    begun = time.monotonic()
    flag, policy = page.locator("#flag-bite"), page.locator("#policy-bite")
    expect(policy).to_contain_text(re.compile("Put at [0-9:]{8}. It bites in [0-9]+ s at the latest."))
    expect(flag).to_contain_text(re.compile("It bites in [0-9]+ s at the latest.|It bit after"))

    for place in (flag, policy):
        expect(place).to_contain_text("It bit after", timeout=(OPERATOR_CONFIG_BOUND_SECONDS + 2) * 1000)
    assert time.monotonic() - begun < OPERATOR_CONFIG_BOUND_SECONDS + 2
    for place in (flag, policy):
        after = re.search(r"It bit after ([0-9.]+) s of 36", place.inner_text())
        assert after
        assert float(after[1]) <= OPERATOR_CONFIG_BOUND_SECONDS
    expect(page.get_by_text("Minting partly off")).to_be_visible()

    ssm = parameters(stack)
    assert ssm.get_parameter(**FLAG)["Parameter"]["Value"] == "videosdk,agora/app"
    ssm.put_parameter(**FLAG, Value="true", Overwrite=True)
    expect(page.get_by_role("radio", name="off", exact=True)).to_be_checked()
    expect(flag).to_contain_text("at the latest")

    console.go("Mint")
    console.choose("Who is asking", "student")
    console.mint("host")
    console.shows("Minted and copied.")
    console.choose("Platform", "Agora")
    console.mint("subscriber")
    console.shows("Refused: minting-disabled.")


def seen(console: Visit, text: str) -> AbstractContextManager[object]:
    """Until the page has been told that the flag says so."""
    return console.page.expect_response(lambda response: response.json().get("flag", {}).get("text") == text)


def test_what_is_being_chosen_outlives_what_others_put(console: Visit, stack: LocalStack) -> None:
    ssm = parameters(stack)
    ssm.put_parameter(**FLAG, Value="true", Overwrite=True)
    console.go("Switch")
    flag, off = console.page.locator("#flag-form"), console.page.get_by_role("radio", name="off", exact=True)
    expect(off).to_be_checked()

    console.choose("Minting is", "off in part")
    with seen(console, "false"):
        ssm.put_parameter(**FLAG, Value="false", Overwrite=True)
    expect(console.page.get_by_role("radio", name="off in part", exact=True)).to_be_checked()
    flag.get_by_role("checkbox", name="every token of agora", exact=True).check()
    with seen(console, "videosdk"):
        ssm.put_parameter(**FLAG, Value="videosdk", Overwrite=True)
    expect(flag).to_contain_text("The flag will say agora")
    console.press("Turn the switch")

    expect(flag).to_contain_text("at the latest")
    assert ssm.get_parameter(**FLAG)["Parameter"]["Value"] == "agora"
    ssm.put_parameter(**FLAG, Value="true", Overwrite=True)
    expect(off).to_be_checked()


# --- watch -----------------------------------------------------------------------------------------------------------


def test_lines_come_as_they_are_written(console: Visit, stack: LocalStack) -> None:
    console.go("Watch")
    page = console.page
    rows = page.get_by_role("list", name="Audit lines").get_by_role("listitem")
    expect(page.get_by_text(re.compile("newest first|No lines yet"))).to_be_visible()
    before = rows.count()

    bearer = f"Authorization: Bearer {access_token(stack, 'teacher')}"

    def ask_for(room: str) -> None:
        body = json.dumps({"room_id": room, "role": "principal"})
        shell(f"curl -s {stack.url}/api/token -H '{bearer}' -d '{body}'")

    ask_for("unheeded")
    ask_for("watched")
    expect(rows).to_have_count(before + 2)
    expect(rows.first).to_contain_text(re.compile("not-allowed|minting-disabled"))
    expect(rows.first).to_contain_text("100ms app · watched · principal")
    expect(rows.first).to_contain_text("by teacher")
    expect(page.get_by_role("img", name=re.compile("Requests of the last two minutes: .* denied"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile(r"median [0-9.]+ ms, slowest [0-9.]+ ms"))).to_be_visible()

    rows.first.locator("summary").click()
    expect(page.get_by_label("The whole line")).to_contain_text('"log_type":"audit"')

    page.get_by_role("searchbox", name="Filter").fill("WATCHED")
    expect(rows.filter(visible=True)).to_have_count(1)
    console.choose("Outcome", "minted")
    expect(rows.filter(visible=True)).to_have_count(0)
    console.choose("Outcome", "denied")
    expect(rows.filter(visible=True)).to_have_count(1)

    console.press("Pause")
    ask_for("watched")
    page.wait_for_timeout(1500)
    expect(rows.filter(visible=True)).to_have_count(1)
    console.press("Pause")
    expect(rows.filter(visible=True)).to_have_count(2)
