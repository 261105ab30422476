"""The parts of docs/openapi.yaml that derive from the registry: each platform's paths, requests and responses.

Examples are minted with the demo credentials of `roomkey run`, at a fixed time.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from roomkey.event import ApiEvent
from roomkey.minting import MintedToken, mint
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Endpoint, Platform, Randomness, TokenKind
from roomkey.platforms.credentials import CredentialField
from roomkey.platforms.fields import RequestField
from roomkey.responses import Responses
from roomkey.routes import MINTING_ROUTES
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import TokenRequest, lifetime_bounds, parse
from roomkey_cli import credential_file

type Node = dict[str, Any]

_EXAMPLE_TIME = 1795253400
_EXAMPLE_ID = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4b01"
_FIXED = Randomness(uuid=lambda: _EXAMPLE_ID, room=lambda: "rk-0123456789abcdefghijkl", salt=lambda: 12345678)

_SECURITY: Mapping[TokenKind, list[Node]] = {
    TokenKind.APP: [{}, {"jwt": []}, {"sigv4": []}],
    TokenKind.MANAGEMENT: [{"sigv4": []}],
}
_REFUSALS = {
    400: "BadRequest",
    401: "Unauthenticated",
    403: "Refused",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "BodyTooLarge",
    415: "UnsupportedMediaType",
    429: "Throttled",
    500: "InternalError",
    503: "Unavailable",
}
_HEADERS = {
    "Cache-Control": "CacheControl",
    "X-Content-Type-Options": "ContentTypeOptions",
    "X-Request-Id": "RequestId",
}


def tags() -> str:
    """Return one tag for each platform."""
    return _yaml([{"name": platform.title} for platform in PLATFORMS.values()], indent=2)


def paths() -> str:
    """Return the paths of every platform."""
    found: Node = {}
    for name, platform in PLATFORMS.items():
        for kind in platform.kinds:
            found[f"/v1/{name}/{kind}-token"] = {"post": _operation(platform, kind)}
        if platform.endpoint:
            path = next(key for key, route in MINTING_ROUTES.items() if route.vendor_format and route.platform == name)
            found[path.removeprefix("POST ")] = {"post": _endpoint_operation(platform, platform.endpoint)}
    return _yaml(found, indent=2)


def schemas() -> str:
    """Return the schemas of every platform's requests and responses, and of the response to a guest."""
    found: Node = {}
    for platform in PLATFORMS.values():
        for kind in platform.kinds:
            found[f"{_prefix(platform, kind)}TokenRequest"] = _request(platform, kind)
            found[f"{_prefix(platform, kind)}Token"] = _response(platform, kind)
        if platform.endpoint:
            found[f"{type(platform.endpoint).__name__}Request"] = _endpoint_request(platform.endpoint)
            found[f"{type(platform.endpoint).__name__}Response"] = _endpoint_response(platform.endpoint)
    found["GuestToken"] = _guest_response()
    return _yaml(found, indent=4)


def _yaml(node: Any, *, indent: int) -> str:
    text: str = yaml.dump(node, Dumper=_Dumper, sort_keys=False, width=118 - indent, default_flow_style=None)
    return "".join(f"{' ' * indent}{line}" for line in text.splitlines(keepends=True))


