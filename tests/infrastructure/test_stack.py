"""The stack as a whole: parameters, rules, outputs, and resources that it must not contain."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint_file  # type: ignore[import-untyped]

from infrastructure.template import (
    ACCESS,
    EVERYTHING,
    JWT,
    NESTED,
    ROOT,
    TEMPLATE,
    Stack,
    accepts,
    default_parameters,
    every_value,
    refusals,
    source,
    stack,
)


@pytest.mark.threat("B11")
def test_no_resource_is_operator_data(deployed: Stack) -> None:
    """An update during an incident would restore an old kill switch, policy or secret."""
    assert {resource["Type"] for resource in deployed.resources.values()} == {
        "AWS::ApiGatewayV2::Api",
        "AWS::ApiGatewayV2::Stage",
        "AWS::CloudFormation::Stack",
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::CodeDeploy::Application",
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::IAM::Role",
        "AWS::Lambda::Alias",
        "AWS::Lambda::Function",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Version",
        "AWS::Logs::LogGroup",
    }


@pytest.mark.threat("A21")
def test_no_secret_passes_through_the_template() -> None:
    texts = [value for value in every_value(source()) if isinstance(value, str)]

    assert "NoEcho" not in texts
    assert not [text for text in texts if "{{resolve:" in text]
    assert [name for name in default_parameters() if re.search("(?i)secret|password|key", name)] == ["KmsKeyArn"]


def test_the_template_names_no_account_or_region() -> None:
    text = TEMPLATE.read_text()

    assert not re.findall(r"\b[0-9]{12}\b|\b[a-z]{2}-[a-z]+-[0-9]\b", text)
    # Host names differ by partition; service principals do not.
    assert re.findall(r"[a-z.]*amazonaws\.com", text) == ["lambda.amazonaws.com", "codedeploy.amazonaws.com"]


@pytest.mark.parametrize("parameter", source()["Parameters"])
def test_a_parameter_has_a_description_and_a_valid_default(parameter: str) -> None:
    declared = source()["Parameters"][parameter]

    assert len(declared["Description"]) > 15
    assert accepts(parameter, str(declared["Default"]))


@pytest.mark.parametrize("parameter", source()["Parameters"])
def test_every_parameter_is_used(parameter: str) -> None:
    values = list(every_value({name: part for name, part in source().items() if name != "Parameters"}))

    assert {"Ref": parameter} in values or any(f"${{{parameter}}}" in text for text in values if isinstance(text, str))


ACCEPTED: list[tuple[str, str, bool]] = [
    ("Environment", "prod", True),
    ("Environment", "a" * 16, True),
    ("Environment", "pr-12", True),
    ("Environment", "", False),
    ("Environment", "a" * 17, False),
    ("Environment", "Prod", False),
    ("Environment", "1a", False),
    ("Environment", "a_b", False),
    ("Environment", "a/b", False),
    ("Environment", "a*", False),
    ("Environment", "dev\n", False),
    ("Platforms", "100ms", True),
    ("Platforms", "agora,agora-whiteboard", True),
    ("Platforms", "agora-whiteboard,agora", True),
    ("Platforms", "videosdk,agora,100ms,agora-whiteboard", True),
    ("Platforms", "", False),
    ("Platforms", "zoom", False),
    ("Platforms", "agora-", False),
    ("Platforms", "100ms, agora", False),
    ("Platforms", "100ms,", False),
    ("Platforms", ",100ms", False),
    ("Platforms", "100ms,100ms", False),
    ("Platforms", "agora,100ms,agora", False),
    ("Platforms", "100ms,agora,agora", False),
    ("Release", "a1B2c3D4e5", True),
    ("Release", "a1B2c3D4e", False),
    ("Release", "a1B2c3D4e5f", False),
    ("Release", "a1B2c3D4e-", False),
    ("JwtIssuer", "https://issuer.example/pool/", True),
    ("JwtIssuer", "http://issuer.example", False),
    ("JwtIssuer", "https://issuer.example https://other.example", False),
    ("JwtAudience", "web,urn:mobile", True),
    ("JwtAudience", "web, mobile", False),
    ("JwtAudience", "web,", False),
    ("JwtScopes", "rooms/join,rooms/host", True),
    ("JwtScopes", "rooms/join rooms/host", False),
    ("UserIdClaim", "https://example.com/user.id", True),
    ("UserIdClaim", "user.id", False),
    ("GroupsClaim", "cognito:groups", True),
    ("GroupsClaim", "realm_access.roles", False),
    ("GroupsClaim", "resource_access.web.roles", False),
    ("AllowedOrigins", "https://app.example,http://localhost:5173", True),
    ("AllowedOrigins", "http://[::1]:8080", True),
    ("AllowedOrigins", "*", False),
    ("AllowedOrigins", "https://*", False),
    ("AllowedOrigins", "https://*.example", False),
    ("AllowedOrigins", "https://app.example/", False),
    ("AllowedOrigins", "https://app.example/path", False),
    ("AllowedOrigins", "https://App.example", False),
    ("AllowedOrigins", "https://a.example, https://b.example", False),
    ("AllowedOrigins", "https://a.example,", False),
    ("AllowedOrigins", "app.example", False),
    ("AllowedOrigins", "null", False),
    ("AppTokenAccess", "none", False),
    ("AppTokenLifetime", "59", False),
    ("AppTokenLifetime", "86400", True),
    ("ManagementTokenLifetime", "0", False),
    ("MaxTokenLifetime", "59", False),
    ("LogLevel", "TRACE", False),
    ("LogRetentionDays", "0", False),
    ("AppTokenRate", "0", False),
    ("DomainName", "token.example.com", True),
    ("DomainName", "https://token.example.com", False),
    ("DomainName", "token.example.com/", False),
    ("DomainName", "localhost", False),
    ("CertificateArn", "arn:aws:iam::111122223333:server-certificate/c", False),
    ("AlarmTopic", "ops@example.com", False),
    ("AlarmRequests", "0", False),
    ("RunbookUrl", "https://git.example/roomkey/docs/reference/alarms.md", True),
    ("RunbookUrl", "", False),
    ("RunbookUrl", "https://git.example/alarms.md#faults", False),  # Alarms add their own.
    ("RunbookUrl", 'docs/"alarms".md', False),  # The dashboard's JSON contains it.
    ("KmsKeyArn", "arn:aws:kms:eu-central-1:111122223333:alias/roomkey", False),
    ("KmsKeyArn", "alias/roomkey", False),
    ("PermissionsBoundary", "boundary", False),
    ("ReservedConcurrency", "1", True),
    ("ReservedConcurrency", "0", False),  # `roomkey env stop`, not a deploy, is for that.
    ("Rollout", "Canary", False),
]


@pytest.mark.parametrize(("parameter", "value", "expected"), ACCEPTED)
def test_a_parameter_accepts(parameter: str, value: str, expected: bool) -> None:
    assert accepts(parameter, value) is expected


@pytest.mark.parametrize("access", ACCESS, indirect=True)
def test_a_complete_access_mode_is_accepted(access: str) -> None:
    assert refusals(**ACCESS[access]) == []


@pytest.mark.parametrize("missing", [["JwtIssuer"], ["JwtAudience"], ["JwtIssuer", "JwtAudience"]])
def test_jwt_without_issuer_or_audience_is_refused(missing: list[str]) -> None:
    said = refusals(AppTokenAccess="jwt", **(JWT | dict.fromkeys(missing, "")))

    assert len(said) == len(missing)
    for name, sentence in zip(missing, said, strict=True):
        assert sentence.startswith(f"AppTokenAccess is jwt, so {name} must name")


@pytest.mark.threat("F1")
def test_the_defaults_alone_are_refused() -> None:
    assert refusals()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"DomainName": "token.example.com"}, ["DomainName is set, so CertificateArn must name"]),
        ({"DefaultEndpoint": "off"}, ["DefaultEndpoint is off, so DomainName must give"]),
        ({"DomainName": "token.example.com", "CertificateArn": "arn:aws:acm:r:1:certificate/c"}, []),
        ({**EVERYTHING}, []),
    ],
)
def test_an_api_without_an_address_is_refused(given: dict[str, str], said: list[str]) -> None:
    found = refusals(**({"AppTokenAccess": "iam"} | given))

    assert [sentence[: len(expected)] for sentence, expected in zip(found, said, strict=True)] == said


@pytest.mark.threat("B11")
def test_no_parameter_adds_operator_data() -> None:
    kinds = {resource["Type"] for resource in stack(**EVERYTHING).resources.values()}

    assert not [kind for kind in kinds if re.search("SSM|SecretsManager|KMS|Custom|Schedule|Events", kind)]


def test_rules_use_functions_that_cloudformation_evaluates_there() -> None:
    """A rule with Fn::Join passes validation and fails the deploy."""
    texts = (value for value in every_value(source()["Rules"]) if isinstance(value, str))
    functions = {text for text in texts if re.match("Fn::|Ref$", text)}

    assert functions <= {"Ref", "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or", "Fn::Contains"}


def _outputs(environment: str, **given: str) -> Any:
    return stack(Environment=environment, **given).outputs


def test_the_outputs() -> None:
    url = "https://Api.execute-api.eu-central-1.amazonaws.com"
    api = "arn:aws:execute-api:eu-central-1:111122223333:Api"

    assert _outputs("prod", AppTokenAccess="iam") == {
        "ApiUrl": url,
        "TokenEndpoint": f"{url}/",
        "HealthUrl": f"{url}/v1/health",
        "ApiId": "Api",
        "ManagementInvokeArn": f"{api}/*/POST/v1/*/management-token",
        "AppTokenInvokeArn": f"{api}/*/POST/v1/*/app-token",
        "LiveKitTokenInvokeArn": f"{api}/*/POST/v1/livekit/token",
        "TokenEndpointInvokeArn": f"{api}/*/POST/api/token",
        "InviteInvokeArn": f"{api}/*/POST/v1/invites",
        "FunctionName": "roomkey-prod",
        "DashboardName": "roomkey-prod",
        "LogGroupName": "/aws/lambda/roomkey-prod",
        "AccessLogGroupName": "/aws/vendedlogs/roomkey-prod",
        "KillSwitchParameter": "/roomkey/prod/disabled",
        "PolicyParameter": "/roomkey/prod/policy",
        "BlockListParameter": "/roomkey/prod/blocked",
        "SecretsPrefix": "roomkey/prod/",
    }


def test_with_a_domain_the_outputs_name_it_and_its_target() -> None:
    outputs = stack(**EVERYTHING).outputs

    assert (
        outputs.items()
        >= {
            "ApiUrl": "https://token.example.com",
            "TokenEndpoint": "https://token.example.com/",
            "HealthUrl": "https://token.example.com/v1/health",
            "DomainTarget": "Domain.RegionalDomainName",
            "DomainTargetZone": "Domain.RegionalHostedZoneId",
        }.items()
    )


@pytest.mark.parametrize("mode", [mode for mode in ACCESS if mode != "iam"])
def test_app_token_arns_are_outputs_with_iam_access_only(mode: str) -> None:
    assert (
        not {"AppTokenInvokeArn", "TokenEndpointInvokeArn", "InviteInvokeArn"} & _outputs("prod", **ACCESS[mode]).keys()
    )


# Types with their own Tags property here. `make deploy` tags the others as well.
TAGGED = {
    "AWS::ApiGatewayV2::DomainName",
    "AWS::ApiGatewayV2::Stage",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
}


@pytest.mark.parametrize("kind", sorted(TAGGED))
def test_resources_are_tagged_with_service_and_environment(kind: str) -> None:
    resources = stack(**EVERYTHING).of_type(kind).values()

    assert resources
    for resource in resources:
        tags = resource["Properties"]["Tags"]
        found = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
        assert found.items() >= {"service": "roomkey", "environment": "prod"}.items()


def test_the_stack_needs_no_more_than_capability_iam() -> None:
    """A named role would need CAPABILITY_NAMED_IAM."""
    for role in stack().of_type("AWS::IAM::Role").values():
        assert "RoleName" not in role["Properties"]


def test_samconfig_names_existing_parameters() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    overrides = [
        pair.split("=", 1)
        for command in settings.values()
        for pair in command["parameters"].get("parameter_overrides", "").split()
    ]

    assert overrides
    for name, value in overrides:
        assert accepts(name, value)


def test_local_runs_set_variables_of_the_template() -> None:
    """`sam local` silently drops all others."""
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    files = {command["parameters"]["env_vars"] for command in settings.values() if "env_vars" in command["parameters"]}

    assert files
    for file in files:
        named = json.loads((ROOT / file).read_text())["Parameters"]
        assert named.keys() <= stack().function["Environment"]["Variables"].keys()


@pytest.mark.parametrize("template", [TEMPLATE, *NESTED.values()], ids=lambda path: path.name)
def test_cfn_lint_finds_nothing(template: Path) -> None:
    assert lint_file(template, config=ManualArgs(regions=["us-east-1", "eu-central-1"])) == []


def test_the_generated_parts_are_up_to_date() -> None:
    """`make docs` writes them."""
    done = subprocess.run(
        [sys.executable, "scripts/reference.py", "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


# Accepted findings of the serverless rules.
ACCEPTED_FINDINGS = {
    "WS1000": "X-Ray is the parameter Tracing, off by default because of its cost",
    "WS1004": "the rule looks for Lambda's default log group; LoggingConfig names another",
}


def test_the_serverless_rules_find_accepted_findings_only() -> None:
    config = ManualArgs(regions=["us-east-1"], append_rules=["cfn_lint_serverless.rules"])

    assert {found.rule.id for found in lint_file(TEMPLATE, config=config)} == ACCEPTED_FINDINGS.keys()
