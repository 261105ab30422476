"""`roomkey probe`: whether a deployed endpoint mints what it should, and refuses what it must."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from roomkey import strict_json
from roomkey.errors import MintingDisabled, Unauthenticated
from roomkey.platforms.base import Platform, TokenKind
from roomkey_cli.aws import endpoint, stacks
from roomkey_cli.aws.client import Aws
from roomkey_cli.aws.endpoint import Answer, ConnectionFailed
from roomkey_cli.commands.options import AsJson, EnvironmentArgument, KindOption, PlatformOption, Profile, Region, Url
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import FAIL, OK, REFUSED, STYLES, SWITCHED_OFF, USAGE, WARN, fail, say, say_json
from roomkey_cli.tokens.minimal_request import minimal_request

MINTED_METRIC = "ProbeMinted"
REFUSED_METRIC = "ProbeRefused"

_SIGN_IN = "How to sign in"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one request: `ok`, `fail`, or `warn` where the switch is off. Without an answer it took no time.

    `counts` is what it adds to its metric: 1 for good, 0 for bad, None where it proves neither.
    """

    level: str
    says: str
    duration_ms: int | None = None
    counts: int | None = None


def probe(
    environment: EnvironmentArgument,
    url: Url = None,
    platform: PlatformOption = None,
    kind: KindOption = TokenKind.MANAGEMENT,
    body: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="The request. Default: the least that the platform takes.", show_default=False
        ),
    ] = None,
    bearer_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For app tokens with jwt: the variable of the environment that holds your access token.",
            show_default=False,
            rich_help_panel=_SIGN_IN,
        ),
    ] = None,
    bearer_stdin: Annotated[
        bool,
        typer.Option("--bearer-stdin", help="The same, from standard input.", rich_help_panel=_SIGN_IN),
    ] = False,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="For app tokens with open: not at all.", rich_help_panel=_SIGN_IN)
    ] = False,
    metric: Annotated[
        bool, typer.Option("--metric", help="Count both results in CloudWatch, namespace Roomkey.")
    ] = False,
    as_json: AsJson = False,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Ask a deployed endpoint for a token that it must mint, and for one that it must refuse.

    The token is read, not used. It is asked for with your AWS credentials (SigV4), which is how management tokens and,
    with iam, app tokens are. The request that must be refused is the same one without a sign-in; with --anonymous, one
    for a management token.

    Exit status: 0 minted and refused, 1 one of them is not so, 2 wrong usage, 3 AWS said no or could not be asked,
    4 minting is switched off, and otherwise all is well.

    Example: roomkey probe prod --metric

    Example: roomkey probe local --url http://127.0.0.1:8000 --kind app --anonymous
    """
    aws = Aws(profile, region)
    signed = _sign_in(aws, kind, bearer_env=bearer_env, bearer_stdin=bearer_stdin, anonymous=anonymous)
    asked = _body(body)
    base = _address(url, environment, aws)
    vendor = platform
    try:
        vendor = vendor or _served(base)
    except _NotServed as error:
        minted, refused = Verdict(FAIL, str(error), counts=0), Verdict(FAIL, "not asked: there is nobody to ask")
    else:
        call = _Call(base, vendor, kind, minimal_request(vendor, kind) if asked is None else asked)
        minted = _minted(call, signed(call))
        refused = _refused(_Call(base, vendor, TokenKind.MANAGEMENT, {}) if anonymous else call)
    if metric:
        _count(aws, environment, {MINTED_METRIC: minted, REFUSED_METRIC: refused})

    verdicts = {"minted": minted, "refused": refused}
    if as_json:
        served = vendor.name if vendor else None
        facts = {"environment": environment.name, "url": base, "platform": served, "kind": kind}
        say_json({**facts, **{name: asdict(one) for name, one in verdicts.items()}, "counted": metric})
    else:
        for name, one in verdicts.items():
            say(f"{name:<8} {one.says}", mark=f"{one.level:<5} ", style=STYLES[one.level])
    if FAIL in (minted.level, refused.level):
        raise typer.Exit(REFUSED)
    if minted.level == WARN:
        raise typer.Exit(SWITCHED_OFF)


_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class _Call:
    """A request for a token."""

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


def _body(text: str | None) -> Mapping[str, object] | None:
    if text is None:
        return None
    try:
        document = strict_json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        fail("--body is not a JSON object", USAGE)
    return document


def _sign_in(
    aws: Aws, kind: TokenKind, *, bearer_env: str | None, bearer_stdin: bool, anonymous: bool
) -> Callable[["_Call"], Mapping[str, str]]:
    """What makes the headers of a request that is signed in, as the options say."""
    if (bearer_env is not None) + bearer_stdin + anonymous > 1:
        fail("--bearer-env, --bearer-stdin and --anonymous exclude each other", USAGE)
    if kind is TokenKind.MANAGEMENT and (bearer_env is not None or bearer_stdin or anonymous):
        fail("a management token takes your AWS credentials; the other ways to sign in need --kind app", USAGE)
    if anonymous:
        return lambda _: _HEADERS
    if bearer_env is None and not bearer_stdin:
        return lambda call: aws.signed("POST", call.url, call.content, _HEADERS)
    where = "on standard input" if bearer_stdin else f"in the variable {bearer_env}"
    bearer = (sys.stdin.read() if bearer_stdin else os.environ.get(bearer_env or "", "")).strip()
    if not re.fullmatch(r"[!-~]+", bearer):
        fail(f"there is no access token {where}", USAGE)
    return lambda _: {**_HEADERS, "Authorization": f"Bearer {bearer}"}


def _address(url: str | None, environment: Environment, aws: Aws) -> str:
    if url is None:
        stack = stacks.stack(aws, environment)
        if stack is None:
            fail(f"there is no stack {environment.stack_name} in {aws.region}: say --url, or another --region", REFUSED)
        url = stack.url
        if not endpoint.is_address(url):
            fail(f"{environment.stack_name} has no output ApiUrl that is an address: say --url", REFUSED)
    return url.rstrip("/")


class _NotServed(Exception):
    """There is no endpoint of Roomkey's. The text says what was found instead."""


