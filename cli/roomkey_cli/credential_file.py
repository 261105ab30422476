"""Credentials outside AWS: the file that `--credentials` names, and invented ones for the local stack."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform
from roomkey.platforms.credentials import CredentialField, Credentials, InvalidCredentials
from roomkey_cli import json_input

type Secrets = Mapping[str, Mapping[str, object]]
"""Each platform's secret, by the platform's name."""


class CredentialFileError(ValueError):
    """The file cannot be used. The message contains the reason and never the content."""


def read(path: Path, platform: Platform | None = None) -> tuple[Secrets, list[str]]:
    """Return the secrets in the file, and the names in it that are not platforms.

    With `platform`, a file with that platform's credentials, without the platform's name around them, is accepted.
    Raises `CredentialFileError`.
    """
    try:
        document = json_input.read_file(path)
    except json_input.InvalidInput as error:
        raise CredentialFileError(str(error)) from None
    if owner := _bare_owner(document):
        if platform is None or platform.name not in _owners(document):
            raise CredentialFileError(
                f"{path}: contains the credentials of one platform without its name: wrap them as "
                f'{{"{owner}": {{...}}}}'
            )
        document = {platform.name: document}
    secrets = {name: secret for name, secret in document.items() if name in PLATFORMS}
    for name, secret in secrets.items():
        if not isinstance(secret, dict):
            raise CredentialFileError(f"{path}: {name} is not a JSON object")
    return secrets, sorted(document.keys() - PLATFORMS.keys())


def unwrapped(document: Mapping[str, object], platform: Platform) -> dict[str, object]:
    """Return one platform's credentials, without the platform's name around them (`{"100ms": {...}}`)."""
    inner = document.get(platform.name)
    return dict(inner) if isinstance(inner, dict) and not _bare_owner(document) else dict(document)


def _bare_owner(document: Mapping[str, object]) -> str | None:
    """Return the platform of credentials without a platform's name around them, None for other documents."""
    if document.keys() & PLATFORMS.keys():
        return None
    return next(iter(_owners(document)), None)


def _owners(document: Mapping[str, object]) -> list[str]:
    """Return the platforms that have all their required fields in `document`."""
    return [
        platform.name
        for platform in PLATFORMS.values()
        if document.keys() >= {field.name for field in platform.credential_fields if field.required}
    ]


def checked(secrets: Secrets, platform: Platform) -> Credentials:
    """Return a platform's checked credentials. Raises `CredentialFileError`."""
    try:
        return platform.check_credentials(_of(secrets, platform))
    except InvalidCredentials as error:
        raise CredentialFileError(f"{platform.name}: {error}") from None


def unchecked(secrets: Secrets, platform: Platform) -> Credentials | None:
    """Return a platform's credentials unchecked, to verify tokens with. None if a value is missing or is not text."""
    secret = _of(secrets, platform)
    values = {}
    for field in platform.credential_fields:
        value = secret.get(field.name)
        if isinstance(value, str) and not field.many and not any(map(_is_surrogate, value)):
            values[field.name] = value
        elif field.required and not field.many:
            return None
    return Credentials(values)


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _of(secrets: Secrets, platform: Platform) -> Mapping[str, object]:
    if platform.name not in secrets:
        raise CredentialFileError(f"the file has no credentials for {platform.name}")
    return secrets[platform.name]


def demo() -> Secrets:
    """Return invented credentials for every platform, the same in each run."""
    return {
        platform.name: {field.name: _demo_value(platform, field) for field in platform.credential_fields}
        for platform in PLATFORMS.values()
    }


def _demo_value(platform: Platform, field: CredentialField) -> str | list[str]:
    value = _demo_text(platform, field)
    return [value] if field.many else value


def _demo_text(platform: Platform, field: CredentialField) -> str:
    digest = hashlib.sha256(f"roomkey demo {platform.name} {field.name}".encode()).hexdigest()
    if field.signs and not field.form:
        return digest
    if field.demo:
        return field.demo.format(digest[:32])
    shapes = (digest[:24], digest[:32], str(uuid.UUID(digest[:32])), digest[:16])
    return next(shape for shape in shapes if field.matches_format(shape))


def as_text(secret: Mapping[str, object]) -> str:
    """Return the text to store in Secrets Manager."""
    return json.dumps(secret)
