"""The smallest useful request that a platform accepts."""

from roomkey.platforms.base import Platform, TokenKind


def minimal_request(platform: Platform, kind: TokenKind) -> dict[str, str]:
    """Return the platform's example for an app token, without a user if it can be left out; else nothing at all."""
    fields = {field.name: field for field in platform.kinds[kind].fields}
    if kind is TokenKind.MANAGEMENT:
        return {name: platform.example[name] for name, field in fields.items() if field.required}
    return {name: value for name, value in platform.example.items() if name != "user_id" or fields[name].required}
