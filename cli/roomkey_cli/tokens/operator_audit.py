"""Record on this machine each token that an operator mints with a deployed environment's secret.

The members have the names of the function's audit line where they mean the same; `log_type` tells the two apart. The
file belongs to the operator and proves nothing. AWS CloudTrail records who read the secret.
"""

import getpass
import hashlib
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from roomkey import __version__
from roomkey.minting import MintedToken
from roomkey.token_requests import TokenRequest
from roomkey_cli.environment import Environment

LOG_TYPE = "operator-audit"
SCHEMA = 1


def path() -> Path:
    """Return the path of the file, under the XDG state directory."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "roomkey" / "audit.jsonl"


def write(
    environment: Environment,
    request: TokenRequest,
    *,
    principal: str,
    kill_switch: str | None,
    version_id: str | None = None,
    minted: MintedToken | None = None,
    reason: str | None = None,
) -> Path:
    """Append one line and return the path. `reason` is why no token was minted. Raises `OSError`."""
    line: dict[str, object] = {
        "log_type": LOG_TYPE,
        "schema": SCHEMA,
        "ts": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "environment": environment.name,
        "version": __version__,
        "platform": request.platform.name,
        "kind": request.kind,
        "decision": "minted" if minted else "denied",
        "reason": reason,
        "caller": {"principal": principal, "user": _user(), "host": socket.gethostname()},
        "requested": {
            "room_id": request.room_id,
            "role": request.role,
            "user_id": request.user_id,
            "services": request.services,
            "expires_in": request.expires_in,
        },
        "kill_switch": {"value": kill_switch},
    }
    if version_id:
        line["credentials"] = {"version_id": version_id}
    if minted:
        line["token"] = {
            "sha256": hashlib.sha256(minted.token.encode()).hexdigest(),
            "id": minted.token_id,
            "user_id": minted.grant.user_id,
            "minted_at": minted.minted_at,
            "expires_at": minted.grant.expires_at,
            "expires_in": minted.expires_in,
        }
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    return file


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container may run as a user without a name.
        return None
