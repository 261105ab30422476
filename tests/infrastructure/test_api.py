"""Routes, authorizers, CORS, throttles, the access log and the domain."""

import json
import re
from typing import Any

import pytest

from infrastructure.template import ACCESS, EVERYTHING, Stack, stack
from roomkey import routes
from roomkey.routes import DEFAULT_ROUTE, HEALTH_ROUTE, MINTING_ROUTES, PREFLIGHT_ROUTE
from roomkey.settings import Access

APP_ROUTES = {key for key, route in MINTING_ROUTES.items() if route.access is None}
"""Routes whose callers AppTokenAccess decides."""
MANAGEMENT_ROUTE = "POST /v1/{platform}/management-token"
ROUTES = {*MINTING_ROUTES, HEALTH_ROUTE, PREFLIGHT_ROUTE, DEFAULT_ROUTE}

APP_SECURITY: dict[str, Any] = {
    "jwt": [{"jwt": []}],
    "jwt-scopes": [{"jwt": ["rooms/join", "rooms/host"]}],
    "iam": [{"iam": []}],
    "open": None,
}


@pytest.mark.threat("J1")
def test_the_routes_are_those_of_the_function(deployed: Stack) -> None:
    assert set(deployed.routes) == ROUTES


@pytest.mark.parametrize("path", ["//api/token", "/api/token/"])
def test_legacy_spellings_of_the_100ms_path_have_no_route(deployed: Stack, path: str) -> None:
    """A route would need its own authorizer; they match `$default`."""
    assert path not in deployed.body["paths"]


@pytest.mark.threat("F1", "J1")
def test_the_access_mode_decides_about_app_tokens(deployed: Stack, access: str) -> None:
    security = {route: deployed.routes[route].get("security") for route in APP_ROUTES}

    assert security == dict.fromkeys(APP_ROUTES, APP_SECURITY[access])


@pytest.mark.threat("F5", "J1")
def test_a_management_token_needs_iam_in_every_mode(deployed: Stack) -> None:
    assert deployed.routes[MANAGEMENT_ROUTE]["security"] == [{"iam": []}]


def test_a_route_without_an_authorizer_has_no_security_entry(deployed: Stack, access: str) -> None:
    """How API Gateway imports an empty list is not documented."""
    guarded = {route for route, operation in deployed.routes.items() if "security" in operation}

    assert guarded == {MANAGEMENT_ROUTE} | (APP_ROUTES if access != "open" else set())
    assert "security" not in deployed.body


@pytest.mark.threat("F11")
def test_the_jwt_authorizer_exists_only_with_jwt(deployed: Stack, access: str) -> None:
    schemes = deployed.body["components"]["securitySchemes"]
    names = {"iam", "jwt"} if access.startswith("jwt") else {"iam"}

    assert set(schemes) == names
    assert schemes["iam"]["x-amazon-apigateway-authtype"] == "awsSigv4"


@pytest.mark.parametrize("access", ["jwt", "jwt-scopes"], indirect=True)
def test_the_jwt_authorizer_checks_issuer_and_audiences(deployed: Stack) -> None:
    assert deployed.body["components"]["securitySchemes"]["jwt"] == {
        "type": "oauth2",
        "x-amazon-apigateway-authorizer": {
            "type": "jwt",
            "identitySource": "$request.header.Authorization",
            "jwtConfiguration": {"issuer": "https://issuer.example/pool", "audience": ["web", "mobile"]},
        },
    }


def test_every_route_runs_the_alias_with_payload_2(deployed: Stack) -> None:
    uri = (
        "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/"
        "arn:aws:lambda:eu-central-1:111122223333:function:roomkey-dev:live/invocations"
    )
    integrations = [operation["x-amazon-apigateway-integration"] for operation in deployed.routes.values()]

    assert [(one["type"], one["payloadFormatVersion"], one["uri"]) for one in integrations] == [
        ("aws_proxy", "2.0", uri)
    ] * len(ROUTES)


def test_default_is_the_default_route(deployed: Stack) -> None:
    assert deployed.routes["$default"]["isDefaultRoute"] is True


@pytest.mark.threat("E8")
def test_cors_is_complete_or_absent(deployed: Stack, origins: str) -> None:
    expected = {
        "allowOrigins": ["https://app.example", "http://localhost:5173"],
        "allowMethods": routes.CORS_ALLOW_METHODS.split(","),
        "allowHeaders": routes.CORS_ALLOW_HEADERS.split(","),
        "exposeHeaders": routes.CORS_EXPOSE_HEADERS.split(","),
        "maxAge": routes.CORS_MAX_AGE_SECONDS,
    }

    assert deployed.body.get("x-amazon-apigateway-cors") == (expected if origins else None)
    # SAM's own property would replace the block and make `sam local` answer preflights.
    assert "CorsConfiguration" not in deployed.only("AWS::ApiGatewayV2::Api")


