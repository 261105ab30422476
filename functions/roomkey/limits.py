"""Limits and timings of the function, each defined once. The command line and the docs use the same values."""

import math

# --- caches (docs/architecture.md) ---

TTL_JITTER = 0.2
"""Share by which the TTL of each cached value varies, so that a fleet of environments does not refresh at once."""

RETRY_BACKOFF_SECONDS = 5.0
"""Shortest time between a failed refresh and the next attempt."""

OPERATOR_CONFIG_TTL_SECONDS = 30.0
"""TTL of the kill switch, the block list and the policy, which one call reads."""

KILL_SWITCH_MAX_STALE_SECONDS = 300.0
"""Greatest age of a kill switch that still allows minting. "Off" has no such limit."""

POLICY_MAX_STALE_SECONDS = 300.0
BLOCK_LIST_MAX_STALE_SECONDS = 300.0

CREDENTIALS_TTL_SECONDS = 300.0
CREDENTIALS_MAX_STALE_SECONDS = 3600.0

OPERATOR_CONFIG_BOUND_SECONDS = math.ceil(OPERATOR_CONFIG_TTL_SECONDS * (1 + TTL_JITTER))
"""Every environment of the function has read a changed kill switch, block list or policy by then (36 s)."""

CREDENTIALS_BOUND_SECONDS = math.ceil(CREDENTIALS_TTL_SECONDS * (1 + TTL_JITTER))
"""Every environment of the function has read a changed secret by then (360 s)."""

# --- one request ---

AWS_BUDGET_SECONDS = 2.6
"""Time for waiting on AWS, from entering the handler: every response is out within 3 s."""

GRACE_SECONDS = 0.3
"""Time after that to mint from cached values, and the part of Lambda's own timeout that is left unused."""

MAX_BODY_BYTES = 16 * 1024
"""Request body, after base64 is decoded."""

MAX_ERRORS = 20
"""Errors listed for one request or policy."""

# --- lifetimes, in seconds ---

MIN_LIFETIME = 60
"""A shorter token may expire before a slow phone has joined."""

MAX_LIFETIME = 90 * 86400
"""Upper bound of the stack's MaxTokenLifetime. A platform may allow less."""

# --- invites, in seconds ---

MIN_INVITE_LIFETIME = 300
DEFAULT_INVITE_LIFETIME = 86400
MAX_INVITE_LIFETIME = 30 * 86400

# --- the policy ---

MAX_POLICY_BYTES = 8192
"""Minified size: SSM's limit for a parameter of the advanced tier."""
