"""Arguments and options that several commands take."""

import difflib
import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roomkey.kill_switch import SCOPES
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import KINDS
from roomkey_cli.aws.endpoint import is_url
from roomkey_cli.environment import INVITES, Environment

_PLATFORMS = ", ".join(PLATFORMS)

MAX_TIMESTAMP = 2**32 - 1 - DEFAULT_LIFETIMES.longest
"""The last Unix time at which a token can start and still fit every vendor's format."""

EVERYTHING = frozenset(("all", "everything"))
"""Words for all scopes of the kill switch."""

if TYPE_CHECKING:
    type PlatformName = str
    type PolicyKind = str
    type SecretName = str
else:
    PolicyKind = StrEnum("PolicyKind", {str(kind): str(kind) for kind in KINDS})
    PlatformName = StrEnum("PlatformName", {name: name for name in PLATFORMS})
    SecretName = StrEnum("SecretName", {name: name for name in (*PLATFORMS, INVITES)})


def _environment(text: str) -> Environment:
    try:
        return Environment.from_name(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None


def _timestamp(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,9})?", text) or float(text) > MAX_TIMESTAMP:
        raise typer.BadParameter(f"{text!r} is not a Unix time in seconds from 0 to {MAX_TIMESTAMP}")
    return float(text)


def url(text: str) -> str:
    """Parse an option that is a URL."""
    if not is_url(text):
        raise typer.BadParameter(f"{text!r} must begin with https:// or http:// and name a host")
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean ...?` if `word` resembles a word in `known` or is the beginning of some, else ""."""
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1) or [other for other in words if other.startswith(word)]
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def _scope(text: str) -> str:
    if text in SCOPES or text in EVERYTHING:
        return text
    known = SCOPES if "/" in text else (*KINDS, *PLATFORMS)
    raise typer.BadParameter(
        f"{text!r} is unknown.{did_you_mean(text, known)} Use a kind ({', '.join(KINDS)}), a platform ({_PLATFORMS}), "
        "PLATFORM/KIND such as agora/app, or all."
    )


def _complete_scope(incomplete: str) -> list[str]:
    return [scope for scope in SCOPES if scope.startswith(incomplete)]


def known_environments() -> list[str]:
    """Return the environments that have a file in `config/`, the ones a deploy from this directory can name."""
    return sorted(
        file.stem for file in Path("config").glob("*.yaml") if re.fullmatch(r"[a-z][a-z0-9-]{0,15}", file.stem)
    )


def _complete_environment(incomplete: str) -> list[str]:
    return [name for name in known_environments() if name.startswith(incomplete)]


EnvironmentArgument = Annotated[
    Environment,
    typer.Argument(
        metavar="ENV",
        parser=_environment,
        autocompletion=_complete_environment,
        help="The environment's name, such as prod.",
    ),
]
EnvironmentOption = Annotated[
    Environment | None,
    typer.Option(
        "--env",
        metavar="ENV",
        parser=_environment,
        autocompletion=_complete_environment,
        help="The environment whose secret signs.",
        show_default=False,
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
        "--at", metavar="SECONDS", parser=_timestamp, help="Unix time to use instead of now.", show_default=False
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL", parser=url, help="The API's URL. Default: the stack's output ApiUrl.", show_default=False
    ),
]
IssuerUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        parser=url,
        help="With --access jwt: the issuer whose tokens are accepted. Default: a demo issuer.",
        show_default=False,
    ),
]
KindArgument = Annotated[
    TokenKind,
    typer.Argument(metavar="KIND", help="app: a person joins a room. management: a server calls the vendor's API."),
]
KindOption = Annotated[TokenKind, typer.Option(metavar="KIND", help="The kind of token: app or management.")]
PolicyKindOption = Annotated[
    PolicyKind, typer.Option("--kind", metavar="KIND", help="app, management, or invite (a request to create one).")
]
PlatformArgument = Annotated[PlatformName, typer.Argument(metavar="PLATFORM", help=f"One of {_PLATFORMS}.")]
SecretArgument = Annotated[
    SecretName, typer.Argument(metavar="PLATFORM", help=f"One of {_PLATFORMS}, or {INVITES} for the keys of invites.")
]
PlatformOption = Annotated[
    PlatformName | None,
    typer.Option(
        "--platform",
        metavar="PLATFORM",
        help=f"One of {_PLATFORMS}. Default: the first that is served.",
        show_default=False,
    ),
]
RequiredPlatformOption = Annotated[
    PlatformName, typer.Option("--platform", metavar="PLATFORM", help=f"One of {_PLATFORMS}.")
]
SecretsArgument = Annotated[
    list[SecretName] | None,
    typer.Argument(metavar="PLATFORM", help=f"Any of {_PLATFORMS}, {INVITES}. Default: all.", show_default=False),
]
ScopesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SCOPE",
        parser=_scope,
        autocompletion=_complete_scope,
        help=f"A kind ({', '.join(KINDS)}), a platform, PLATFORM/KIND such as agora/app, or all. Default: all.",
        show_default=False,
    ),
]
