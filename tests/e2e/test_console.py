"""The console of a stack that anyone may ask, as a person uses it: minting and reading, in Chromium."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Route, expect

from e2e.browsers import Visit, needs_chromium, visit
from e2e.stacks import LocalStack, shell, started
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind

pytestmark = needs_chromium

VIEWS = ("Mint", "Read", "Switch", "Watch")
ROLES = {
    "100ms": ["host", "guest"],
    "videosdk": ["participant", "moderator", "guest"],
    "agora": ["publisher", "subscriber"],
    "agora-whiteboard": ["admin", "writer", "reader"],
}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with started() as stack:
        yield stack


def test_make_run_says_where_it_is(stack: LocalStack) -> None:
    assert f"{stack.url}/console\n" in stack.printed


# --- mint ------------------------------------------------------------------------------------------------------------


def test_one_click_mints_and_copies(console: Visit) -> None:
    console.mint("host")

    console.shows("Minted and copied.")
    assert console.clipboard() == console.page.get_by_label("The token", exact=True).inner_text()
    assert console.clipboard().count(".") == 2


def test_the_keyboard_alone_mints_and_reads(console: Visit) -> None:
    keyboard = console.page.keyboard
    focused = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"

    def tab_to(name: str) -> None:
        for _ in range(40):
            keyboard.press("Tab")
            if name in console.page.evaluate(focused):
                return
        raise AssertionError(f"{name} cannot be reached")

    keyboard.press("Tab")
    assert console.page.evaluate(focused) == "Skip to the content"
    keyboard.press("Enter")
    tab_to("Mint a host token and copy it")
    keyboard.press("Enter")
    console.shows("Minted and copied.")
    tab_to("Read it")
    keyboard.press("Enter")
    expect(console.page.get_by_role("heading", name="100ms: app token")).to_be_visible()


def test_enter_in_a_field_mints_the_chosen_role(console: Visit) -> None:
    console.page.get_by_role("radio", name="guest").check()
    console.page.get_by_role("textbox", name="Room", exact=True).press("Enter")

    console.shows("A guest token for 100ms")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_role_of_every_platform_has_a_key(console: Visit, platform: str) -> None:
    console.choose("Platform", PLATFORMS[platform].title.replace("Agora Interactive ", ""))
    for role in ROLES[platform]:
        console.mint(role)
        console.shows(f"A {role} token")


def test_the_keys_are_the_roles_of_the_code() -> None:
    for name, roles in ROLES.items():
        check = {field.name: field for field in PLATFORMS[name].kinds[TokenKind.APP].fields}["role"].check
        if name != "100ms":  # Whose roles are the customer's own.
            with pytest.raises(ValueError, match="must be one of") as refused:
                check("nobody")
            assert sorted(str(refused.value).removeprefix("must be one of ").split(", ")) == sorted(roles)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_management_tokens_are_signed_with_the_demo_key(console: Visit, platform: str) -> None:
    console.choose("Platform", PLATFORMS[platform].title.replace("Agora Interactive ", ""))
    console.choose("Kind of token", "Management")
    console.mint("admin" if platform == "agora-whiteboard" else "management")

    console.shows("Minted and copied.")
    send = PLATFORMS[platform].auth_header
    assert send is not None
    expect(console.page.get_by_text(f"{send.header}: {send.prefix}…", exact=True)).to_be_visible()

    console.choose("Who is asking", "Nobody")
    console.mint("admin" if platform == "agora-whiteboard" else "management")
    console.shows("Refused by the gateway: Forbidden.")


def test_what_is_typed_is_what_is_asked_for(console: Visit) -> None:
    page = console.page
    console.choose("Platform", "Agora")
    console.type("Room", "lobby")
    console.type("User", "42")
    console.type("Life, in seconds", "120")
    page.get_by_role("checkbox", name="rtm").check()
    console.mint("subscriber")
    console.press("Read it")

    reading = page.locator("#reading")
    expect(reading.get_by_role("heading", name="Agora: app token")).to_be_visible()
    for words in ("lobby", "42", "subscriber", "rtc, rtm"):
        expect(reading.get_by_role("definition").filter(has_text=re.compile(f"^{words}$"))).to_be_visible()
    expect(reading.get_by_role("table", name="Service 1: rtc")).to_contain_text("joinChannel")
    expect(reading.get_by_role("table", name="Service 2: rtm")).to_contain_text("login")
    expect(reading.get_by_text(re.compile("^1 min [0-9]+ s$|^2 min$"))).to_be_visible()


def test_permissions_can_be_asked_for_in_place_of_a_role(console: Visit) -> None:
    console.choose("Platform", "VideoSDK")
    console.choose("Ask by", "permissions")
    console.page.get_by_role("radio", name="moderator").check()
    expect(console.page.get_by_role("tabpanel")).to_contain_text('"permissions": ["allow_join", "allow_mod"]')
    console.mint("moderator")

    console.shows("A moderator token for VideoSDK")


def test_a_role_of_ones_own(console: Visit) -> None:
    console.page.get_by_placeholder("another role").fill("stage-left")
    console.press("Mint a token for the other role and copy it")

    console.shows("A stage-left token")


def test_a_refusal_says_which_field(console: Visit) -> None:
    console.type("Life, in seconds", "59")
    console.type("Room", "")
    console.mint("host")

    console.shows("Refused: invalid-request.")
    expect(console.page.get_by_role("listitem").filter(has_text="expires_in")).to_contain_text("from 60 to 86400")
    expect(console.page.get_by_role("listitem").filter(has_text="room_id")).to_contain_text("is missing")


# --- the same request ------------------------------------------------------------------------------------------------

AWKWARD = """a'b"c\\d$HOME `x` { y } zoë 🎈"""
"""A user whose id means something in every one of the languages."""


