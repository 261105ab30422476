"""The console in a real browser."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route, expect

from e2e.browsers import Visit, needs_chromium, visit
from e2e.stacks import ROOT, LocalStack, shell

pytestmark = needs_chromium

VIEWS = ("Mint", "Inspect", "Invites", "Controls", "Activity")
KILL_SWITCH = {"Name": "/roomkey/local/disabled"}
CLASSROOM = "cli/roomkey_cli/data/policies/classroom.json"


@pytest.fixture(scope="module")
def stack(start: Callable[..., LocalStack]) -> LocalStack:
    """A stack with a teacher, a student and a policy for them."""
    return start("--access", "jwt", "--policy", CLASSROOM)


@pytest.fixture
def opened(browser: Browser, local_stack: LocalStack) -> Any:
    """The console of a stack with open access."""
    with visit(browser, local_stack.url) as console:
        yield console
        assert console.complaints == []


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def parameters(stack: LocalStack) -> Any:
    return stack.client("ssm")


def holding(held: list[Route]) -> Callable[[Route], None]:
    """Return a handler that holds requests back; playwright accepts no built-in method."""

    def hold(route: Route) -> None:
        held.append(route)

    return hold


# --- mint ------------------------------------------------------------------------------------------------------------


def test_one_labelled_button_mints_and_is_above_the_fold(opened: Visit) -> None:
    button = opened.page.get_by_role("button", name="Mint")
    assert button.count() == 1
    for platform in ("100ms", "VideoSDK", "Agora"):
        opened.page.get_by_role("group", name="Platform").get_by_role("radio", name=platform, exact=True).check()
        box = button.bounding_box()
        assert box
        assert box["y"] + box["height"] <= 800, platform

    opened.choose("Platform", "100ms")
    opened.type("Room", "room-7")
    opened.mint("guest")
    opened.shows("Minted and copied.")
    claims = claims_of(opened.clipboard())
    assert (claims["role"], claims["room_id"], claims["user_id"]) == ("guest", "room-7", "1234")


def test_enter_in_a_field_mints(opened: Visit) -> None:
    opened.page.get_by_label("User", exact=True).press("Enter")
    opened.shows("Minted and copied.")


def test_platforms_and_roles_are_those_of_the_stack(opened: Visit, local_stack: LocalStack) -> None:
    seen: Any = opened.page.evaluate(
        "fetch('console/api/stack', {headers: {'x-roomkey-console': '1'}}).then((response) => response.json())"
    )
    radios = opened.page.get_by_role("group", name="Platform").get_by_role("radio")
    assert [radio.get_attribute("value") for radio in radios.all()] == list(seen["platforms"])
    for name, platform in seen["platforms"].items():
        opened.page.locator(f"#platform input[value='{name}']").check()
        roles = platform["fields"]["app"].get("role", {}).get("choices")
        shown = [radio.get_attribute("value") for radio in opened.page.locator("#role input").all()]
        assert roles is None or shown == roles, name
        if "management" in platform["fields"]:
            opened.choose("Kind of token", "Management")
            opened.press("Mint token")
            opened.shows("Minted and copied.")
            opened.choose("Kind of token", "App")


def test_errors_stand_at_their_fields(opened: Visit) -> None:
    opened.type("Lifetime (seconds)", "soon")
    opened.type("Room", "")
    opened.mint("host")
    opened.shows("Refused: invalid-request.")
    page = opened.page
    expect(page.locator("#room-error")).to_contain_text("room_id")
    expect(page.locator("#lifetime-error")).to_contain_text("expires_in")
    room = page.get_by_role("textbox", name="Room", exact=True)
    expect(room).to_have_attribute("aria-invalid", "true")
    expect(room).to_be_focused()

    opened.type("Lifetime (seconds)", "300")
    opened.type("Room", "room-1")
    opened.mint("host")
    opened.shows("Minted and copied.")
    expect(page.locator("#room-error")).to_be_empty()


def test_a_role_of_the_template_can_be_typed(opened: Visit) -> None:
    opened.choose("Role", "other")
    opened.type("Role name", "viewer-realtime")
    opened.press("Mint token")
    opened.shows("Minted and copied.")
    assert claims_of(opened.clipboard())["role"] == "viewer-realtime"


def test_drafts_survive_a_reload(opened: Visit) -> None:
    opened.choose("Platform", "VideoSDK")
    opened.choose("Role", "moderator")
    opened.type("Room", "abcd-efgh-ijkl")
    opened.type("Lifetime (seconds)", "600")
    opened.reload()
    expect(opened.page.get_by_role("radio", name="VideoSDK", exact=True)).to_be_checked()
    expect(opened.page.get_by_role("radio", name="moderator", exact=True)).to_be_checked()
    expect(opened.page.get_by_role("textbox", name="Room", exact=True)).to_have_value("abcd-efgh-ijkl")
    expect(opened.page.get_by_role("textbox", name="Lifetime (seconds)", exact=True).first).to_have_value("600")


def test_the_code_runs_as_it_is(opened: Visit, tmp_path: Path) -> None:
    awkward = "a'b\"c\\d$HOME `x` { y } zoë 🎈"
    opened.type("User", awkward)
    assert claims_of(json.loads(shell(snippet(opened, "curl")))["token"])["user_id"] == awkward
    assert r'"user_id" to "a' in snippet(opened, "Kotlin")

    opened.choose("Kind of token", "Management")
    script = tmp_path / "ask.py"
    script.write_text(snippet(opened, "Python"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environ)
    assert claims_of(done.stdout)["type"] == "management"


def test_livekit_jitsi_and_turn_are_minted_with_their_own_fields(opened: Visit) -> None:
    opened.choose("Platform", "LiveKit")
    opened.type("Room", "class-7b")
    opened.mint("speaker")
    opened.shows("Minted and copied.")
    claims = claims_of(opened.clipboard())
    assert (claims["video"]["room"], claims["video"]["canPublishSources"]) == ("class-7b", ["microphone"])

    opened.choose("Platform", "Jitsi Meet")
    opened.type("Room", "Class-7b")
    opened.type("display_name", "Ada")
    opened.mint("moderator")
    opened.shows("Minted and copied.")
    claims = claims_of(opened.clipboard())
    assert (claims["room"], claims["context"]["user"]["name"]) == ("class-7b", "Ada")
    opened.type("Room", "class 7b")
    opened.mint("moderator")
    opened.shows("Refused: invalid-request.")
    expect(opened.page.locator("#room-error")).to_contain_text("must not contain spaces")

    opened.choose("Platform", "TURN")
    opened.mint()
    opened.shows("Minted and copied.")
    (server,) = json.loads(opened.clipboard())["ice_servers"]
    assert server["username"].endswith(":1234")
    assert 'print(json.load(response)["ice_servers"])' in snippet(opened, "Python")
    assert "answer.ice_servers" in snippet(opened, "JavaScript")


def snippet(console: Visit, language: str) -> str:
    console.page.get_by_role("tab", name=language, exact=True).click()
    return console.page.get_by_role("tabpanel").inner_text()


# --- inspect ---------------------------------------------------------------------------------------------------------


def test_the_minted_token_is_inspected(opened: Visit) -> None:
    opened.type("User", "<img src=x onerror=alert(1)>")
    opened.mint("host")
    opened.press("Inspect")
    opened.shows("The signature is valid.")
    claims = opened.page.get_by_role("table", name="Claims")
    expect(claims).to_contain_text("<img src=x onerror=alert(1)>")
    assert opened.page.locator("main img").count() == 0

    opened.type("Token", "nothing")
    expect(opened.page.locator("#reading")).to_contain_text("not a token")


# --- users and policy ------------------------------------------------------------------------------------------------


def test_a_refusal_shows_which_rules_do_not_match(console: Visit) -> None:
    console.choose("Caller", "teacher")
    console.mint("host")
    console.shows("Minted and copied.")
    console.choose("Caller", "student")
    console.mint("host")
    console.shows("Refused: not-allowed.")
    console.press("Show why")
    expect(console.page.locator("#verdict")).to_contain_text("Refused")
    expect(console.page.get_by_role("list", name="Rules")).to_contain_text("students are guests on 100ms")

    console.go("Mint")
    console.choose("Caller", "Not signed in")
    console.mint("host")
    console.shows("Refused by the gateway: Unauthorized.")


def test_the_policy_is_tested_for_invites(console: Visit) -> None:
    console.go("Controls")
    form = console.page.locator("#try-form")
    form.get_by_label("Kind", exact=True).select_option("invite")
    form.get_by_role("button").click()
    expect(console.page.locator("#verdict")).to_contain_text("Refused")
    form.get_by_label("Caller", exact=True).select_option("invite")
    expect(form.get_by_label("Name", exact=True)).to_be_hidden()
    expect(console.page.get_by_role("list", name="Rules")).to_contain_text("invite")


def test_an_edited_policy_is_replaced_after_a_question_and_can_be_undone(console: Visit) -> None:
    console.go("Controls")
    editor = console.page.get_by_role("textbox", name="Policy", exact=True)
    expect(editor).to_have_value(re.compile("teachers host on 100ms"))
    editor.fill('{"version": 1, "mode": "audit", "rules": []}')
    draft = editor.input_value()

    console.page.once("dialog", lambda dialog: dialog.dismiss())
    console.page.get_by_label("Load").select_option("open")
    expect(editor).to_have_value(draft)
    console.page.once("dialog", lambda dialog: dialog.accept())
    console.page.get_by_label("Load").select_option("open")
    expect(editor).not_to_have_value(draft)
    console.press("Undo")
    expect(editor).to_have_value(draft)

    console.reload()
    console.go("Controls")
    expect(editor).to_have_value(draft)
    console.press("Discard changes")
    expect(editor).to_have_value(re.compile("teachers host on 100ms"))
    console.press("Undo")
    expect(editor).to_have_value(draft)


def test_a_problem_of_the_policy_stands_at_its_line(console: Visit) -> None:
    console.go("Controls")
    editor = console.page.get_by_role("textbox", name="Policy", exact=True)
    expect(editor).to_have_value(re.compile("rules"))
    editor.fill('{\n  "version": 1,\n  "mode": "sometimes",\n  "rules": []\n}')
    expect(console.page.locator("#policy-check")).to_contain_text("Line 3")
    expect(console.page.get_by_role("button", name="Apply policy")).to_be_disabled()


def test_the_kill_switch_is_applied_and_its_effect_awaited(console: Visit, stack: LocalStack) -> None:
    console.go("Controls")
    form = console.page.locator("#flag-form")
    expect(form).to_have_js_property("inert", False)
    console.choose("Minting is", "partly off")
    form.get_by_role("checkbox", name="app tokens of agora", exact=True).check()
    console.press("Apply")
    expect(form).to_contain_text(re.compile(r"Saved\. In effect within \d+ s|In effect after \d+ s"))
    ssm = parameters(stack)
    assert ssm.get_parameter(**KILL_SWITCH)["Parameter"]["Value"] == "agora/app"

    console.choose("Minting is", "off")
    ssm.put_parameter(**KILL_SWITCH, Value="videosdk", Overwrite=True)
    expect(console.page.get_by_role("radio", name="off", exact=True)).to_be_checked()  # An unsaved choice is kept.
    ssm.put_parameter(**KILL_SWITCH, Value="false", Overwrite=True)


def test_no_control_can_be_used_before_its_value_is_known(console: Visit) -> None:
    held: list[Route] = []
    console.page.route("**/console/api/state", holding(held), times=1)
    console.go("Controls")
    expect(console.page.locator("#flag-form")).to_have_js_property("inert", True)
    held[0].continue_()
    expect(console.page.locator("#flag-form")).to_have_js_property("inert", False)


def test_a_host_invites_a_guest(browser: Browser, start: Callable[..., LocalStack], tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(re.findall(r"```json\n(.*?)```", (ROOT / "docs/invites.md").read_text(), flags=re.DOTALL)[0])
    stack = start("--access", "jwt", "--policy", str(policy))
    with visit(browser, stack.url) as console:
        console.go("Invites")
        console.page.get_by_label("Platform", exact=True).filter(visible=True).select_option("livekit")
        console.type("Room", "class-7b")
        console.type("Role", "participant")
        console.choose("Host", "student")
        console.press("Create invite")
        refusal = "Refused: not-allowed. The caller is not allowed to have this token."
        expect(console.page.locator("#invite-answer")).to_have_text(refusal)
        console.type("Invite or link", "rki1.bad.bad")
        console.press("Redeem")
        console.shows("Refused: invite-invalid.")
        console.go("Activity")
        refused = console.page.get_by_role("listitem").filter(has_text="invite-invalid")
        expect(refused.locator(".asked")).to_have_text("app")
        console.go("Invites")
        console.choose("Host", "teacher")
        console.press("Create invite")
        console.shows("Invite created.")
        console.press("Redeem")
        console.shows("joins class-7b as participant")
        console.press("Inspect")
        expect(console.page.get_by_role("table", name="Claims")).to_contain_text("guest-")
        assert console.complaints == []


# --- activity --------------------------------------------------------------------------------------------------------


def test_activity_loads_then_shows_lines_as_they_are_written(console: Visit) -> None:
    console.type("Room", "watched")
    console.choose("Caller", "teacher")
    console.mint("host")
    console.shows("Minted and copied.")

    held: list[Route] = []
    console.page.route("**/console/api/audit*", holding(held), times=1)
    console.go("Activity")
    expect(console.page.locator("#line-count")).to_have_text("Loading…")
    held[0].continue_()
    rows = console.page.get_by_role("list", name="Audit lines").get_by_role("listitem")
    expect(rows.first).to_contain_text("100ms app · watched · host")
    expect(rows.first).to_contain_text("by teacher")
    expect(console.page.get_by_role("img", name=re.compile(r"median [0-9.]+ ms"))).to_be_visible()
    console.page.get_by_role("searchbox", name="Filter").fill("nowhere")
    expect(rows.filter(visible=True)).to_have_count(0)


# --- everywhere ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "phone"), [("light", False), ("dark", False), ("light", True)])
def test_every_view_is_accessible_and_fits(browser: Browser, stack: LocalStack, scheme: Any, phone: bool) -> None:
    with visit(browser, stack.url, scheme=scheme, phone=phone) as console:
        console.choose("Caller", "student")
        console.type("Lifetime (seconds)", "1")
        console.mint("guest")
        console.shows("Refused: invalid-request.")
        for view in VIEWS:
            console.go(view)
            console.page.mouse.move(0, 0)
            found = Axe().run(console.page).response["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], view
            assert console.overflow == 0, view
        assert console.complaints == []


def test_a_phone_uses_the_console_through_the_key_in_the_path(
    browser: Browser, start: Callable[..., LocalStack]
) -> None:
    stack = start("--lan")
    with visit(browser, stack.url, phone=True, ignore_https_errors=True) as console:
        console.mint("host")
        console.shows(re.compile(r"Minted"))
        assert snippet(console, "curl").startswith(f"curl -s {stack.url}/v1/100ms/app-token")
        console.choose("Kind of token", "Management")
        console.press("Mint token")
        console.shows("A management token for 100ms")
        console.go("Activity")
        expect(console.page.get_by_role("listitem").first).to_contain_text("100ms management")
        assert console.hosts <= {urlsplit(stack.url).netloc, ""}