class _Dumper(yaml.SafeDumper):
    """Writes no aliases: tools for OpenAPI need not resolve them."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)


def _prefix(platform: Platform, kind: TokenKind) -> str:
    return f"{type(platform).__name__}{kind.title()}"


def _ref(name: str) -> Node:
    return {"$ref": f"#/components/{name}"}


# --- operations ----------------------------------------------------------------------------------------------------


def _operation(platform: Platform, kind: TokenKind) -> Node:
    body = dict(platform.example) if kind is TokenKind.APP else {}
    minted = _minted(platform, kind, body)
    answered = _body_of(Responses(()).minted(_NO_EVENT, *minted))
    prefix = _prefix(platform, kind)
    return {
        "operationId": f"mint{prefix}Token",
        "tags": [platform.title],
        "summary": f"{platform.title} {kind} token",
        "description": f"[Fields, errors and renewal](platforms/{platform.name}.md)",
        "security": _SECURITY[kind],
        "requestBody": {
            "required": kind is TokenKind.APP,
            "content": _content(f"schemas/{prefix}TokenRequest", body),
        },
        "responses": _responses(200, f"schemas/{prefix}Token", answered),
    }


def _endpoint_operation(platform: Platform, endpoint: Endpoint) -> Node:
    body = {field.name: value for field in endpoint.spec.fields if (value := platform.example.get(field.maps_to_field))}
    query = {name: body.pop(name) for name in endpoint.query_fields if name in body}
    _, minted = _minted(platform, TokenKind.APP, endpoint.fields(body, query, _FIXED), endpoint)
    answered = _body_of(Responses(()).minted_in_vendor_format(endpoint, _NO_EVENT, minted))
    fields = {field.name: field for field in endpoint.spec.fields}
    name = type(endpoint).__name__
    return {
        "operationId": f"mint{name}Token",
        "tags": [platform.title],
        "summary": f"{platform.title} app token, in {platform.title}'s own format for token endpoints",
        "description": f"[Fields and refusals](platforms/{platform.name}.md). null counts as absent.",
        "security": _SECURITY[TokenKind.APP],
        "parameters": [
            {"name": query_field, "in": "query", "schema": _field(fields[query_field])}
            for query_field in endpoint.query_fields
        ],
        "requestBody": {"required": True, "content": _content(f"schemas/{name}Request", body)},
        "responses": _responses(endpoint.status, f"schemas/{name}Response", answered),
    }


def _responses(status: int, schema: str, answered: Node) -> Node:
    minted = {
        "description": "The token.",
        "headers": {header: _ref(f"headers/{name}") for header, name in _HEADERS.items()},
        "content": _content(schema, answered),
    }
    return {str(status): minted, **{str(refusal): _ref(f"responses/{name}") for refusal, name in _REFUSALS.items()}}


def _content(schema: str, example: Node) -> Node:
    return {"application/json": {"schema": _ref(schema), "examples": {"example": {"value": example}}}}


_NO_EVENT = ApiEvent({}, None)


def _minted(
    platform: Platform, kind: TokenKind, body: Mapping[str, Any], endpoint: Endpoint | None = None
) -> tuple[TokenRequest, MintedToken]:
    """Mint an example."""
    spec = endpoint.spec if endpoint else None
    request = parse(platform, kind, body, lifetimes=DEFAULT_LIFETIMES, spec=spec)
    expires_in = lifetime_bounds(platform, kind, DEFAULT_LIFETIMES).default
    credentials = platform.check_credentials(_demo()[platform.name])
    return request, mint(request, expires_in, credentials, at=_EXAMPLE_TIME, randomness=_FIXED)


@cache
def _demo() -> credential_file.Secrets:
    return credential_file.demo()


def _body_of(response: Mapping[str, Any]) -> Node:
    body: Node = json.loads(response["body"])
    return body


# --- requests ------------------------------------------------------------------------------------------------------


def _request(platform: Platform, kind: TokenKind) -> Node:
    spec = platform.kinds[kind]
    bounds = lifetime_bounds(platform, kind, DEFAULT_LIFETIMES)
    lifetime = {"minimum": bounds.minimum, "maximum": bounds.maximum, "default": bounds.default}
    needed = [fields for fields in spec.by_meaning().values() if fields[0].required]
    required = [fields[0].name for fields in needed if len(fields) == 1]
    choices = [[{"required": [field.name]} for field in fields] for fields in needed if len(fields) > 1]
    if len(choices) > 1:
        raise ValueError(f"{platform.name} has two choices between fields")
    return {
        "type": "object",
        "properties": {
            **{field.name: _field(field) for field in spec.fields},
            "expires_in": {**_ref("schemas/ExpiresIn"), **lifetime},
        },
        **({"required": required} if required else {}),
        **({"oneOf": choices[0]} if choices else {}),
        **platform.constraints.get(kind, {}),
        "additionalProperties": False,
    }


def _field(field: RequestField) -> Node:
    schema = dict(field.check.schema)
    if field.default is not None:
        schema["default"] = field.default
    if field.name == "user_id" and not field.required:
        schema["description"] = "Default: a random UUID, which the response contains."
    return schema


def _endpoint_request(endpoint: Endpoint) -> Node:
    """Return the schema of a body. A dot in a field's name leads into an object."""
    schema: Node = {"type": "object", "properties": {}, "additionalProperties": False}
    for field in endpoint.spec.fields:
        if field.name in endpoint.query_fields:
            continue
        *outer, name = field.name.split(".")
        place = schema
        for member in outer:
            inner = {"type": ["object", "null"], "properties": {}, "additionalProperties": False}
            place = place["properties"].setdefault(member, inner)
        place["properties"][name] = {"anyOf": [_field(field), {"type": "null"}]}
    return schema


