"""docs/openapi.yaml matches the template's routes, the code, and the responses of running stacks over HTTP."""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AwsCredentials
from hypothesis import settings
from requests.auth import AuthBase
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from infrastructure.template import ACCESS, stack
from roomkey import errors
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform, Signature, TokenKind
from roomkey.platforms.fields import RequestField
from roomkey.responses import STATUS
from roomkey.settings import Access
from roomkey_cli import credential_file
from roomkey_cli.local import sigv4
from roomkey_cli.local.demo_issuer import DemoIssuer
from roomkey_cli.local.gateway import Gateway
from support.aws.moto_proxy import Aws
from support.http import serve
from support.invites import KEY_SECRET
from support.openapi import DOCUMENT, resolved, validator
from support.stack import Deployed

SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]

GATEWAYS_OWN = {429}
"""Statuses of API Gateway alone."""

HMS_ROUTE = "/api/token"
_PLATFORM_PATH = re.compile(r"/v1/(?P<platform>[a-z0-9-]+)/(?P<kind>app|management)-token")


@dataclass(frozen=True)
class Operation:
    """One path and method of the document."""

    path: str
    method: str
    definition: Mapping[str, Any]

    @property
    def route(self) -> str:
        """Return the template's spelling: `POST /v1/{platform}/app-token`."""
        path = _PLATFORM_PATH.sub(r"/v1/{platform}/\g<kind>-token", self.path)
        return f"{self.method.upper()} {path}"

    @property
    def mints(self) -> tuple[str, TokenKind] | None:
        """Return the platform and the kind of token; None if the operation mints nothing."""
        if self.path == HMS_ROUTE:
            return "100ms", TokenKind.APP
        found = _PLATFORM_PATH.fullmatch(self.path)
        return (found["platform"], TokenKind(found["kind"])) if found else None

    @property
    def responses(self) -> dict[int, Any]:
        return {int(status): resolved(response) for status, response in self.definition["responses"].items()}

    @property
    def request_schemas(self) -> dict[str, Any]:
        """Return the schemas by media type."""
        content = self.definition.get("requestBody", {}).get("content", {})
        return {media_type: resolved(media["schema"]) for media_type, media in content.items()}


OPERATIONS = [
    Operation(path, method, definition)
    for path, methods in DOCUMENT["paths"].items()
    for method, definition in methods.items()
]
MINTING = [operation for operation in OPERATIONS if operation.mints]
_INVITES = re.compile("/v1/invites.*|/v1/100ms/room-code|/v2/token")
"""Paths whose requests need an invite, or a caller who may create one. Their replies are in test_invites.py."""

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)


def platform_of(operation: Operation) -> tuple[Platform, TokenKind]:
    assert operation.mints
    name, kind = operation.mints
    return PLATFORMS[name], kind


# --- the document ----------------------------------------------------------------------------------------------------


def test_the_document_is_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_every_reference_resolves_and_every_component_is_used() -> None:
    used = set(re.findall(r"#/components/(\w+/\w+)", json.dumps(DOCUMENT)))
    components = {
        f"{section}/{name}"
        for section, members in DOCUMENT["components"].items()
        for name in members
        if section != "securitySchemes"
    }

    assert used == components


@every_operation
def test_every_example_of_a_response_matches_its_schema(operation: Operation) -> None:
    for status, response in operation.responses.items():
        media = response["content"]["application/json"]
        assert media["examples"], f"{status} has no example"
        for example in media["examples"].values():
            validator(media["schema"]).validate(example["value"])
            if "status" in example["value"]:
                assert example["value"]["status"] == status


@every_operation
def test_every_example_of_a_request_matches_its_schema(operation: Operation) -> None:
    for media in operation.definition.get("requestBody", {}).get("content", {}).values():
        assert media["examples"]
        for example in media["examples"].values():
            validator(media["schema"]).validate(example["value"])


