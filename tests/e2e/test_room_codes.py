"""100ms room codes: the real web SDK (@100mslive/hms-video-store) against a stack behind the local gateway."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.npm import NODE, install
from roomkey.errors import NotFound
from roomkey.invites import Invite, InviteKeys
from roomkey.settings import Access
from roomkey_cli.local.gateway import Gateway
from support.aws.moto_proxy import Aws, aws_double
from support.http import serve
from support.invites import KEY_SECRET, KEYS
from support.stack import NOW, Deployed, claims_of

POLICY = {
    "version": 1,
    "mode": "enforce",
    "rules": [
        {"who": ["invite"], "kinds": ["app"], "platforms": ["100ms"], "roles": ["guest"], "rooms": ["class-*"]},
    ],
}


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK."""
    return install(Path(__file__).parent / "node", tmp_path_factory.mktemp("room-codes"))


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with aws_double() as double:
        yield double


def room_code(deployed: Deployed, **changes: Any) -> str:
    fields = {"platform": "100ms", "room_id": "class-1", "role": "guest", "services": (), "expires_at": NOW + 3600}
    invite = Invite(**{**fields, "id": "k3F9xw2Lq0aZ", "guest_name": None, **changes})
    return InviteKeys(KEYS, "a").sign(invite, deployed.environment)


def test_the_sdk_makes_one_request_and_shows_the_message(sdk: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.lead_here(monkeypatch)
    elsewhere = Deployed.on(aws, platforms=["agora"], policy=json.dumps(POLICY))
    open_stack, off, broken = (
        Deployed.on(aws, policy=json.dumps(POLICY)),
        Deployed.on(aws, policy=json.dumps(POLICY), flag="invite"),
        Deployed.on(aws, policy=None),
    )
    asks: list[tuple[str, str]] = []
    with serve(lambda _: Gateway(open_stack.api.answer, Access.OPEN)) as url:
        for deployed in (open_stack, off, broken):
            aws.put_secret(deployed.environment, KEY_SECRET, "invites")
        with (
            serve(lambda _: Gateway(off.api.answer, Access.OPEN)) as url_off,
            serve(lambda _: Gateway(broken.api.answer, Access.OPEN)) as url_broken,
            serve(lambda _: Gateway(elsewhere.api.answer, Access.OPEN)) as url_elsewhere,
        ):
            asks = [
                (f"{url}/v2/token", room_code(open_stack)),
                (f"{url}/v1/100ms/room-code", room_code(open_stack)),
                (f"{url}/v2/token", room_code(open_stack, role="host")),
                (f"{url}/v2/token", room_code(open_stack, expires_at=NOW)),
                (f"{url}/v2/token", "abc-defg-hij"),
                (f"{url_off}/v2/token", room_code(off)),
                (f"{url_broken}/v2/token", room_code(broken)),
                (f"{url_elsewhere}/v2/token", room_code(open_stack)),
            ]
            program = [NODE or "node", "room_code.mjs", json.dumps(asks)]
            done = subprocess.run(program, cwd=sdk, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    minted, also, *failed = json.loads(done.stdout.splitlines()[-1])

    for reply in (minted, also):
        assert claims_of(reply["token"])["user_id"] == "guest-ada"
        assert reply["requests"] == 1
    invalid = "This invite is invalid or has expired."
    assert [(one["code"], one["message"], one["requests"]) for one in failed] == [
        (403, "The caller is not allowed to have this token.", 1),
        (404, invalid, 1),
        (404, invalid, 1),
        (403, "Generating token using the room_id and role is disabled.", 1),
        (4503, "The policy could not be read, so no token is issued.", 1),
        (404, NotFound.msg, 1),
    ]
