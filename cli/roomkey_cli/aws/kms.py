"""Compare KMS keys that are named by id, ARN or alias."""

from roomkey_cli.aws.client import DENIED, Aws, AwsError

AWS_MANAGED_KEY = "alias/aws/secretsmanager"


def same_key(aws: Aws, one: str | None, other: str | None) -> bool:
    """Check whether both name the same key; None and empty name AWS's own. Raises `AwsError`."""
    one, other = one or AWS_MANAGED_KEY, other or AWS_MANAGED_KEY
    return _bare(one) == _bare(other) or _resolved(aws, one) == _resolved(aws, other)


def _bare(key: str) -> str:
    """Return the id or alias of a key that may be an ARN."""
    return key.rsplit(":", 1)[-1].removeprefix("key/")


def _resolved(aws: Aws, key: str) -> str:
    """Return the key's ARN, or its bare name if it cannot be looked up."""
    try:
        return str(aws.call("kms", "describe_key", KeyId=key)["KeyMetadata"]["Arn"])
    except AwsError as error:
        if error.code in DENIED or error.code == "NotFoundException":
            return _bare(key)
        raise
