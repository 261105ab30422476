"""Makes the pictures of the console in docs/images anew, from a real stack: `make screenshots`."""

from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser

from e2e.browsers import chromium, visit
from e2e.stacks import ROOT, LocalStack, started

IMAGES = ROOT / "docs" / "images"


def main() -> None:
    """Draws each view, and two of them in other dress."""
    IMAGES.mkdir(exist_ok=True)
    with chromium() as browser:
        with started() as stack:
            _mint(browser, stack, IMAGES / "console.png")
            _mint(browser, stack, IMAGES / "console-phone.png", scheme="dark", phone=True)
        with started("--access", "jwt", "--policy", "cli/roomkey_cli/data/policies/classroom.json") as stack:
            _the_rest(browser, stack)


def _mint(
    browser: Browser, stack: LocalStack, file: Path, *, scheme: Literal["light", "dark"] = "light", phone: bool = False
) -> None:
    with visit(browser, stack.url, scheme=scheme, phone=phone, device_scale_factor=1.5) as console:
        console.mint("host")
        console.shows("Minted and copied.")
        console.page.evaluate("document.activeElement.blur()")
        console.page.wait_for_timeout(2500)  # The key is a key again.
        console.page.screenshot(path=file, full_page=not phone)


def _the_rest(browser: Browser, stack: LocalStack) -> None:
    with visit(browser, stack.url, device_scale_factor=1.5) as console:
        console.choose("Platform", "Agora")
        console.mint("publisher")
        console.shows("Minted and copied.")
        console.press("Read it")
        console.shows("The signature holds.")
        console.page.screenshot(path=IMAGES / "console-read.png", full_page=True)

        console.go("Mint")
        for name in ("student", "teacher"):
            console.choose("Who is asking", name)
            for role in ("publisher", "subscriber"):
                console.mint(role)
                console.page.wait_for_timeout(2500)
        console.choose("Who is asking", "student")
        console.mint("publisher")
        console.press("Ask the policy why")
        console.shows("Refused, no rule grants it.")
        console.choose("Minting is", "off in part")
        console.page.get_by_role("checkbox", name="app tokens of videosdk").check()
        console.press("Turn the switch")
        console.shows("at the latest")
        console.page.wait_for_timeout(6000)
        console.page.mouse.move(0, 0)
        console.page.evaluate("scrollTo(0, 0)")
        console.page.screenshot(path=IMAGES / "console-switch.png", full_page=True)

    with visit(browser, stack.url, scheme="dark", device_scale_factor=1.5) as console:
        console.go("Watch")
        console.shows("newest first")
        console.page.screenshot(path=IMAGES / "console-watch.png")


if __name__ == "__main__":
    main()
