"""Credentials outside AWS: the file that `--credentials` names, and the ones that a demonstration makes up."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

from roomkey.errors import MalformedBody
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform
from roomkey.platforms.credentials import CredentialField, Credentials, InvalidCredentials
from roomkey.request_body import json_object

type Secrets = Mapping[str, Mapping[str, object]]
"""What each platform's secret holds, by the platform's name."""


class CredentialFileError(ValueError):
    """The file cannot be used. The message says why and repeats nothing of what is in it."""


def read(path: Path) -> tuple[Secrets, list[str]]:
    """The secrets in the file, and the platforms in it that nobody knows. Raises `CredentialFileError`."""
    try:
        document = json_object(path.read_bytes())
    except OSError as error:
        raise CredentialFileError(f"{path}: {error.strerror}") from None
    except MalformedBody:
        raise CredentialFileError(f"{path}: is not a JSON object without duplicate keys") from None
    secrets = {name: secret for name, secret in document.items() if name in PLATFORMS}
    for name, secret in secrets.items():
        if not isinstance(secret, dict):
            raise CredentialFileError(f"{path}: {name} is not a JSON object")
    return secrets, sorted(document.keys() - PLATFORMS.keys())


def checked(secrets: Secrets, platform: Platform) -> Credentials:
    """The platform's credentials, fit to sign with. Raises `CredentialFileError`."""
    try:
        return platform.check_credentials(_of(secrets, platform))
    except InvalidCredentials as error:
        raise CredentialFileError(f"{platform.name}: {error}") from None


def unchecked(secrets: Secrets, platform: Platform) -> Credentials:
    """The platform's credentials as they stand, good enough to check a token with. Raises `CredentialFileError`."""
    secret = _of(secrets, platform)
    values = {field.name: secret.get(field.name) for field in platform.credential_fields}
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    if missing := values.keys() - texts.keys():
        raise CredentialFileError(f"{platform.name}: {', '.join(sorted(missing))} is missing or not a string")
    return Credentials(texts)


def _of(secrets: Secrets, platform: Platform) -> Mapping[str, object]:
    if platform.name not in secrets:
        raise CredentialFileError(f"there are no credentials for {platform.name} in the file")
    return secrets[platform.name]


def demo() -> Secrets:
    """Made-up credentials for every platform, the same ones every time."""
    return {
        platform.name: {field.name: _demo_value(platform, field) for field in platform.credential_fields}
        for platform in PLATFORMS.values()
    }


def _demo_value(platform: Platform, field: CredentialField) -> str:
    digest = hashlib.sha256(f"roomkey demo {platform.name} {field.name}".encode()).hexdigest()
    if field.signs and not field.strict:
        return digest
    shapes = (digest[:24], digest[:32], str(uuid.UUID(digest[:32])), digest[:16])
    return next(shape for shape in shapes if field.matches_format(shape))


def as_text(secret: Mapping[str, object]) -> str:
    """The secret as it is stored in Secrets Manager."""
    return json.dumps(secret)
