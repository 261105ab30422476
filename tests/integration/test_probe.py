"""`roomkey probe` against an endpoint with prepared responses."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from roomkey.minting import mint
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Randomness, TokenKind
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import parse
from roomkey_cli.tokens.minimal_request import minimal_request
from support.commands import DEMO, Account, roomkey
from support.platforms import every_token

Answer = tuple[int, dict[str, Any]]

FORBIDDEN: Answer = (403, {"message": "Forbidden"})
OFF: Answer = (403, {"success": False, "code": "minting-disabled"})


def minted(platform: str = "100ms", kind: TokenKind = TokenKind.MANAGEMENT, lifetime: int = 1800) -> Answer:
    """Return the response to a granted request."""
    vendor = PLATFORMS[platform]
    request = parse(vendor, kind, minimal_request(vendor, kind), lifetimes=DEFAULT_LIFETIMES)
    keys = vendor.parse_secret(DEMO[platform])
    made = mint(request, lifetime, keys, at=time.time(), randomness=Randomness())
    return 200, {"success": True, **made.response_members, "expires_at": made.grant.expires_at}


@dataclass
class Endpoint:
    """The responses to signed and unsigned requests, and the requests that arrived."""

    url: str = ""
    signed: Answer = field(default_factory=minted)
    unsigned: Answer = FORBIDDEN
    health: Answer = (200, {"platforms": ["100ms", "agora"], "minting": "on", "version": "0.0.0"})
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    document = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(*document.health)

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(self.rfile.read(int(headers["content-length"])))
            document.asked.append((self.path, headers, body))
            self.answer(*(document.signed if "authorization" in headers else document.unsigned))

        def answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            if 300 <= status < 400:
                self.send_header("location", document.url)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Do not log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        document.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield document
        server.shutdown()
        thread.join()


def probe(account: Account, endpoint: Endpoint, *options: str, stdin: str = "") -> Any:
    """Run a probe and return its output and exit status."""
    result = roomkey("probe", "staging", "--url", endpoint.url, "--json", *options, stdin=stdin)
    return {**result.json, "status": result.status}


@pytest.mark.threat("J7")
def test_a_token_is_minted_and_a_stranger_refused(account: Account, endpoint: Endpoint) -> None:
    document = probe(account, endpoint)

    assert (document["status"], document["minted"]["level"], document["refused"]["level"]) == (0, "ok", "ok")
    (path, signed, body), (other_path, unsigned, other_body) = endpoint.asked
    assert (path, body) == (other_path, other_body) == ("/v1/100ms/management-token", {})
    assert signed["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/")
    assert "/eu-central-1/execute-api/aws4_request" in signed["authorization"]
    assert "authorization" not in unsigned


@every_token
def test_every_platform_and_kind(account: Account, endpoint: Endpoint, platform: str, kind: TokenKind) -> None:
    endpoint.signed = minted(platform, kind)

    document = probe(account, endpoint, "--platform", platform, "--kind", kind)

    assert (document["status"], document["platform"], document["kind"]) == (0, platform, kind)
    assert endpoint.asked[0][0] == f"/v1/{platform}/{kind}-token"


def test_a_bearer_token_comes_from_a_variable_or_standard_input(
    account: Account, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.signed = minted(kind=TokenKind.APP)
    monkeypatch.setenv("MY_TOKEN", "from.a.variable")

    assert probe(account, endpoint, "--kind", "app", "--bearer-env", "MY_TOKEN")["status"] == 0
    assert probe(account, endpoint, "--kind", "app", "--bearer-stdin", stdin="from.an.input\n")["status"] == 0
    authorizations = [headers.get("authorization") for _, headers, _ in endpoint.asked]
    assert authorizations == ["Bearer from.a.variable", None, "Bearer from.an.input", None]


def test_open_access_needs_no_authentication(account: Account, endpoint: Endpoint) -> None:
    """The request that must be refused is then one for a management token."""
    endpoint.unsigned = minted(kind=TokenKind.APP)
    refused = probe(account, endpoint, "--kind", "app", "--anonymous")["refused"]
    assert refused["level"] == "fail"
    assert refused["message"].startswith("management token request without a sign-in")

    assert [path for path, _, _ in endpoint.asked] == ["/v1/100ms/app-token", "/v1/100ms/management-token"]
    assert all("authorization" not in headers for _, headers, _ in endpoint.asked)


def test_disabled_minting_has_its_own_exit_status(account: Account, endpoint: Endpoint) -> None:
    endpoint.signed = OFF

    document = probe(account, endpoint)

    assert (document["status"], document["minted"]["level"], document["refused"]["level"]) == (4, "warn", "ok")


def test_switched_off_hides_nothing_that_is_wrong(account: Account, endpoint: Endpoint) -> None:
    endpoint.signed = endpoint.unsigned = OFF

    assert probe(account, endpoint)["status"] == 1


NO_TOKEN = [
    (FORBIDDEN, "no token: 403 Forbidden (API Gateway rejects this sign-in)"),
    ((403, {"code": "not-allowed"}), "(the policy does not grant it to you)"),
    ((503, {"code": "kill-switch-unavailable"}), "no token: 503 kill-switch-unavailable"),
    ((500, {"message": "Internal Server Error"}), "no token: 500 Internal Server Error"),
    ((302, {}), "no token: 302"),
    ((200, {}), "200, but it contains no token"),
    ((200, {"token": "abc", "expires_at": 1}), "that is not a 100ms token"),
    (minted("videosdk"), "that is not a 100ms token"),
    ((200, {**minted()[1], "expires_at": 17}), "the token does not match the response"),
    (minted(kind=TokenKind.APP), "the token does not match the response"),
]


@pytest.mark.threat("J7")
@pytest.mark.parametrize(("answer", "message"), NO_TOKEN)
def test_an_invalid_token_is_found(account: Account, endpoint: Endpoint, answer: Answer, message: str) -> None:
    endpoint.signed = answer

    document = probe(account, endpoint)

    assert (document["status"], document["minted"]["level"]) == (1, "fail")
    assert message in document["minted"]["message"]


def test_a_token_that_is_over_is_found(account: Account, endpoint: Endpoint) -> None:
    endpoint.signed = minted(lifetime=60)
    answer = endpoint.signed[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: float(answer["expires_at"] + 1))
        document = probe(account, endpoint)

    assert "the vendor would refuse the token" in document["minted"]["message"]


@pytest.mark.threat("J7")
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (minted(), "GOT A TOKEN"),
        (OFF, "was not stopped by the gateway: 403 minting-disabled"),
        ((403, {"code": "not-allowed"}), "was not stopped by the gateway"),
        ((503, {"code": "kill-switch-unavailable"}), "was not stopped by the gateway"),
        ((429, {"message": "Too Many Requests"}), "was not stopped by the gateway"),
        ((404, {"code": "not-found"}), "was not stopped by the gateway"),
    ],
)
def test_an_unauthenticated_caller_with_a_token_is_found(
    account: Account, endpoint: Endpoint, answer: Answer, message: str
) -> None:
    endpoint.unsigned = answer

    document = probe(account, endpoint)

    assert (document["status"], document["refused"]["level"]) == (1, "fail")
    assert message in document["refused"]["message"]


@pytest.mark.parametrize("answer", [FORBIDDEN, (401, {"message": "Unauthorized"}), (401, {"code": "unauthenticated"})])
def test_every_way_to_stop_a_stranger_is_known(account: Account, endpoint: Endpoint, answer: Answer) -> None:
    endpoint.unsigned = answer

    assert probe(account, endpoint)["refused"]["level"] == "ok"


@pytest.mark.threat("J7")
@pytest.mark.parametrize(
    ("signed", "values"),
    [(minted(), {"ProbeMinted": 1, "ProbeRefused": 1}), (FORBIDDEN, {"ProbeMinted": 0, "ProbeRefused": 1}),
     (OFF, {"ProbeMinted": 1, "ProbeRefused": 1})],
)  # fmt: skip
def test_both_results_are_counted(account: Account, endpoint: Endpoint, signed: Answer, values: dict[str, int]) -> None:
    """An operator turned minting off, so the probe succeeds."""
    endpoint.signed = signed

    assert counted(account, endpoint.url) == values


@pytest.mark.threat("J7")
@pytest.mark.parametrize(
    ("unsigned", "refused"),
    [
        (minted(), 0),
        ((403, {"code": "not-allowed"}), 0),
        ((503, {"code": "kill-switch-unavailable"}), 0),
        ((429, {"message": "Too Many Requests"}), None),
        ((503, {"message": "Service Unavailable"}), None),
        ((500, {"message": "Internal Server Error"}), None),
    ],
)
def test_only_an_unauthenticated_request_that_passed_counts(
    account: Account, endpoint: Endpoint, unsigned: Answer, refused: int | None
) -> None:
    endpoint.unsigned = unsigned

    assert counted(account, endpoint.url).get("ProbeRefused") == refused


@pytest.mark.parametrize("options", [[], ["--platform", "100ms"]])
def test_an_outage_counts_as_no_token_and_as_nothing_else(account: Account, options: list[str]) -> None:
    assert counted(account, "http://127.0.0.1:1", *options) == {"ProbeMinted": 0}


def test_something_else_at_the_address_counts_as_no_token(account: Account, endpoint: Endpoint) -> None:
    endpoint.health = (404, {"message": "Not Found"})

    assert counted(account, endpoint.url) == {"ProbeMinted": 0}


def counted(account: Account, url: str, *options: str) -> dict[str, int]:
    """Return the metrics of a probe."""
    name = account.environment()
    document = roomkey("probe", name, "--url", url, "--metric", "--json", *options).json
    assert document["counted"] is True
    watch = account.client("cloudwatch")
    dimensions = [{"Name": "environment", "Value": name}]
    found = {}
    for metric in watch.list_metrics(Namespace="Roomkey", Dimensions=dimensions)["Metrics"]:
        points = watch.get_metric_statistics(
            Namespace="Roomkey", MetricName=metric["MetricName"], Dimensions=dimensions, Period=60,
            StartTime=time.time() - 600, EndTime=time.time() + 600, Statistics=["Sum"],
        )["Datapoints"]  # fmt: skip
        found[metric["MetricName"]] = sum(point["Sum"] for point in points)
    counts = {"ProbeMinted": document["minted"]["counts"], "ProbeRefused": document["refused"]["counts"]}
    assert found == {name: count for name, count in counts.items() if count is not None}
    return found


def test_the_address_is_the_stacks(account: Account, endpoint: Endpoint) -> None:
    name = account.environment()
    account.stack(name, ApiUrl=endpoint.url)

    result = roomkey("probe", name)

    assert result.status == 0, result.err
    assert [line.split()[:2] for line in result.lines] == [["ok", "minted"], ["ok", "refused"]]


def test_a_stack_without_an_address_is_reported(account: Account) -> None:
    name = account.environment()
    account.stack(name, ApiUrl="nothing")

    result = roomkey("probe", name)

    assert (result.status, "no output ApiUrl with a URL" in result.err) == (1, True)


def test_without_an_address_there_is_nothing_to_ask(account: Account) -> None:
    result = roomkey("probe", account.environment())

    assert result.status == 1
    assert "use --url" in result.err


@pytest.mark.parametrize(
    "options",
    [
        ["--anonymous"],
        ["--bearer-stdin"],
        ["--kind", "app", "--anonymous", "--bearer-stdin"],
        ["--kind", "app", "--bearer-env", "NOT_SET_ANYWHERE"],
        ["--kind", "app", "--bearer-stdin"],
        ["--body", "[]"],
        ["--body", "{"],
        ["--platform", "zoom"],
        ["--kind", "admin"],
    ],
)
def test_wrong_usage(account: Account, endpoint: Endpoint, options: list[str]) -> None:
    result = roomkey("probe", "staging", "--url", endpoint.url, *options)

    assert (result.status, endpoint.asked) == (2, [])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://x",
        "https://",
        "http://[",
        "http://x:99999",
        "http://x:y",
        "http://x y",
        "http://x/ y",
        "http://ü",
        "http://x\n",
    ],
)
def test_an_invalid_address_is_reported(account: Account, url: str) -> None:
    assert roomkey("probe", "staging", "--url", url).status == 2


def test_an_endpoint_that_is_not_there(account: Account) -> None:
    result = roomkey("probe", "staging", "--url", "http://127.0.0.1:1", "--json")
    assert (result.status, result.json["platform"], result.json["minted"]["duration_ms"]) == (1, None, None)
    assert result.json["minted"]["message"].startswith("no response: ")
    assert [result.json[one]["level"] for one in ("minted", "refused")] == ["fail", "fail"]

    result = roomkey("probe", "staging", "--url", "http://127.0.0.1:1", "--platform", "100ms")
    assert (result.status, result.out.count("no response")) == (1, 2)


def test_an_endpoint_that_is_something_else(account: Account, endpoint: Endpoint) -> None:
    endpoint.health = (404, {"message": "Not Found"})

    result = roomkey("probe", "staging", "--url", endpoint.url)

    assert (result.status, "is not Roomkey's: it returned 404 Not Found" in result.out) == (1, True)


@pytest.mark.parametrize("platforms", [7, [["100ms"]], [{}], "100ms", None, ["zoom"]])
def test_health_that_makes_no_sense(account: Account, endpoint: Endpoint, platforms: object) -> None:
    endpoint.health = (200, {"platforms": platforms, "minting": "on", "version": "0"})

    document = probe(account, endpoint)

    assert (document["status"], document["platform"]) == (1, None)
    assert "is not Roomkey's" in document["minted"]["message"]
    assert roomkey("doctor", account.create(), "--url", endpoint.url).status in (0, 1)


@pytest.mark.parametrize("line", [b"nonsense\r\n\r\n", b"\x00\xff", b"HTTP/1.1 20x OK\r\n\r\n", b""])
def test_an_endpoint_without_http_is_reported(account: Account, line: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(2):
                one, _ = server.accept()
                with one:
                    one.recv(65536)
                    one.sendall(line)

        thread = Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        document = roomkey("probe", "staging", "--url", url, "--platform", "100ms", "--json").json
        thread.join(timeout=10)

    assert [document[one]["message"].split(":")[0] for one in ("minted", "refused")] == ["no response"] * 2


def test_an_endpoint_cannot_control_the_terminal(account: Account, endpoint: Endpoint) -> None:
    endpoint.health = (404, {"message": "\x1b[2J\x07"})
    endpoint.signed = (500, {"message": "\x1b[2J\x07"})

    for options in ([], ["--platform", "100ms"]):
        result = roomkey("probe", "staging", "--url", endpoint.url, *options)
        assert "\\u001b" in result.out
        assert not {"\x1b", "\x07"} & {*result.out, *result.err}
