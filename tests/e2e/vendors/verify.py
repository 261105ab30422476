"""Verify a token with the vendor's Python SDK: VENDOR TOKEN KEY SECRET. Print "ok", or the reason."""

import sys
from importlib import import_module

vendor, token, key, secret = sys.argv[1:]
try:
    if vendor == "livekit":
        import_module("livekit.api").TokenVerifier(key, secret).verify(token)
    else:
        import_module("twilio.jwt.access_token").AccessToken.from_jwt(token, secret)
    print("ok")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
