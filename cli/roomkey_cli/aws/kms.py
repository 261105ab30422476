"""Compare KMS keys that are named by id, ARN or alias."""

from roomkey_cli.aws.client import DENIED, Aws, AwsError

AWS_MANAGED_KEY = "alias/aws/secretsmanager"


def same_key(aws: Aws, first: str | None, second: str | None) -> bool:
    """Check whether both name the same key; None and "" name AWS's own. Raises `AwsError`."""
    first, second = first or AWS_MANAGED_KEY, second or AWS_MANAGED_KEY
    return _bare(first) == _bare(second) or _resolved(aws, first) == _resolved(aws, second)


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
