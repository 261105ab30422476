"""The URL of a service, from the SDK's environment variables or AWS's naming rule.

The rule is the SDK's for the two services in every region of every partition. Dual-stack endpoints are not covered.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

DEFAULT_URL_SUFFIX = "amazonaws.com"

_ENDPOINT_VARIABLES = {
    "ssm": ("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL"),
    "secretsmanager": ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"),
}


def region(environ: Mapping[str, str]) -> str:
    """Return the region to call. Raises `ValueError` if no variable names it."""
    name = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not name:
        raise ValueError("AWS_REGION must be set")
    return name


def endpoint_url(service: str, environ: Mapping[str, str]) -> str:
    """Return the URL of `service`. An empty variable counts as unset. Raises `ValueError`.

    `URL_SUFFIX` is CloudFormation's `AWS::URLSuffix`, which differs between partitions. AWS's own names end with a
    dot: the resolver then skips its search list.
    """
    for variable in _ENDPOINT_VARIABLES[service]:
        if url := environ.get(variable):
            if urlsplit(url).path not in ("", "/"):
                raise ValueError(f"{variable} must have no path")
            return url
    name = region(environ)
    fips = environ.get("AWS_USE_FIPS_ENDPOINT", "").lower() == "true"
    # In GovCloud the plain name of SSM is its only endpoint, and supports FIPS.
    if fips and not (service == "ssm" and name.startswith("us-gov-")):
        service = f"{service}-fips"
    return f"https://{service}.{name}.{environ.get('URL_SUFFIX') or DEFAULT_URL_SUFFIX}."
