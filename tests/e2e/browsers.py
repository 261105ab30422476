"""A real browser on the console, which records complaints and the hosts that it called."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}")

PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1280, "height": 800}

PATIENCE_MS = 20_000
"""Milliseconds until a missing element fails a test: long, for a busy machine."""


@dataclass
class Visit:
    """A page of the console, open in the browser."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self) -> None:
        """Open the console without drafts."""
        self.page.goto(f"{self.url}/console/key.svg")
        self.page.evaluate("sessionStorage.clear()")
        self.reload()

    def reload(self) -> None:
        """Load the console again with its drafts."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/console")
        self.page.wait_for_selector("html[data-ready]")

    def choose(self, group: str, option: str) -> None:
        """Return a radio button of the group with that name."""
        self.page.get_by_role("group", name=group).get_by_role("radio", name=option, exact=True).check()

    def type(self, field: str, text: str) -> None:
        self.page.get_by_role("textbox", name=field, exact=True).filter(visible=True).first.fill(text)

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def mint(self, role: str = "") -> None:
        """Choose a role, if there is a choice, and mint."""
        if role:
            self.choose("Role", role)
        self.page.evaluate("navigator.clipboard.writeText('')")
        self.press("Mint token")

    def shows(self, text: str | Pattern[str]) -> None:
        """Wait until the text is visible."""
        expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible()

    def go(self, view: str) -> None:
        """Go to another view with the navigation."""
        self.page.get_by_role("navigation").get_by_role("link", name=view).click()

    def clipboard(self) -> str:
        """Return what the last mint copied, as soon as it is there."""
        for _ in range(100):
            text: str = self.page.evaluate("navigator.clipboard.readText()")
            if text:
                break
            self.page.wait_for_timeout(100)
        return text

    @property
    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        wider: int = self.page.evaluate("Math.max(0, document.documentElement.scrollWidth - innerWidth)")
        return wider


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Start headless Chromium. Its sandbox does not work for root, as in a container."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", *arguments])
        yield browser
        browser.close()


@contextmanager
def visit(
    browser: Browser, url: str, *, scheme: Literal["light", "dark"] = "light", phone: bool = False, **context: Any
) -> Iterator[Visit]:
    """The console at `url`, ready for use."""
    opened = browser.new_context(
        color_scheme=scheme,
        viewport=PHONE if phone else DESK,
        permissions=["clipboard-read", "clipboard-write"],
        locale="en-GB",
        timezone_id="UTC",
        **context,
    )
    page = opened.new_page()
    page.set_default_timeout(PATIENCE_MS)
    seen = Visit(page, url)
    page.on("console", lambda message: None if _is_a_refusal(message.text) else seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).netloc))
    seen.open()
    try:
        yield seen
    finally:
        opened.close()


def _is_a_refusal(complaint: str) -> bool:
    """Return whether this is Chromium's message for a 4xx response, which every refusal is."""
    return bool(re.match(r"Failed to load resource: the server responded with a status of 4\d\d", complaint))