@every_operation
def test_every_response_s_schema_is_closed(operation: Operation) -> None:
    example = operation.responses[min(operation.responses)]["content"]["application/json"]
    body = next(iter(example["examples"].values()))["value"]

    assert not validator(example["schema"]).is_valid({**body, "unknown": 1})


# --- the template --------------------------------------------------------------------------------------------------


def test_the_operations_are_the_routes_of_the_template() -> None:
    routes = set(stack(**ACCESS["open"]).routes) - {"OPTIONS /{proxy+}", "$default"}

    assert {operation.route for operation in OPERATIONS} == routes
    assert DOCUMENT["info"]["version"] == stack(**ACCESS["open"]).body["info"]["version"]


@every_operation
def test_the_document_requires_the_authentication_of_the_template_in_all_access_modes(operation: Operation) -> None:
    schemes = {"jwt": "jwt", "iam": "sigv4"}
    accepted: set[tuple[str, ...]] = set()
    for access in ("open", "jwt", "iam"):
        security = stack(**ACCESS[access]).routes[operation.route].get("security", [{}])
        accepted |= {tuple(schemes[name] for name in alternative) for alternative in security}

    # An empty list means no authentication; one with an empty alternative would mean optional authentication.
    documented = {tuple(alternative) for alternative in operation.definition["security"]} or {()}
    assert documented == accepted
    assert set(DOCUMENT["components"]["securitySchemes"]) == set(schemes.values())


# --- the code: platforms and their fields --------------------------------------------------------------------------


def test_the_platforms_are_those_of_the_code() -> None:
    documented = {operation.mints for operation in MINTING}

    assert documented == {(name, kind) for name, platform in PLATFORMS.items() for kind in platform.kinds}
    assert SCHEMAS["Health"]["properties"]["platforms"]["items"]["enum"] == list(PLATFORMS)


@pytest.mark.parametrize("operation", MINTING, ids=lambda operation: operation.path)
def test_the_fields_of_a_request_are_those_of_the_code(operation: Operation) -> None:
    platform, kind = platform_of(operation)
    fields = platform.kinds[kind].fields
    by_meaning: dict[str, list[RequestField]] = {}
    for field in fields:
        by_meaning.setdefault(field.maps_to_field, []).append(field)
    demanded = [alternatives for alternatives in by_meaning.values() if alternatives[0].required]

    for schema in operation.request_schemas.values():
        assert schema["properties"].keys() == {field.name for field in fields} | {"expires_in"}
        assert schema.get("required", []) == [names[0].name for names in demanded if len(names) == 1]
        assert schema.get("oneOf", []) == [
            {"required": [field.name]} for alternatives in demanded if len(alternatives) > 1 for field in alternatives
        ]
        assert (schema["additionalProperties"] is False) == (operation.path != HMS_ROUTE)
    assert operation.definition["requestBody"]["required"] == (kind is TokenKind.APP)


