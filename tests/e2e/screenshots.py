"""Make the pictures of the console in docs/images from a real stack: `make screenshots`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser

from e2e.browsers import Visit, chromium, visit
from e2e.stacks import ROOT, started

IMAGES = ROOT / "docs" / "images"
CLASSROOM = "cli/roomkey_cli/data/policies/classroom.json"


def main() -> None:
    """Draw each view, and the first one on a phone."""
    IMAGES.mkdir(exist_ok=True)
    with chromium() as browser:
        with started() as stack:
            _mint(browser, stack.url, IMAGES / "console.png")
            _mint(browser, stack.url, IMAGES / "console-phone.png", scheme="dark", phone=True)
        with started("--access", "jwt", "--policy", CLASSROOM) as stack:
            _inspect(browser, stack.url)
            _controls(browser, stack.url)
            _activity(browser, stack.url)


@contextmanager
def _console(
    browser: Browser, url: str, *, scheme: Literal["light", "dark"] = "light", phone: bool = False
) -> Iterator[Visit]:
    with visit(browser, url, scheme=scheme, phone=phone, device_scale_factor=1) as console:
        yield console


def _save(console: Visit, path: Path) -> None:
    console.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    console.page.mouse.move(0, 0)
    console.page.wait_for_timeout(300)
    console.page.screenshot(path=path)


def _mint(
    browser: Browser, url: str, path: Path, *, scheme: Literal["light", "dark"] = "light", phone: bool = False
) -> None:
    with _console(browser, url, scheme=scheme, phone=phone) as console:
        console.mint("host")
        console.shows("Minted and copied.")
        _save(console, path)


def _inspect(browser: Browser, url: str) -> None:
    with _console(browser, url) as console:
        console.choose("Platform", "Agora")
        console.mint("publisher")
        console.shows("Minted and copied.")
        console.press("Inspect")
        console.shows("The signature is valid.")
        _save(console, IMAGES / "console-inspect.png")


def _controls(browser: Browser, url: str) -> None:
    with _console(browser, url) as console:
        for name in ("student", "teacher"):
            console.choose("Caller", name)
            for role in ("guest", "host"):
                console.mint(role)
                console.page.wait_for_timeout(700)
        console.choose("Caller", "student")
        console.mint("host")
        console.press("Show why")
        console.shows("no rule grants it")
        console.choose("Minting is", "partly off")
        console.page.get_by_role("checkbox", name="app tokens of videosdk").check()
        console.press("Apply")
        console.shows("Saved.")
        console.page.wait_for_timeout(4000)
        _save(console, IMAGES / "console-controls.png")


def _activity(browser: Browser, url: str) -> None:
    with _console(browser, url, scheme="dark") as console:
        console.go("Activity")
        console.shows("newest first")
        _save(console, IMAGES / "console-activity.png")


if __name__ == "__main__":
    main()
