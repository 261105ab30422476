"""Every event of events/PLATFORM/ through the real handler, compared with its row in that folder's README.md.

The stack serves this platform alone, with the local stack's demo credentials and the policy `open.json`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from roomkey.platforms import DEFAULT_PLATFORMS, PLATFORM_NAMES, PLATFORMS
from roomkey.platforms.base import Grant, Signature, TokenKind
from roomkey_cli import credential_file
from support.aws.moto_proxy import Aws
from support.events import EVENTS
from support.openapi import check_exchange
from support.stack import NOW, Answer, Deployed

MODES = ("open", "jwt", "iam")
DEMO = credential_file.demo()
NAMES = [name for name in PLATFORM_NAMES if name not in DEFAULT_PLATFORMS]


@dataclass(frozen=True)
class Case:
    platform: str
    file: str
    access: str
    status: int
    code: str | None
    fields: tuple[str, ...]

    @property
    def event(self) -> Any:
        return json.loads((EVENTS / self.platform / self.file).read_text())


def _cases() -> Iterator[Case]:
    row = re.compile(r"^\| `([a-z0-9-]+\.json)` \| [^|]+ \| ([a-z, ]+) \| `(\d{3})(?: ([a-z-]+))?(?:: ([^`]+))?` \|$")
    for name in NAMES:
        for line in (EVENTS / name / "README.md").read_text().splitlines():
            if line.startswith("| `"):
                found = row.match(line)
                assert found, f"a row that cannot be read: {line}"
                file, accesses, status, code, fields = found.groups()
                for access in MODES if accesses == "any" else accesses.split(", "):
                    yield Case(name, file, access, int(status), code, tuple(fields.split(", ")) if fields else ())


CASES = list(_cases())


def test_every_platform_has_events_and_every_event_a_row() -> None:
    for name in NAMES:
        files = {path.name for path in (EVENTS / name).glob("*.json")}
        assert files == {case.file for case in CASES if case.platform == name}
        assert len(files) >= 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.platform}-{case.file}-{case.access}")
def test_an_event_gets_the_response_of_its_row(aws: Aws, case: Case) -> None:
    secret = json.dumps(DEMO[case.platform])
    deployed = Deployed.on(aws, case.access, platforms=[case.platform], secrets={case.platform: secret})
    answer = deployed.answer(case.event)

    assert (answer.status, answer.code) == (case.status, case.code), answer.text
    if case.code == "invalid-request":
        assert tuple(answer.faulty_fields) == case.fields
    check_exchange(case.event, answer, signed_in=case.access == "jwt")
    if case.status < 300:
        _check_the_token(case, answer)


def _check_the_token(case: Case, answer: Answer) -> None:
    platform, event, body = PLATFORMS[case.platform], case.event, answer.body
    credentials = platform.check_credentials(DEMO[case.platform])
    report = platform.explain(answer.token or "", credentials, NOW + 0.5)
    assert report
    assert (report.problems, report.warnings, report.signature) == ((), (), Signature.VALID)

    content, asked = report.content, json.loads(event.get("body") or "{}")
    kind = TokenKind.MANAGEMENT if "management" in event["routeKey"] else TokenKind.APP
    assert (content.kind, content.expires_at) == (kind, NOW + body["expires_in"])
    room = asked.get("room_id") or body.get("room_name")
    assert content.room_id == (room.lower() if room and platform.fold_room_case else room)
    if "role" in asked:
        assert content.role == asked["role"]
    user = body.get("user_id", body.get("participant_identity"))
    assert content.user_id == platform.expressible(Grant(kind, 0, user_id=user)).user_id
    if case.access == "jwt" and user:
        assert user == event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    if "connect" in body or platform.public_fields:
        public = {name: DEMO[case.platform][name] for name in platform.public_fields}
        assert body.get("connect", {"server_url": body.get("server_url")}) == public
