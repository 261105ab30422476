"""`roomkey probe`: whether a deployed endpoint mints a token, and refuses a request without a sign-in."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from roomkey.errors import MintingDisabled, Unauthenticated
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, TokenKind
from roomkey_cli import json_input
from roomkey_cli.aws import endpoint, stacks
from roomkey_cli.aws.client import Aws
from roomkey_cli.aws.endpoint import ConnectionFailed, Response
from roomkey_cli.commands.options import EnvironmentArgument, KindOption, PlatformOption, Url
from roomkey_cli.commands.session import Session
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import FAIL, OK, REFUSED, STYLES, SWITCHED_OFF, USAGE, WARN, fail, print_json, print_line
from roomkey_cli.tokens.minimal_request import minimal_request

MINTED_METRIC = "ProbeMinted"
REFUSED_METRIC = "ProbeRefused"

NAMESPACE = "Roomkey"
"""The function's namespace. Importing it would import Powertools, which the command does not need."""

_SIGN_IN = "How to sign in"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one request: `ok`, `fail`, or `warn` if minting is off. `duration_ms` is None without a response.

    `counts` is the value for the metric: 1 for good, 0 for bad, None if the request proves neither.
    """

    level: str
    message: str
    duration_ms: int | None = None
    counts: int | None = None


def probe(
    environment: EnvironmentArgument,
    session: Session,
    url: Url = None,
    platform: PlatformOption = None,
    kind: KindOption = TokenKind.MANAGEMENT,
    body: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="The request; @FILE reads a file. Default: the platform's smallest.",
            show_default=False,
        ),
    ] = None,
    bearer_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="App tokens with jwt: the environment variable that contains your access token.",
            show_default=False,
            rich_help_panel=_SIGN_IN,
        ),
    ] = None,
    bearer_stdin: Annotated[
        bool,
        typer.Option(
            "--bearer-stdin",
            help="App tokens with jwt: read your access token from standard input.",
            rich_help_panel=_SIGN_IN,
        ),
    ] = False,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Send no credentials (app tokens with open).", rich_help_panel=_SIGN_IN)
    ] = False,
    metric: Annotated[
        bool, typer.Option("--metric", help="Publish both results as CloudWatch metrics, namespace Roomkey.")
    ] = False,
) -> None:
    """Request a token that a deployed endpoint must mint, and one that it must refuse.

    The token is decoded and not used. The request is signed with your AWS credentials (SigV4), as for management tokens
    and, with iam, app tokens. The second request has no sign-in: it is the same one, or with --anonymous one for a
    management token.

    Exit status: 0 minted and refused, 1 one of the two failed, 2 wrong usage, 3 AWS failed, 4 minting is off and
    everything else is right.

    Example: roomkey probe prod --metric

    Example: roomkey probe local --url http://127.0.0.1:8000 --kind app --anonymous
    """
    aws = session.aws
    signed = sign_in(aws, kind, bearer_env=bearer_env, bearer_stdin=bearer_stdin, anonymous=anonymous)
    document = _body(body)
    base = api_url(url, environment, aws)
    vendor = PLATFORMS[platform] if platform else None
    try:
        vendor = vendor or first_served(base)
    except NotServed as error:
        minted, refused = Verdict(FAIL, str(error), counts=0), Verdict(FAIL, "not sent: no endpoint")
    else:
        if kind not in vendor.kinds:
            fail(f"{vendor.title} has no {kind} tokens", USAGE)
        call = Call(base, vendor, kind, minimal_request(vendor, kind) if document is None else document)
        minted = mints(call, signed(call))
        refused = _refused(call, anonymous=anonymous)
    if metric:
        _count(aws, environment, {MINTED_METRIC: minted, REFUSED_METRIC: refused})

    verdicts = {"minted": minted, "refused": refused}
    if session.as_json:
        details = {
            "environment": environment.name,
            "url": base,
            "platform": vendor.name if vendor else None,
            "kind": kind,
        }
        print_json({**details, **{name: asdict(verdict) for name, verdict in verdicts.items()}, "counted": metric})
    else:
        show(verdicts)
    if FAIL in (minted.level, refused.level):
        raise typer.Exit(REFUSED)
    if minted.level == WARN:
        raise typer.Exit(SWITCHED_OFF)


def show(verdicts: Mapping[str, Verdict]) -> None:
    """Print one line for each verdict."""
    for name, verdict in verdicts.items():
        print_line(f"{name:<8} {verdict.message}", mark=f"{verdict.level:<5} ", style=STYLES[verdict.level])


_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """A token request."""

    base: str
    platform: Platform
    kind: TokenKind
    body: Mapping[str, object]

    @property
    def url(self) -> str:
        return f"{self.base}/v1/{self.platform.name}/{self.kind}-token"

    @property
    def content(self) -> bytes:
        return json.dumps(self.body).encode()


def unsigned(call: Call) -> Call | None:
    """Return a request for a management token, which always needs a sign-in, or None if the platform has none."""
    if TokenKind.MANAGEMENT not in call.platform.kinds:
        return None
    return Call(call.base, call.platform, TokenKind.MANAGEMENT, {})


def _refused(call: Call, *, anonymous: bool) -> Verdict:
    protected = unsigned(call) if anonymous else call
    if protected is None:
        return Verdict(OK, f"not checked: with open access, {call.platform.title} has no route that needs a sign-in")
    return refuses(protected)


def _body(text: str | None) -> Mapping[str, object] | None:
    if text is None:
        return None
    try:
        if text.startswith("@"):
            return json_input.read_file(Path(text[1:]))
        return json_input.parse(text.encode(errors="surrogateescape"), "--body")
    except json_input.InvalidInput as error:
        fail(str(error), USAGE)


def sign_in(
    aws: Aws, kind: TokenKind, *, bearer_env: str | None = None, bearer_stdin: bool = False, anonymous: bool = False
) -> Callable[["Call"], Mapping[str, str]]:
    """Return a function that makes the headers of a signed-in request."""
    if (bearer_env is not None) + bearer_stdin + anonymous > 1:
        fail("--bearer-env, --bearer-stdin and --anonymous exclude each other", USAGE)
    if kind is TokenKind.MANAGEMENT and (bearer_env is not None or bearer_stdin or anonymous):
        fail("management tokens need your AWS credentials; the other ways to sign in need --kind app", USAGE)
    if anonymous:
        return lambda _: _HEADERS
    if bearer_env is None and not bearer_stdin:
        return lambda call: aws.signed("POST", call.url, call.content, _HEADERS)
    where = "on standard input" if bearer_stdin else f"in the variable {bearer_env}"
    bearer = (sys.stdin.read() if bearer_stdin else os.environ.get(bearer_env or "", "")).strip()
    if not re.fullmatch(r"[!-~]+", bearer):
        fail(f"no access token {where}", USAGE)
    return lambda _: {**_HEADERS, "Authorization": f"Bearer {bearer}"}


def api_url(url: str | None, environment: Environment, aws: Aws) -> str:
    if url is None:
        stack = stacks.find_stack(aws, environment)
        if stack is None:
            fail(f"stack {environment.stack_name} is missing in {aws.region}: use --url or another --region", REFUSED)
        url = stack.url
        if not endpoint.is_url(url):
            fail(f"{environment.stack_name} has no output ApiUrl with a URL: use --url", REFUSED)
    return url.rstrip("/")


class NotServed(Exception):
    """There is no Roomkey endpoint at the URL. The text contains what is there."""


def first_served(base: str) -> Platform:
    """Return the first platform that health lists. Raises `NotServed`."""
    try:
        response = endpoint.send("GET", f"{base}/v1/health", {})
    except ConnectionFailed as error:
        raise NotServed(f"no response: {error}") from None
    if not response.platforms:
        raise NotServed(f"{base}/v1/health is not Roomkey's: it returned {response.summary}")
    return response.platforms[0]


def mints(call: Call, headers: Mapping[str, str]) -> Verdict:
    """Request a token. Minting that is switched off is not a fault, and counts as good."""
    try:
        response = endpoint.send("POST", call.url, headers, call.content)
    except ConnectionFailed as error:
        return Verdict(FAIL, f"no response: {error}", counts=0)
    duration = round(response.duration)
    if response.code == MintingDisabled.code:
        return Verdict(WARN, f"minting is off: {response.summary}", duration, 1)
    if response.status != 200:
        return Verdict(FAIL, f"no token: {response.summary}{_hint(response)}", duration, 0)
    if flaw := _flaw(call, response):
        return Verdict(FAIL, f"200, but {flaw}", duration, 0)
    return Verdict(OK, f"{call.kind} token for {call.platform.title}, in {duration} ms", duration, 1)


def _hint(response: Response) -> str:
    if response.code == "not-allowed":
        return " (the policy does not grant it to you)"
    if response.status in (401, 403) and not response.code:
        return " (API Gateway rejects this sign-in)"
    return ""


def _flaw(call: Call, response: Response) -> str | None:
    """Return what is wrong with the token in the response, or None."""
    token, expires_at = call.platform.token_in(response.body), response.body.get("expires_at")
    if token is None:
        return "it contains no token"
    report = call.platform.explain(token, None, time.time())
    if report is None or report.content.kind is None:
        return f"that is not a {call.platform.title} token"
    if report.problems:
        return f"the vendor would refuse the token: {'; '.join(report.problems)}"
    if report.content.kind is not call.kind or report.content.expires_at != expires_at:
        return "the token does not match the response"
    return None


def refuses(call: Call) -> Verdict:
    """Send a request without a sign-in to a route that needs one.

    It counts as bad only if the gateway let it through: with a token, or with a response of the function. An endpoint
    that is down or a gateway that throttles is not open.
    """
    try:
        response = endpoint.send("POST", call.url, _HEADERS, call.content)
    except ConnectionFailed as error:
        return Verdict(FAIL, f"no response: {error}")
    duration = round(response.duration)
    request = f"{call.kind} token request without a sign-in"
    if response.status in (401, 403) and response.code in ("", Unauthenticated.code):
        return Verdict(OK, f"{request}: {response.summary}", duration, 1)
    if response.status == 200:
        return Verdict(FAIL, f"{request} GOT A TOKEN (with open access, use --anonymous)", duration, 0)
    message = f"{request} was not stopped by the gateway: {response.summary}"
    return Verdict(FAIL, message, duration, 0 if response.code else None)


def _count(aws: Aws, environment: Environment, verdicts: Mapping[str, Verdict]) -> None:
    """Publish the verdicts, by the name of the metric."""
    aws.call(
        "cloudwatch",
        "put_metric_data",
        Namespace=NAMESPACE,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "environment", "Value": environment.name}],
                "Value": verdict.counts,
                "Unit": "Count",
            }
            for name, verdict in verdicts.items()
            if verdict.counts is not None
        ],
    )
