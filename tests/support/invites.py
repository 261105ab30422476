"""Keys that sign invites, as the secret roomkey/ENV/invites holds them."""

import json

KEYS = {"a": "A" * 21 + "b" * 22, "b": "C" * 21 + "d" * 22}
KEY_SECRET = json.dumps({"keys": KEYS, "current": "a"})
