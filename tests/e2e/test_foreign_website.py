"""A page on another origin, in a real Chromium, attacks a local stack. Reproduces an attack that once worked."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from e2e.browsers import chromium, needs_chromium
from e2e.stacks import LocalStack

pytestmark = needs_chromium

FETCH = """async ([url, options]) => {
  try {
    const response = await fetch(url, options);
    return {status: response.status, type: response.type, body: await response.text()};
  } catch (error) {
    return {failed: String(error)};
  }
}"""


@pytest.fixture(scope="module")
def stack(start: Callable[..., LocalStack]) -> LocalStack:
    return start("--access", "jwt")


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a web server with an empty page."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("<!doctype html><title>Evil</title>")
    handler = partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as browser:
        yield browser


@pytest.fixture(scope="module", params=["http://evil.example", "http://127.0.0.1", "http://localhost"])
def evil(request: pytest.FixtureRequest, browser: Browser, website: int) -> Iterator[Page]:
    """A page of another origin: another site, another port of this machine."""
    page = browser.new_page()
    page.goto(f"{request.param}:{website}/")
    yield page
    page.close()


def attack(page: Page, url: str, **options: Any) -> str:
    """The part of a response that the page can read, empty if it can read nothing."""
    seen: dict[str, Any] = page.evaluate(FETCH, [url, options])
    return "" if "failed" in seen else f"{seen['status']} {seen['body']}"


def aws(operation: str, **parameters: object) -> dict[str, Any]:
    """Return a call of AWS as a page would disguise it as a simple request."""
    service = "secretsmanager" if "Secret" in operation else "AmazonSSM"
    return {
        "method": "POST",
        "headers": {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{service}.{operation}"},
        "body": json.dumps(parameters),
    }


def test_it_reads_no_secret(evil: Page, stack: LocalStack) -> None:
    asked = aws("GetSecretValue", SecretId="roomkey/local/100ms")
    assert attack(evil, stack.aws, **asked) == ""
    assert attack(evil, f"{stack.aws}/?Action=GetSecretValue&SecretId=roomkey/local/100ms") == ""
    assert attack(evil, f"{stack.aws}/moto-api/data.json") == ""
    assert attack(evil, stack.aws, **{**asked, "headers": {"Content-Type": "text/plain"}}) == ""


def test_it_changes_neither_kill_switch_nor_policy(evil: Page, stack: LocalStack) -> None:
    ssm = stack.client("ssm")
    names = ["/roomkey/local/disabled", "/roomkey/local/policy"]
    before = [(one["Value"], one["Version"]) for one in ssm.get_parameters(Names=names)["Parameters"]]
    for name in names:
        change = aws("PutParameter", Name=name, Value="true", Type="String", Overwrite=True)
        attack(evil, stack.aws, **change)
        attack(evil, stack.aws, **{**change, "mode": "no-cors", "headers": {"Content-Type": "text/plain"}})
    for name in ("flag", "policy"):
        for headers in ({"x-roomkey-console": "1"}, {}):
            body = json.dumps({"text": "true"})
            attack(evil, f"{stack.url}/console/api/{name}", method="PUT", headers=headers, body=body)
    assert [(one["Value"], one["Version"]) for one in ssm.get_parameters(Names=names)["Parameters"]] == before


def test_it_reads_no_token_and_nothing_of_the_console(evil: Page, stack: LocalStack) -> None:
    body = json.dumps({"user": "teacher"})
    assert attack(evil, f"{stack.url}/demo/token", method="POST", body=body) == ""
    assert attack(evil, f"{stack.url}/demo/token", method="POST", body=body, mode="no-cors") in ("", "0 ")
    for name in ("stack", "state", "audit"):
        assert attack(evil, f"{stack.url}/console/api/{name}", headers={"x-roomkey-console": "1"}) == ""
    assert "decision" not in "".join(stack.since)


def test_a_name_that_points_here_reads_nothing(browser: Browser, stack: LocalStack) -> None:
    """DNS rebinding: the page's own host name resolves to the stack."""
    for url in (stack.url, stack.aws):
        page = browser.new_page()
        own = f"http://evil.example:{urlsplit(url).port}"
        page.goto(f"{own}/v1/health")
        for path in ("/v1/health", "/console/api/stack", "/demo/token", "/"):
            seen = attack(page, own + path, headers={"x-roomkey-console": "1"})
            assert seen.startswith("403 "), (path, seen)
        asked = aws("GetSecretValue", SecretId="roomkey/local/100ms")
        assert attack(page, own, **asked).startswith("403 ")
        page.close()