@pytest.mark.threat("J3")
def test_only_the_api_may_call_and_only_the_alias(deployed: Stack) -> None:
    permissions = [one["Properties"] for one in deployed.of_type("AWS::Lambda::Permission").values()]

    assert {one["FunctionName"] for one in permissions} == {
        "arn:aws:lambda:eu-central-1:111122223333:function:roomkey-dev:live"
    }
    assert {(one["Action"], one["Principal"]) for one in permissions} == {
        ("lambda:InvokeFunction", "apigateway.amazonaws.com")
    }
    api = "arn:aws:execute-api:eu-central-1:111122223333:Api"
    methods_and_paths = {f"*/{re.sub(r'{[^}]*}', '*', key.replace(' ', ''))}" for key in ROUTES - {DEFAULT_ROUTE}}
    assert {one["SourceArn"] for one in permissions} == {f"{api}/{path}" for path in {*methods_and_paths, "*/*"}}


@pytest.mark.threat("E4")
def test_the_only_stage_adds_nothing_to_the_path(deployed: Stack) -> None:
    assert deployed.stage["StageName"] == "$default"


THROTTLED = {
    "AppTokenRate": APP_ROUTES,
    "InviteRate": {key for key, route in MINTING_ROUTES.items() if route.access is Access.OPEN},
    "ManagementTokenRate": {MANAGEMENT_ROUTE},
    "PreflightRate": {"OPTIONS /{proxy+}"},
    "OtherRate": {"$default"},
    "OtherBurst": {"$default"},
}


@pytest.mark.threat("F13")
@pytest.mark.parametrize("parameter", THROTTLED)
def test_each_rate_throttles_its_routes_and_no_others(parameter: str) -> None:
    stage = stack(**{parameter: "4321"}).stage
    changed = {route for route, settings in stage["RouteSettings"].items() if "4321" in settings.values()}

    assert changed == THROTTLED[parameter]
    assert ("4321" in stage["DefaultRouteSettings"].values()) is parameter.startswith("Other")


@pytest.mark.threat("J1")
def test_route_settings_are_complete_and_name_existing_routes(deployed: Stack) -> None:
    """An entry inherits nothing from the default; an entry for an unknown route fails the deploy."""
    settings = deployed.stage["RouteSettings"]

    assert set(settings) == ROUTES - {"GET /v1/health"}
    for entry in [*settings.values(), deployed.stage["DefaultRouteSettings"]]:
        # Detailed metrics cost 0.30 USD a month for each route and metric, and no alarm uses them.
        assert entry.keys() == {"ThrottlingRateLimit", "ThrottlingBurstLimit"}
        assert int(entry["ThrottlingBurstLimit"]) >= int(entry["ThrottlingRateLimit"]) > 0


def test_unknown_paths_have_a_low_rate(deployed: Stack) -> None:
    flood = deployed.stage["RouteSettings"]["$default"]

    assert (int(flood["ThrottlingRateLimit"]), int(flood["ThrottlingBurstLimit"])) == (10, 20)


HARMLESS = {
    "requestId",
    "requestTime",
    "identity.sourceIp",
    "httpMethod",
    "routeKey",
    "status",
    "responseLatency",
    "responseLength",
    "error.responseType",
    "authorizer.error",
    "integration.status",
    "integration.latency",
    "integration.requestId",
}


@pytest.mark.threat("H2", "J1")
def test_the_access_log_is_json_without_text_from_clients(deployed: Stack) -> None:
    """A claim, header, path or body may contain a token or break the line."""
    format_ = deployed.stage["AccessLogSettings"]["Format"]

    assert "\n" not in format_
    assert all(re.fullmatch(r"\$context\.[A-Za-z.]+", value) for value in json.loads(format_).values())
    assert set(re.findall(r"\$context\.([A-Za-z.]+)", format_)) <= HARMLESS
    assert format_.count("$") == len(json.loads(format_))


def test_the_access_log_leads_to_the_audit_line() -> None:
    values = set(json.loads(stack(**ACCESS["open"]).stage["AccessLogSettings"]["Format"]).values())

    assert values >= {"$context.requestId", "$context.routeKey", "$context.integration.requestId"}


# --- the domain -----------------------------------------------------------------------------------------

DOMAIN = {name: EVERYTHING[name] for name in ("DomainName", "CertificateArn")}


@pytest.mark.threat("E4")
def test_the_domain_serves_the_api_at_its_root_over_tls_1_2() -> None:
    deployed = stack(**ACCESS["jwt"], **DOMAIN)
    mapping = deployed.only("AWS::ApiGatewayV2::ApiMapping")

    assert mapping == {"ApiId": "Api", "DomainName": "token.example.com", "Stage": "$default"}
    assert deployed.only("AWS::ApiGatewayV2::DomainName")["DomainNameConfigurations"] == [
        {"CertificateArn": DOMAIN["CertificateArn"], "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2"}
    ]


@pytest.mark.threat("E11")
@pytest.mark.parametrize(("endpoint", "disabled"), [("on", False), ("off", True)])
def test_the_default_endpoint_can_be_disabled_with_a_domain(endpoint: str, disabled: bool) -> None:
    (server,) = stack(**ACCESS["jwt"], **DOMAIN, DefaultEndpoint=endpoint).body["servers"]

    assert server == {
        "url": "https://token.example.com",
        "x-amazon-apigateway-endpoint-configuration": {"disableExecuteApiEndpoint": disabled},
    }


def test_without_a_domain_there_is_no_server_block_and_no_domain(deployed: Stack) -> None:
    assert "servers" not in deployed.body
    assert not deployed.of_type("AWS::ApiGatewayV2::DomainName")
    assert not deployed.of_type("AWS::ApiGatewayV2::ApiMapping")