def _served(base: str) -> Platform:
    """The first platform that the endpoint serves, by its own account. Raises `_NotServed`."""
    try:
        answer = endpoint.ask("GET", f"{base}/v1/health", {})
    except ConnectionFailed as error:
        raise _NotServed(f"it does not answer: {error}") from None
    if not answer.platforms:
        raise _NotServed(f"{base}/v1/health is not Roomkey's: it answers {answer.in_words}")
    return answer.platforms[0]


def _minted(call: _Call, headers: Mapping[str, str]) -> Verdict:
    """What came of a request for a token. A switch that somebody has turned is no fault, and counts as good."""
    try:
        answer = endpoint.ask("POST", call.url, headers, call.content)
    except ConnectionFailed as error:
        return Verdict(FAIL, f"it does not answer: {error}", counts=0)
    duration = round(answer.duration)
    if answer.code == MintingDisabled.code:
        return Verdict(WARN, f"switched off: it answers {answer.in_words}", duration, 1)
    if answer.status != 200:
        return Verdict(FAIL, f"no token: it answers {answer.in_words}{_hint(answer)}", duration, 0)
    if flaw := _flaw(call, answer):
        return Verdict(FAIL, f"it answers 200, and {flaw}", duration, 0)
    return Verdict(OK, f"{call.kind} token for {call.platform.title}, in {duration} ms", duration, 1)


def _hint(answer: Answer) -> str:
    if answer.code == "not-allowed":
        return " (the policy grants you no such token)"
    if answer.status in (401, 403) and not answer.code:
        return " (API Gateway does not take this sign-in)"
    return ""


def _flaw(call: _Call, answer: Answer) -> str | None:
    """What is wrong with the token that was answered, None if nothing is."""
    token, expires_at = call.platform.token_in(answer.body), answer.body.get("expires_at")
    if token is None:
        return "there is no token in it"
    told = call.platform.explain(token, None, time.time())
    if told is None or told.content.kind is None:
        return f"that is no token of {call.platform.title}"
    if told.problems:
        return f"the token would be refused: {'; '.join(told.problems)}"
    if told.content.kind is not call.kind or told.content.expires_at != expires_at:
        return "the token is not what the answer says it is"
    return None


def _refused(call: _Call) -> Verdict:
    """What came of a request without a sign-in, on a route that demands one.

    It counts as bad only where the sign-in let it through: by a token, or by an answer in the function's own words. An
    endpoint that is down, or a gateway that throttles, is not an open one.
    """
    stranger = "a request without a sign-in"
    try:
        answer = endpoint.ask("POST", call.url, _HEADERS, call.content)
    except ConnectionFailed as error:
        return Verdict(FAIL, f"it does not answer: {error}")
    duration = round(answer.duration)
    if answer.status in (401, 403) and answer.code in ("", Unauthenticated.code):
        return Verdict(OK, f"{stranger}: it answers {answer.in_words}", duration, 1)
    if answer.status == 200:
        says = f"{stranger} GOT A TOKEN (if access is meant to be open: --anonymous)"
        return Verdict(FAIL, says, duration, 0)
    says = f"{stranger} was not stopped by that: it answers {answer.in_words}"
    return Verdict(FAIL, says, duration, 0 if answer.code else None)


def _count(aws: Aws, environment: Environment, verdicts: Mapping[str, Verdict]) -> None:
    """What the verdicts count, by the name of the metric. Every probe counts the first."""
    from roomkey.observability import NAMESPACE

    aws.call(
        "cloudwatch",
        "put_metric_data",
        Namespace=NAMESPACE,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "environment", "Value": environment.name}],
                "Value": one.counts,
                "Unit": "Count",
            }
            for name, one in verdicts.items()
            if one.counts is not None
        ],
    )