UUID_TEXT = "a7e04212-e1d4-11eb-8d1c-2d2dc2a4e6a4"
PROBES: list[Any] = [
    *("a", "0", "1", "+1", "-1", "00042", "+0", "4294967295", "4294967296", "04294967295", "42949672950", "-", "+-1"),
    *("default:room-1", "default:", "81234567890", "8123 456 789", "class 7b", "undefined", "None", "video", "voice"),
    *("", " ", "a b", " a", "a ", "a\t", "\na", "\ta", "a\tb", "a\x00", "a\x7f", "a\x85", "\xa0a", "a\u3000", "\u2028"),
    *("a\u202eb", "a\u2066b", "a\u200db", "zo\xeb", "e\u0301", "\U0001f469\u200d\U0001f469", "a\ue000", "a\uf8ff"),
    *("x" * 63, "x" * 64, "x" * 65, "x" * 128, "x" * 129, "x" * 255, "x" * 256, "x" * 257, "\U0001f469" * 256),
    *("a" * 32, "A" * 32, "g" * 32, "a" * 31, UUID_TEXT, UUID_TEXT.upper(), UUID_TEXT.replace("-", "", 1), "a/b", 'a"'),
    *(
        "host",
        "Host",
        "guest",
        "participant",
        "moderator",
        "rooms",
        "publisher",
        "subscriber",
        "admin",
        "writer",
        "reader",
    ),
    *([], [""], ["rtc"], ["rtc", "rtc"], ["chat", "rtc"], ["chat", "rtm", "rtc"], ["fpa"], [1], "rtc"),
    *(["video"], ["sync", "video"], ["video", "video"], ["voice", 1], "rooms"),
    *(["ask_join"], ["allow_join"], ["allow_mod"], ["allow_mod", "allow_join"], ["allow_join", "allow_mod"]),
    *(["ask_join", "allow_join"], ["allow_join", "allow_join"], None, True, False, 0, 1, 1.5, {}, {"a": 1}),
]


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        pytest.param(operation, field, id=f"{operation.path}-{field.name}")
        for operation in MINTING
        if operation.path != HMS_ROUTE
        for field in platform_of(operation)[0].kinds[platform_of(operation)[1]].fields
    ],
)
def test_the_schema_of_a_field_accepts_what_the_code_accepts(operation: Operation, field: RequestField) -> None:
    (schema,) = operation.request_schemas.values()
    documented = validator(schema["properties"][field.name])

    accepted = [value for value in PROBES if _passes(field, value)]

    assert [value for value in PROBES if documented.is_valid(value)] == accepted
    assert 0 < len(accepted) < len(PROBES)


