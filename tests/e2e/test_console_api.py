"""The console's own API over HTTP."""

import base64
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from e2e.stacks import LocalStack, started
from roomkey import strict_json

OURS = {"x-roomkey-console": "1"}
CHANGES = [
    ("PUT", "flag", {"text": "true"}),
    ("PUT", "policy", {"text": '{"version": 1, "mode": "audit", "rules": []}'}),
]


def ask(
    stack: LocalStack, method: str, path: str, body: object = None, headers: Mapping[str, str] = OURS
) -> tuple[int, Mapping[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=10)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), dict(headers))
        response = connection.getresponse()
        content = response.read()
        is_json = response.headers["content-type"] == "application/json"
        return response.status, dict(response.headers), strict_json.loads(content) if is_json else content.decode()
    finally:
        connection.close()


def api(stack: LocalStack, method: str, name: str, body: object = None, headers: Mapping[str, str] = OURS) -> Any:
    return ask(stack, method, f"/console/api/{name}", body, headers)


def stored(stack: LocalStack) -> tuple[str, str]:
    state = api(stack, "GET", "state")[2]
    return state["flag"]["text"], state["policy"]["text"]


# --- access ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "application/json"}, OURS | {"Origin": "http://localhost:1"}], ids=str
)
@pytest.mark.parametrize(("method", "name", "body"), [CHANGES[1], ("GET", "state", None)])
def test_no_other_website_gets_an_answer(
    local_stack: LocalStack, method: str, name: str, body: object, headers: dict[str, str]
) -> None:
    before = stored(local_stack)
    status, answered, _ = api(local_stack, method, name, body, headers)

    assert status == 403
    assert "access-control-allow-origin" not in answered
    assert stored(local_stack) == before


def test_another_name_for_this_machine_gets_no_page(local_stack: LocalStack) -> None:
    assert ask(local_stack, "GET", "/console", headers={"Host": "evil.example"})[0] == 403
    port = urlsplit(local_stack.url).port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert ask(local_stack, "GET", "/console", headers={"Host": host})[0] == 200


def test_pages_may_load_nothing_from_elsewhere_and_run_nothing_inline(local_stack: LocalStack) -> None:
    for path in ("/console", "/console/console.js", "/console/console.css", "/console/key.svg"):
        status, headers, content = ask(local_stack, "GET", path, headers={})

        assert status == 200
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "://" not in content.replace("http://www.w3.org/2000/svg", "")


def test_only_the_pages_are_served(local_stack: LocalStack) -> None:
    for path in ("/console/../console.py", "/console/%2e%2e/console.py", "/console/nothing.js", "/console/api/nothing"):
        assert ask(local_stack, "GET", path)[0] == 404


def test_the_deployed_function_has_no_console() -> None:
    template = (Path(__file__).parents[2] / "template.yaml").read_text()

    assert "/console" not in template


# --- responses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "name", "body", "why"),
    [
        ("PUT", "flag", {"text": "offline"}, "The kill switch is invalid."),
        ("PUT", "flag", {"text": "app,app"}, "The kill switch is invalid."),
        ("PUT", "flag", {}, "text must be text."),
        ("PUT", "policy", {"text": '{\n"version": 2}'}, "The policy is invalid: line 1: mode is missing."),
        ("PUT", "policy", {"text": "{"}, "The policy is invalid: line 1: policy is not JSON"),
        ("PUT", "policy", {"text": "\ud800"}, "text must be text."),
        ("POST", "explanation", {"token": "nothing"}, "This is not a token of 100ms"),
        ("POST", "explanation", {"token": 1}, "token must be text."),
        ("POST", "explanation", {"token": "a" * 70_000}, "The request is too large for the console."),
        ("POST", "explanation", ["token"], "The request is not a JSON object."),
        ("POST", "signature", {"path": "//evil.example", "body": ""}, "The local key signs requests to mint only."),
        ("POST", "policy/decision", {"text": "{}", "question": {}}, "The policy is invalid."),
        ("GET", "audit?after=-1", None, "after must be the number of a line."),
    ],
)
def test_an_invalid_request_is_refused_with_the_reason(
    local_stack: LocalStack, method: str, name: str, body: object, why: str
) -> None:
    before = stored(local_stack)
    status, _, answer = api(local_stack, method, name, body)

    assert status == 400
    assert answer["error"].startswith(why)
    assert stored(local_stack) == before


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", "9" * 5000, '"\\ud800"', "[" * 9000 + "]" * 9000, '{"\\udfff": {}}']
)
def test_odd_json_gets_an_answer_in_strict_json(local_stack: LocalStack, value: str) -> None:
    payload = base64.urlsafe_b64encode(f'{{"access_key": "a", "type": "app", "version": {value}}}'.encode())
    token = f"eyJhbGciOiJIUzI1NiJ9.{payload.decode().rstrip('=')}.{'A' * 43}"

    status, _, answer = api(local_stack, "POST", "explanation", {"token": token})
    assert (status, answer["platform"], answer["claims"]["access_key"]) == (200, "100ms", "a")
    status, _, answer = api(local_stack, "POST", "policy/check", {"text": f'{{"version": {value}, "\\ud800": 1}}'})
    assert (status, answer["mode"]) == (200, None)
    assert api(local_stack, "PUT", "policy", {"text": f'{{"version": {value}}}'})[0] == 400
    question = {"as": f"user:{value}", "claims": f"a={value}"}
    assert api(local_stack, "POST", "policy/decision", {"text": "{}", "question": question})[0] == 400


def test_the_state_shows_the_cached_values(local_stack: LocalStack) -> None:
    state = api(local_stack, "GET", "state")[2]

    assert state["function"]["faults"] == {"flag": None, "policy": None}
    assert state["function"]["read_at"] >= state["policy"]["changed_at"]
    assert (
        0
        <= state["now"] - state["function"]["read_at"]
        <= api(local_stack, "GET", "stack")[2]["in_effect_within"]
        == 36
    )


@pytest.mark.parametrize(
    ("name", "text", "faults"),
    [
        ("policy", "{}", {"flag": None, "policy": "policy-unavailable (invalid-policy)"}),
        ("disabled", "offline", dict.fromkeys(("flag", "policy"), "kill-switch-unavailable (invalid-kill-switch)")),
    ],
)
def test_the_state_shows_invalid_values(name: str, text: str, faults: dict[str, str | None]) -> None:
    with started() as stack:  # Its cache is empty.
        ssm = stack.client("ssm")
        ssm.put_parameter(Name=f"/roomkey/local/{name}", Value=text, Type="String", Overwrite=True)

        assert api(stack, "GET", "state")[2]["function"]["faults"] == faults


def test_an_inspected_token_is_not_logged(local_stack: LocalStack) -> None:
    body = {"room_id": "r1", "role": "host"}
    token = ask(local_stack, "POST", "/v1/100ms/app-token", body, {"Content-Type": "application/json"})[2]["token"]
    explanation = api(local_stack, "POST", "explanation", {"token": token})[2]
    lines = api(local_stack, "GET", "audit?after=0")[2]["lines"]

    assert (explanation["platform"], explanation["room"], explanation["signature"]) == ("100ms", "r1", "valid")
    assert explanation["header"] == {"alg": "HS256", "typ": "JWT"}
    assert token not in json.dumps(lines)
    assert lines[-1]["line"]["requested"]["room_id"] == "r1"
    numbers = [line["number"] for line in lines]
    assert api(local_stack, "GET", f"audit?after={numbers[-2] if len(numbers) > 1 else 0}")[2]["lines"] == lines[-1:]
