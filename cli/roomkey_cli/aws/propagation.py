"""How long a change takes to reach every environment of the function, and how far a clock may be off."""

from roomkey.limits import CREDENTIALS_BOUND_SECONDS, OPERATOR_CONFIG_BOUND_SECONDS

STATE_SECONDS = OPERATOR_CONFIG_BOUND_SECONDS
SECRET_SECONDS = CREDENTIALS_BOUND_SECONDS

SIGNATURE_SKEW_SECONDS = 300
"""How far a signature's time may be from AWS's clock: AWS's limit."""