def _passes(field: RequestField, value: object) -> bool:
    try:
        field.check(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("services", [None, ["rtc"], ["rtm"], ["chat", "rtc"]], ids=str)
@pytest.mark.parametrize("length", [64, 65, 255, 256])
def test_an_agora_user_has_the_length_limit_of_the_code(services: list[str] | None, length: int) -> None:
    """A rule over two fields: each may be valid, and both together invalid."""
    platform = PLATFORMS["agora"]
    body = {"room_id": "lobby", "role": "publisher", "user_id": "x" * length} | (
        {"services": services} if services else {}
    )
    fields = {field.name: field for field in platform.kinds[TokenKind.APP].fields}

    accepted = all(_passes(fields[name], value) for name, value in body.items()) and not list(
        platform.conflicts({name: fields[name].check(value) for name, value in body.items()})
    )

    assert validator(SCHEMAS["AgoraAppTokenRequest"]).is_valid(body) == accepted


@pytest.mark.parametrize("operation", MINTING, ids=lambda operation: operation.path)
def test_the_tokens_in_the_examples_are_valid(operation: Operation) -> None:
    """Minted with the public credentials of the local stack, so readers can decode them."""
    platform, kind = platform_of(operation)
    credentials = platform.check_credentials(credential_file.demo()[platform.name])

    for example in operation.responses[200]["content"]["application/json"]["examples"].values():
        answer = example["value"]
        minted_at = answer["expires_at"] - answer["expires_in"]
        explanation = platform.explain(platform.token_in(answer) or "", credentials, at=minted_at + 0.9)
        assert explanation
        assert (explanation.problems, explanation.warnings, explanation.signature) == ((), (), Signature.VALID)
        assert explanation.content
        assert (explanation.content.kind, explanation.content.expires_at) == (kind, answer["expires_at"])
        assert explanation.content.user_id == answer.get("user_id")
        if kind is TokenKind.MANAGEMENT:
            assert answer["authorization"] == (platform.auth_header and platform.auth_header._asdict())


# --- the code: statuses and codes ----------------------------------------------------------------------------------


def test_the_codes_are_those_of_the_code() -> None:
    properties = SCHEMAS["Failure"]["properties"]

    assert properties["code"]["enum"] == list(STATUS)
    assert properties["status"]["enum"] == sorted(set(STATUS.values()))


@every_operation
def test_every_status_is_documented_with_exactly_its_codes(operation: Operation) -> None:
    if operation.mints:
        assert operation.responses.keys() == {200, *STATUS.values()} | GATEWAYS_OWN
    for status, response in operation.responses.items():
        schema = response["content"]["application/json"]["schema"]
        if schema == {"$ref": "#/components/schemas/RoomCodeFailure"}:
            continue
        codes = [code for code, its_status in STATUS.items() if its_status == status]
        assert _enumerated_codes(schema) == codes
        examples = response["content"]["application/json"]["examples"]
        assert [
            name for name, example in examples.items() if "msg" in example["value"] and "code" in example["value"]
        ] == codes


def _enumerated_codes(schema: Any) -> list[str]:
    """Return the codes that `schema` allows."""
    match schema:
        case {"oneOf": [{"$ref": "#/components/schemas/GatewayRefusal"}, failure]}:
            return _enumerated_codes(failure)
        case {"allOf": [{"$ref": "#/components/schemas/Failure"}, {"properties": {"code": {"enum": codes}}}]}:
            return list(codes)
    return []


@pytest.mark.parametrize("code", STATUS)
def test_the_example_of_an_error_has_the_message_of_the_code(code: str) -> None:
    failures: list[Any] = [found for found in vars(errors).values() if getattr(found, "code", None) == code]
    examples = [
        example["value"]
        for response in DOCUMENT["components"]["responses"].values()
        for example in response["content"]["application/json"]["examples"].values()
        if example["value"].get("code") == code and "msg" in example["value"]
    ]

    assert [example["msg"] for example in examples] == [failure.msg for failure in failures]


# --- running stacks --------------------------------------------------------------------------------------------------


KEY = sigv4.LocalKey("ROOMKEYTESTKEY", "s3cret")


class Signed(AuthBase):
    """Sign a request with the demo key, as `curl --aws-sigv4` does."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        signed = AWSRequest(request.method, request.url, data=body.encode() if isinstance(body, str) else body)
        SigV4Auth(AwsCredentials(KEY.id, KEY.secret), sigv4.SERVICE, "us-east-1").add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request


class Bearer(AuthBase):
    """Authenticate a user."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True)
class Running:
    """A stack behind the local gateway, and the authentication of its callers."""

    url: str
    app_auth: AuthBase | None

    def auth(self, path: str) -> AuthBase | None:
        return Signed() if path.endswith("/management-token") else self.app_auth if path != "/v1/health" else None


@pytest.fixture(scope="module")
def run(aws_for_all: Aws) -> Iterator[Callable[[str], Running]]:
    """Run the stack with this `AppTokenAccess` and all platforms."""
    with ExitStack() as stacks:
        aws_for_all.lead_here(stacks.enter_context(pytest.MonkeyPatch.context()))

        @functools.cache
        def start(access: Any) -> Running:
            deployed = Deployed.on(aws_for_all, access, secret=None, PLATFORMS=",".join(PLATFORMS))
            for name, secret in credential_file.demo().items():
                aws_for_all.put_secret(deployed.environment, credential_file.as_text(secret), name)
            aws_for_all.put_secret(deployed.environment, KEY_SECRET, "invites")
            issuer = DemoIssuer("http://issuer.example")

            def gateway(_: str) -> Gateway:
                return Gateway(deployed.api.answer, Access(access), authorizer=issuer.authorizer(), key=KEY)

            url = stacks.enter_context(serve(gateway))
            auths = {"open": None, "iam": Signed(), "jwt": Bearer(issuer.token("student"))}
            return Running(url, auths[access])

        yield start


@pytest.fixture(scope="module")
def open_stack(run: Callable[[str], Running]) -> Running:
    """A stack with open access."""
    return run("open")


@schemathesis.serializer("text/plain")
def _json_as_text(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@functools.cache
def _schema(*, positive: bool) -> Any:
    """Return the document as Schemathesis tests it: the same requests every time.

    `positive` selects valid requests in ASCII: outside it, patterns are weaker than the code. Otherwise requests
    are valid and invalid, in all of Unicode.
    """
    generation = {"database": "none", "deterministic": True, "with-security-parameters": False}
    generation["max-examples"] = settings().max_examples // 10
    if positive:
        generation |= {"mode": "positive", "codec": "ascii"}
    checks = {"positive_data_acceptance": {"expected-statuses": [200]}}
    config = schemathesis.Config.from_dict({"seed": 1, "generation": generation, "checks": checks})
    # Hypothesis enumerates the characters of a pattern, so 6,400 private ones would take most of the time.
    document = json.loads(json.dumps(DOCUMENT).replace(r"\\ue000-\\uf8ff", r"\\ue000\\uf8ff"))
    return schemathesis.openapi.from_dict(document, config=config)


def _send_requests(operation: Operation, check: Callable[[schemathesis.Case[Any]], None], *, positive: bool) -> None:
    """Pass each of Schemathesis's requests to `check`, whose parameter must be `case`.

    Schemathesis's own decorator would prepare the requests at collection, for seconds in each worker.
    """
    schema = _schema(positive=positive)
    load_all_checks()
    build_operation_test(
        config=schema.config,
        operation=schema[operation.path][operation.method],
        test_func=check,
        given_kwargs={},
        feedback=FeedbackSources(),
    )()


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]

# What LiveKit's endpoint accepts depends on the policy, beyond a schema: test_livekit_endpoint.py has its tests.
GENERATED = [operation for operation in OPERATIONS if operation.path != "/v1/livekit/token"]


@pytest.mark.threat("D14")
@pytest.mark.parametrize("operation", GENERATED, ids=lambda operation: operation.path)
def test_every_response_is_documented(operation: Operation, open_stack: Running) -> None:
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(open_stack.url, auth=open_stack.auth(case.path), checks=CHECKS)

    _send_requests(operation, check, positive=False)


@pytest.mark.parametrize(
    "operation", [one for one in GENERATED if not _INVITES.fullmatch(one.path)], ids=lambda operation: operation.path
)
def test_every_documented_request_succeeds(operation: Operation, open_stack: Running) -> None:
    def check(case: schemathesis.Case[Any]) -> None:
        if isinstance(case.body, dict) and isinstance(seconds := case.body.get("expires_in"), float):
            case.body["expires_in"] = int(seconds)  # JSON Schema counts 600.0 as an integer.
        checks = [*CHECKS, positive_data_acceptance]
        case.call_and_validate(open_stack.url, auth=open_stack.auth(case.path), checks=checks)

    _send_requests(operation, check, positive=True)


@pytest.mark.parametrize("access", ["open", "jwt", "iam"])
@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if not _INVITES.fullmatch(one.path)], ids=lambda operation: operation.path
)
def test_responses_with_and_without_signing_in_are_documented(
    operation: Operation, access: str, run: Callable[[str], Running]
) -> None:
    running = run(access)
    auth, body = running.auth(operation.path), None
    if "requestBody" in operation.definition:
        examples = operation.definition["requestBody"]["content"]["application/json"]["examples"]
        body = dict(next(iter(examples.values()))["value"])
        if isinstance(auth, Bearer):
            body.pop("user_id", None)  # It names another user.
            body.pop("participant_identity", None)
    success = min(operation.responses)
    refused = {type(None): success, Bearer: 401, Signed: 403}[type(auth)]

    assert _answer(running, operation, body, auth).status_code == success
    assert _answer(running, operation, body, None).status_code == refused


def _answer(running: Running, operation: Operation, body: Any, auth: AuthBase | None) -> requests.Response:
    """Return the response of a running stack, which must be documented."""
    response = requests.request(operation.method, running.url + operation.path, json=body, auth=auth, timeout=10)
    media = operation.responses[response.status_code]["content"]["application/json"]
    validator(media["schema"]).validate(response.json())
    return response