def snippet(console: Visit, language: str) -> str:
    console.page.get_by_role("tab", name=language).click()
    shown = console.page.locator("#request-code").inner_text()
    console.press("Copy")
    console.page.wait_for_function("async text => await navigator.clipboard.readText() === text", arg=shown)
    return shown


def claims_of(token: str) -> dict[str, str]:
    payload = token.split(".")[1]
    claims: dict[str, str] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return claims


def test_the_requests_can_be_run_as_they_are(console: Visit, tmp_path: Path) -> None:
    console.type("User", AWKWARD)

    answer = json.loads(shell(snippet(console, "curl")))
    assert claims_of(answer["token"])["user_id"] == AWKWARD

    script = tmp_path / "ask.py"
    script.write_text(snippet(console, "Python"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert claims_of(done.stdout)["user_id"] == AWKWARD

    if shutil.which("node"):
        script = tmp_path / "ask.mjs"
        script.write_text(snippet(console, "JavaScript"))
        done = subprocess.run(["node", script], capture_output=True, text=True, check=True)
        assert claims_of(done.stdout)["user_id"] == AWKWARD


def test_a_signed_request_can_be_run_as_it_is(console: Visit, tmp_path: Path) -> None:
    console.choose("Kind of token", "Management")
    assert claims_of(json.loads(shell(snippet(console, "curl")))["token"])["type"] == "management"

    console.type("Life, in seconds", "300")
    script = tmp_path / "ask.py"
    script.write_text(snippet(console, "Python"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environ)
    assert claims_of(done.stdout)["type"] == "management"


@pytest.mark.parametrize(
    ("language", "literal"),
    [
        ("Swift", r'''"a'b\"c\\d$HOME `x` { y } zoë 🎈"'''),
        ("Kotlin", r'''"user_id" to "a'b\"c\\d\$HOME `x` { y } zoë 🎈"'''),
        ("Flutter", r'''"a'b\"c\\d\$HOME `x` { y } zoë 🎈"'''),
    ],
)
def test_other_languages_escape_what_means_something_in_them(console: Visit, language: str, literal: str) -> None:
    console.type("User", AWKWARD)
    text = snippet(console, language)

    assert literal in text
    assert "/v1/100ms/app-token" in text


def test_arrow_keys_walk_through_the_languages(console: Visit) -> None:
    console.page.get_by_role("tab", name="curl").focus()
    console.page.keyboard.press("ArrowLeft")

    expect(console.page.get_by_role("tab", name="Flutter")).to_be_focused()
    expect(console.page.get_by_role("tabpanel", name="Flutter")).to_contain_text("http.post")


# --- read ------------------------------------------------------------------------------------------------------------


def read(console: Visit, token: str) -> None:
    console.go("Read")
    console.type("Token", token)


def test_the_token_just_minted_is_read(console: Visit) -> None:
    console.mint("host")
    console.shows("Minted and copied.")
    console.go("Read")
    console.press("Take the one just minted")

    page = console.page
    console.shows("It is good. Nothing in it that 100ms would refuse.")
    console.shows("The signature holds.")
    expect(page.get_by_role("table", name="Header")).to_contain_text("HS256")
    expect(page.get_by_role("table", name="Claims")).to_contain_text("633fcdd84208780bf665346a")
    left = page.locator(".left b")
    before = left.inner_text()
    expect(left).not_to_have_text(before, timeout=3000)


def test_a_token_of_another_secret_does_not_hold(console: Visit) -> None:
    console.mint("host")
    console.shows("Minted and copied.")
    signed, _, signature = console.clipboard().rpartition(".")
    read(console, f"{signed}.{'A' * (len(signature) - 1)}A")

    console.shows("It would be refused.")
    console.shows("The signature does not hold.")
    expect(console.page.get_by_role("listitem").filter(has_text="40109 Bad JWT Token")).to_be_visible()


def test_what_is_no_token_is_said_to_be_none(console: Visit) -> None:
    read(console, "<img src=x onerror=alert(1)>")
    console.shows("This is not a token of 100ms, VideoSDK, Agora")


def test_what_a_token_says_is_text_and_never_markup(console: Visit) -> None:
    console.type("User", "<img src=x onerror=alert(1)>")
    console.mint("host")
    console.press("Read it")

    expect(console.page.get_by_role("table", name="Claims")).to_contain_text("<img src=x onerror=alert(1)>")
    assert console.page.locator("main img").count() == 0
    console.go("Watch")
    expect(console.page.get_by_text("for <img src=x onerror=alert(1)>").first).to_be_visible()
    assert console.page.locator("main img").count() == 0


# --- the switch ------------------------------------------------------------------------------------------------------


def test_nothing_is_chosen_before_it_is_known_what_is_stored(console: Visit) -> None:
    held = []

    def hold(asked: Route) -> None:
        held.append(asked)

    console.page.route("**/console/api/state", hold, times=1)
    console.go("Switch")
    expect(console.page.locator("#flag-form")).to_have_js_property("inert", True)

    held[0].continue_()
    console.choose("Minting is", "off in part")


# --- for everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "phone"), [("light", False), ("dark", False), ("light", True)])
def test_everybody_can_use_it(browser: Browser, stack: LocalStack, scheme: str, phone: bool) -> None:
    with visit(browser, stack.url, scheme=scheme, phone=phone) as console:  # type: ignore[arg-type]
        console.choose("Platform", "Agora")
        console.mint("publisher")
        console.press("Read it")
        console.shows("The signature holds.")
        for view in VIEWS:
            console.go(view)
            if view == "Switch":
                console.choose("Minting is", "off in part")
                console.press("Ask the policy")
                expect(console.page.get_by_role("status").filter(has_text="Allowed, by")).to_be_visible()
            if view == "Watch":
                console.page.locator("#lines summary").first.click()
            console.page.mouse.move(0, 0)
            found = Axe().run(console.page).response["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], view
            assert console.overflow == 0, view