# --- responses -----------------------------------------------------------------------------------------------------


def _response(platform: Platform, kind: TokenKind) -> Node:
    properties: Node = {name: dict(schema) for name, schema in platform.response_schemas.items()}
    required = [*properties]
    if platform.renew_before is not None:
        properties["renew_in"] = _ref("schemas/RenewIn")
        required.append("renew_in")
    if platform.public_fields:
        properties["connect"] = _connect(
            [field for field in platform.credential_fields if field.name in platform.public_fields]
        )
        required.append("connect")
    if platform.binds_user(kind):
        properties["user_id"] = {"type": "string", "minLength": 1}
        required.append("user_id")
    if platform.fold_room_case and platform.kinds[kind].field("room_id"):
        properties["room_id"] = {"type": "string", "description": "The room in lower case, as the vendor compares it."}
    if kind is TokenKind.MANAGEMENT and platform.auth_header:
        properties["authorization"] = {"const": platform.auth_header._asdict()}
        required.append("authorization")
    return {
        "allOf": [_ref("schemas/Token")],
        "properties": properties,
        "required": required,
        "unevaluatedProperties": False,
    }


def _connect(fields: Sequence[CredentialField]) -> Node:
    return {
        "type": "object",
        "properties": {field.name: _public_value(field) for field in fields},
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }


def _public_value(field: CredentialField) -> Node:
    value: Node = {"type": "string"}
    if field.form:
        value["pattern"] = f"^({field.pattern})$"
    return {"type": "array", "items": value} if field.many else value


def _endpoint_response(endpoint: Endpoint) -> Node:
    times = {
        "expires_at": {"type": "integer"},
        "expires_in": {"type": "integer", "minimum": 60},
        "renew_in": _ref("schemas/RenewIn"),
    }
    properties = {**endpoint.response_schemas, **times}
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in endpoint.optional_members],
        "additionalProperties": False,
    }


def _guest_response() -> Node:
    """Return the schema of the response to a guest, whose invite can be for any platform."""
    members: Node = {name: {} for platform in PLATFORMS.values() for name in platform.response_schemas}
    return {
        "allOf": [_ref("schemas/Token")],
        "properties": {
            **members,
            "renew_in": _ref("schemas/RenewIn"),
            "connect": {"type": "object", "description": "As in the response to an app token of the platform."},
            "user_id": {"type": "string", "pattern": "^guest-"},
            "platform": {"type": "string", "enum": [*PLATFORMS]},
            **{name: {"type": "string"} for name in ("room_id", "role", "guest_name")},
        },
        "required": ["platform"],
        "anyOf": [{"required": [name]} for name in members],
        "unevaluatedProperties": False,
    }
