"""How long a change takes to be everywhere, by the function's own constants; and how far off a clock may be."""

import math

from roomkey import credentials, operator_config
from roomkey.cache import TTL_JITTER

STATE_SECONDS = math.ceil(operator_config.FRESH_SECONDS * (1 + TTL_JITTER))
"""Every environment of the function has read flag and policy anew by then, unless SSM cannot be read."""

SECRET_SECONDS = math.ceil(credentials.FRESH_SECONDS * (1 + TTL_JITTER))
"""Every environment of the function has read a secret anew by then, unless Secrets Manager cannot be read."""

SIGNATURE_SKEW_SECONDS = 300
"""How far a signature's time may be from AWS's clock: what AWS allows."""
