"""Arguments and options that several commands take."""

import re
from pathlib import Path
from typing import Annotated

import typer

from roomkey.kill_switch import SCOPES
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, TokenKind
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey_cli.aws.endpoint import is_address
from roomkey_cli.environment import Environment

MAX_TIMESTAMP = 2**32 - 1 - DEFAULT_LIFETIMES.longest
"""The last moment, in Unix seconds, at which a token can begin whose end still has room in every vendor's format."""


def _environment(text: str) -> Environment:
    try:
        return Environment.from_name(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None


def _platform(text: str) -> Platform:
    if text not in PLATFORMS:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(PLATFORMS)}")
    return PLATFORMS[text]


def _kind(text: str) -> TokenKind:
    try:
        return TokenKind(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(TokenKind)}") from None


def _moment(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,9})?", text) or float(text) > MAX_TIMESTAMP:
        raise typer.BadParameter(f"{text!r} is no Unix time in seconds, from 0 to {MAX_TIMESTAMP}")
    return float(text)


def _address(text: str) -> str:
    if not is_address(text):
        raise typer.BadParameter(f"{text!r} is no address that begins with https:// or http://")
    return text


def _scope(text: str) -> str:
    if text not in SCOPES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(SCOPES)}")
    return text


def _platforms_like(incomplete: str) -> list[str]:
    return [name for name in PLATFORMS if name.startswith(incomplete)]


def _kinds_like(incomplete: str) -> list[str]:
    return [str(kind) for kind in TokenKind if kind.startswith(incomplete)]


def _scopes_like(incomplete: str) -> list[str]:
    return [str(scope) for scope in SCOPES if scope.startswith(incomplete)]


EnvironmentArgument = Annotated[
    Environment, typer.Argument(metavar="ENV", parser=_environment, help="The environment's name, such as prod.")
]
EnvironmentOption = Annotated[
    Environment | None,
    typer.Option(
        "--env", metavar="ENV", parser=_environment, help="The environment whose secret signs.", show_default=False
    ),
]
CredentialsFile = Annotated[
    Path | None,
    typer.Option(
        "--credentials", metavar="FILE", help="JSON file with the platforms' credentials.", show_default=False
    ),
]
PolicyArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The policy: a JSON document.")]
At = Annotated[
    float | None,
    typer.Option(
        "--at", metavar="SECONDS", parser=_moment, help="Unix time to act at, instead of now.", show_default=False
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        parser=_address,
        help="The API's address. Default: the output ApiUrl of the stack.",
        show_default=False,
    ),
]
IssuerUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        parser=_address,
        help="With --access jwt: whose tokens count. Default: a demo issuer.",
        show_default=False,
    ),
]
KindArgument = Annotated[
    TokenKind,
    typer.Argument(
        metavar="KIND",
        parser=_kind,
        autocompletion=_kinds_like,
        help="app: a person joins a room. management: a server calls the vendor.",
    ),
]
KindOption = Annotated[
    TokenKind,
    typer.Option(metavar="KIND", parser=_kind, autocompletion=_kinds_like, help="The kind of token: app, management."),
]
PlatformArgument = Annotated[
    Platform,
    typer.Argument(
        metavar="PLATFORM",
        parser=_platform,
        autocompletion=_platforms_like,
        help=f"One of: {', '.join(PLATFORMS)}.",
    ),
]
PlatformOption = Annotated[
    Platform | None,
    typer.Option(
        metavar="PLATFORM",
        parser=_platform,
        autocompletion=_platforms_like,
        help=f"One of: {', '.join(PLATFORMS)}. Default: the first that is served.",
        show_default=False,
    ),
]
NeededPlatformOption = Annotated[
    Platform,
    typer.Option(
        "--platform",
        metavar="PLATFORM",
        parser=_platform,
        autocompletion=_platforms_like,
        help=f"One of: {', '.join(PLATFORMS)}.",
    ),
]
PlatformsArgument = Annotated[
    list[Platform] | None,
    typer.Argument(
        metavar="PLATFORM",
        parser=_platform,
        autocompletion=_platforms_like,
        help=f"Of these: {', '.join(PLATFORMS)}. Default: all.",
        show_default=False,
    ),
]
ScopesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SCOPE",
        parser=_scope,
        autocompletion=_scopes_like,
        help=f"A kind, a platform, or one kind on one platform: {', '.join(SCOPES)}.",
        show_default=False,
    ),
]

_AWS = "AWS"

Profile = Annotated[
    str | None, typer.Option(metavar="NAME", help="Your AWS profile.", show_default=False, rich_help_panel=_AWS)
]
Region = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The environment's AWS region.", show_default=False, rich_help_panel=_AWS),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, where the environment's name says prod.")]
