"""The local stack: the function behind a local gateway, with stand-ins for AWS and for an issuer."""
