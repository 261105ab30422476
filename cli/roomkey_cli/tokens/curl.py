"""A curl command that sends a token request to an endpoint."""

import json
import shlex
from collections.abc import Mapping


def command(base: str, platform: str, kind: str, body: Mapping[str, object], access: str, region: str) -> str:
    """Return the command. `access` is the stack's AppTokenAccess; management tokens are always signed (SigV4)."""
    parts = ["curl", "-s", f"{base.rstrip('/')}/v1/{platform}/{kind}-token"]
    access = "iam" if kind == "management" else access
    words = [shlex.join([*parts, "-H", "Content-Type: application/json", "-d", json.dumps(body)])]
    if access == "jwt":
        words.append('-H "Authorization: Bearer $ACCESS_TOKEN"')
    if access == "iam":
        words.append(f'--aws-sigv4 aws:amz:{region}:execute-api --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"')
        words.append('-H "x-amz-security-token: $AWS_SESSION_TOKEN"')
    return " \\\n  ".join(words)
