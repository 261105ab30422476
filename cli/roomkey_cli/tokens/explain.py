"""Explain a token: find it in pasted text, decode it, verify it, and judge it."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, Signature, TokenContent, TokenReport
from roomkey.platforms.credentials import Credentials
from roomkey.platforms.fields import is_missing_value
from roomkey_cli.terminal import iso_or_none
from roomkey_cli.tokens import refusal
from roomkey_cli.tokens.clipboard import candidates
from roomkey_cli.tokens.foreign import ForeignToken, has_foreign_issuer, identify_foreign


class Explanation(NamedTuple):
    """The report of one of Roomkey's platforms, or the issuer of a foreign token, if that is known.

    `token` is the text that was explained, `notes` describe what was removed around it. If the text contains no token,
    `reason` names the cause.
    """

    report: TokenReport | None
    foreign: ForeignToken | None = None
    token: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the token is not one that can be used."""
        if self.report:
            return self.report.problems
        return (self.foreign.summary if self.foreign else self.reason,)

    @property
    def never_expires(self) -> bool:
        """Whether the token was decoded and has no end."""
        report = self.report
        if report is None or report.signature is Signature.IMPOSSIBLE or report.content.expires_at is not None:
            return False
        return not _TIMES & report.claims.keys()


_TIMES = {"exp", "expireAt", "expire", "ts"}


def _no_token(text: str) -> str:
    """Return why `text` contains no token."""
    if not text.strip():
        return "the text is empty"
    try:
        code, *reasons = refusal.parts(json.loads(text))
    except (ValueError, RecursionError):
        code, reasons = "", []
    if code:
        return f"this is a refusal: {code}" + (f" ({'; '.join(reasons)})" if reasons else "")
    return f"this is not a token of {', '.join(platform.title for platform in PLATFORMS.values())}"


def explain(text: str, at: float, keys_of: Callable[[Platform], Credentials | None]) -> Explanation:
    """Explain the token in `text` at the Unix time `at`.

    `keys_of` returns the credentials to verify with; it is called for the platform of a token that was found.
    """
    keys = cache(keys_of)
    found: list[Explanation] = []
    for token, removed in candidates(text):
        notes = (removed,) if removed else ()
        of_another = has_foreign_issuer(token)
        for platform in PLATFORMS.values():
            report = platform.explain(token, None, at)
            if report is None:
                continue
            credentials = keys(platform)
            report = (platform.explain(token, credentials, at) if credentials else report) or report
            if of_another and report.signature is not Signature.VALID:
                found.append(Explanation(None, identify_foreign(token), token, notes))
                break
            report = report._replace(warnings=(*report.warnings, *_missing_values(report.content)))
            if not report.problems:
                return Explanation(report, None, token, notes)
            found.append(Explanation(report, None, token, notes))
    if not found:
        for token, removed in candidates(text):
            if foreign := identify_foreign(token):
                found.append(Explanation(None, foreign, token, (removed,) if removed else ()))
    return min(found, key=_distance, default=Explanation(None, reason=_no_token(text)))


def _missing_values(content: TokenContent) -> list[str]:
    """Return a warning for each id or name that is the text of a missing value."""
    values = {name: getattr(content, name) for name in ("room_id", "role", "user_id", "display_name")}
    return [
        f"{name} is {value}: a program printed a variable that has no value"
        for name, value in values.items()
        if value is not None and is_missing_value(value)
    ]


def _distance(explanation: Explanation) -> tuple[bool, bool, int, int]:
    """Return how far a candidate is from a good token: the most readable one was meant, and then the longest."""
    if foreign := explanation.foreign:
        return not foreign.header, foreign.vendor is None, len(foreign.flaws), -len(explanation.token)
    report = explanation.report
    if report is None or not report.claims:
        return True, True, len(explanation.problems), 0
    return False, report.signature is Signature.IMPOSSIBLE, len(explanation.problems), 0


def as_json(explanation: Explanation) -> Mapping[str, object]:
    """Return the explanation's JSON form."""
    report, foreign = explanation.report, explanation.foreign
    if report is None:
        return {
            "platform": None,
            "vendor": foreign.vendor if foreign else None,
            "issuer": foreign.issuer if foreign else None,
            "expires_at": iso_or_none(foreign.expires_at) if foreign else None,
            "problems": explanation.problems,
            "warnings": (*foreign.flaws, *((foreign.hint,) if foreign.hint else ())) if foreign else (),
            "claims": foreign.claims if foreign else {},
            "notes": explanation.notes,
        }
    content = report.content
    return {
        "platform": report.platform,
        "kind": content.kind,
        "label": report.label or None,
        "room": content.room_id,
        "role": content.role,
        "user": content.user_id,
        "services": content.services,
        "issued_at": iso_or_none(report.issued_at),
        "expires_at": iso_or_none(content.expires_at),
        "never_expires": explanation.never_expires,
        "signature": report.signature,
        "problems": report.problems,
        "warnings": report.warnings,
        "claims": report.claims,
        "notes": explanation.notes,
    }
