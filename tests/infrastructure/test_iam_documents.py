"""The packaged IAM documents: allowed and denied actions of each."""

import json
import re
from typing import Any

import pytest

from infrastructure.iam import allowed, as_list
from infrastructure.template import ACCOUNT, EVERYTHING, REGION, ROOT, stack
from roomkey.observability import NAMESPACE
from roomkey.platforms import PLATFORMS
from roomkey_cli import iam_documents
from roomkey_cli.data import IAM_DOCUMENTS

DOCUMENTS = iam_documents.ROLES

SSM = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/roomkey"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:roomkey"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:roomkey"
API = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:API/$default/POST"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/roomkey"
GATEWAY = f"arn:aws:apigateway:{REGION}::/apis"
ROLLOUT = f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:deploymentgroup:roomkey"
STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/roomkey"

GET_SECRET, PUT_SECRET = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"
PUT, INVOKE, STOP = "ssm:PutParameter", "execute-api:Invoke", "lambda:PutFunctionConcurrency"


def _statements(document: str) -> list[Any]:
    text = (IAM_DOCUMENTS / f"{document}.json").read_text()
    filled = text.replace("REGION", REGION).replace("ACCOUNT", ACCOUNT).replace("/KEY", "/k")
    statements: list[Any] = json.loads(filled)["Statement"]
    return statements


QUESTIONS = [
    ("operator", PUT, f"{SSM}/prod/disabled", True),
    ("operator", PUT, f"{SSM}/prod/policy", True),
    ("operator", "ssm:GetParameterHistory", f"{SSM}/prod/disabled", True),
    ("operator", "ssm:DeleteParameter", f"{SSM}/prod/disabled", False),
    ("operator", PUT, f"{SSM}/prod/disabled2", False),
    ("operator", PUT, f"{SSM}/dev/disabled", False),
    ("operator", PUT, f"{SSM}/prod2/disabled", False),
    ("operator", STOP, f"{LAMBDA}-prod", True),
    ("operator", "lambda:DeleteFunctionConcurrency", f"{LAMBDA}-prod", True),
    ("operator", "lambda:UpdateAlias", f"{LAMBDA}-prod", True),
    ("operator", "codedeploy:StopDeployment", "*", True),  # The action accepts no resource.
    ("operator", "codedeploy:UpdateDeploymentGroup", f"{ROLLOUT}-prod-a/g", False),
    ("operator", "cloudformation:DescribeStackResource", f"{STACK}-prod/1", True),
    ("operator", "apigateway:PATCH", f"{GATEWAY}/API/stages/$default", True),
    ("operator", "apigateway:PATCH", f"{GATEWAY}/API", False),
    ("operator", "apigateway:PATCH", f"{GATEWAY}/API/routes/r", False),
    ("operator", "apigateway:PATCH", f"{GATEWAY}/OTHER/stages/$default", False),
    ("operator", "apigateway:DELETE", f"{GATEWAY}/API/stages/$default", False),
    ("operator", STOP, f"{LAMBDA}-dev", False),
    ("operator", STOP, f"{LAMBDA}-prod2", False),
    ("operator", "lambda:UpdateFunctionCode", f"{LAMBDA}-prod", False),
    ("operator", "lambda:UpdateFunctionConfiguration", f"{LAMBDA}-prod", False),
    ("operator", "lambda:InvokeFunction", f"{LAMBDA}-prod", False),
    ("operator", "secretsmanager:DescribeSecret", f"{SECRET}/prod/100ms-AbC12f", True),
    ("operator", GET_SECRET, f"{SECRET}/prod/100ms-AbC12f", False),
    ("operator", PUT_SECRET, f"{SECRET}/prod/100ms-AbC12f", False),
    ("operator", INVOKE, f"{API}/v1/100ms/management-token", False),
    ("secrets", PUT_SECRET, f"{SECRET}/prod/agora-AbC12f", True),
    ("secrets", GET_SECRET, f"{SECRET}/prod/agora-whiteboard-AbC12f", True),
    ("secrets", "secretsmanager:DescribeSecret", f"{SECRET}/prod/agora", True),  # Before it exists.
    ("secrets", "secretsmanager:UpdateSecret", f"{SECRET}/prod/agora-AbC12f", True),
    ("secrets", "secretsmanager:UpdateSecret", f"{SECRET}/dev/agora-AbC12f", False),
    ("secrets", PUT_SECRET, f"{SECRET}/dev/agora-AbC12f", False),
    ("secrets", PUT_SECRET, f"{SECRET}/prod/invites-AbC12f", True),
    ("secrets", GET_SECRET, f"{SECRET}/prod2/agora-AbC12f", False),
    ("secrets", "secretsmanager:DeleteSecret", f"{SECRET}/prod/agora-AbC12f", False),
    ("secrets", "secretsmanager:PutResourcePolicy", f"{SECRET}/prod/agora-AbC12f", False),
    ("secrets", PUT, f"{SSM}/prod/disabled", False),
    ("deployer", "cloudformation:CreateChangeSet", f"{STACK}-prod/1", True),
    ("deployer", "cloudformation:CreateChangeSet", f"{STACK}-dev/1", False),
    ("deployer", "lambda:UpdateFunctionCode", f"{LAMBDA}-prod", True),
    ("deployer", "lambda:UpdateFunctionCode", f"{LAMBDA}-dev", False),
    ("deployer", "lambda:UpdateFunctionCode", f"{LAMBDA}-prod2", False),
    ("deployer", "lambda:AddPermission", f"{LAMBDA}-prod:live", True),
    # With their own event they could mint for anyone.
    ("deployer", "lambda:InvokeFunction", f"{LAMBDA}-prod", False),
    ("deployer", "lambda:InvokeFunction", f"{LAMBDA}-prod:live", False),
    ("deployer", "lambda:InvokeFunctionUrl", f"{LAMBDA}-prod:live", False),
    ("deployer", "lambda:CreateFunctionUrlConfig", f"{LAMBDA}-prod", False),
    ("deployer", "lambda:UpdateFunctionUrlConfig", f"{LAMBDA}-prod:live", False),
    ("deployer", "sts:AssumeRole", f"{ROLE}-prod-Role-1A2B", False),
    ("deployer", "iam:UpdateAssumeRolePolicy", f"{ROLE}-prod-Role-1A2B", False),
    ("deployer", "iam:ListRolePolicies", f"{ROLE}-prod-Role-1A2B", True),
    (
        "deployer",
        "logs:DeleteRetentionPolicy",
        f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/roomkey-dev",
        False,
    ),
    (
        "deployer",
        "s3:DeleteObject",
        "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-x/roomkey-dev/y",
        True,
    ),
    ("deployer", "s3:DeleteObject", "arn:aws:s3:::other/y", False),
    ("deployer", "codedeploy:UpdateDeploymentGroup", f"{ROLLOUT}-prod-a/g", True),
    ("deployer", "iam:PutRolePolicy", f"{ROLE}-prod-Role-1A2B", True),
    ("deployer", "iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/Admin", False),
    ("deployer", "iam:AttachRolePolicy", f"{ROLE}-prod-Role-1A2B", False),
    ("deployer", "iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x", False),
    ("deployer", GET_SECRET, f"{SECRET}/prod/100ms-AbC12f", False),
    ("deployer", PUT_SECRET, f"{SECRET}/prod/100ms-AbC12f", False),
    ("deployer", PUT, f"{SSM}/prod/disabled", False),
    ("deployer", PUT, f"{SSM}/prod/policy", False),
    ("deployer", "ssm:DeleteParameter", f"{SSM}/prod/disabled", False),
    ("deployer", INVOKE, f"{API}/v1/100ms/management-token", False),
    ("prober", INVOKE, f"{API}/v1/100ms/management-token", True),
    ("prober", INVOKE, f"{API}/v1/100ms/app-token", False),
    ("prober", "cloudformation:DescribeStacks", f"{STACK}-prod/1", True),
    ("prober", "cloudformation:DescribeStacks", f"{STACK}-dev/1", False),
    ("prober", PUT, f"{SSM}/prod/disabled", False),
    ("management-caller", INVOKE, f"{API}/v1/100ms/management-token", True),
    ("management-caller", INVOKE, f"{API}/v1/agora/app-token", False),
    ("management-caller", INVOKE, f"{API}/api/token", False),
    ("management-caller", INVOKE, f"{API.replace('API', 'OTHER')}/v1/100ms/management-token", False),
    ("management-caller", "lambda:InvokeFunction", f"{LAMBDA}-prod", False),
    ("management-caller", GET_SECRET, f"{SECRET}/prod/100ms-AbC12f", False),
    ("app-caller", INVOKE, f"{API}/v1/agora/app-token", True),
    ("app-caller", INVOKE, f"{API}/api/token", True),
    ("app-caller", INVOKE, f"{API}/v1/invites", True),
    ("app-caller", INVOKE, f"{API}/v1/agora/management-token", False),
]


@pytest.mark.threat("B12", "F5", "J4")
@pytest.mark.parametrize(("document", "action", "arn", "answer"), QUESTIONS)
def test_a_document_allows(document: str, action: str, arn: str, answer: bool) -> None:
    assert allowed(_statements(document), action, arn) is answer


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_is_tested_documented_and_of_no_account(document: str) -> None:
    assert document in {question[0] for question in QUESTIONS}
    assert f"/iam/{document}.json)" in (ROOT / "docs" / "deploy.md").read_text()
    assert not re.search(r"\d{12}|[a-z]{2}-[a-z]+-\d", (IAM_DOCUMENTS / f"{document}.json").read_text())


def test_a_deployer_passes_its_roles_to_lambda_and_codedeploy_only() -> None:
    deployer, role = _statements("deployer"), f"{ROLE}-prod-Role-1A2B"

    for service, answer in [("lambda", True), ("codedeploy", True), ("ec2", False)]:
        context = {"iam:PassedToService": f"{service}.amazonaws.com"}
        assert allowed(deployer, "iam:PassRole", role, context) is answer
    assert not allowed(deployer, "iam:PassRole", role)
    assert not allowed(
        deployer, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", {"iam:PassedToService": "lambda.amazonaws.com"}
    )


def test_a_deployer_creates_api_gateway_s_service_linked_role_only() -> None:
    deployer, create = _statements("deployer"), "iam:CreateServiceLinkedRole"
    own = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{{0}}.amazonaws.com/AWSServiceRoleFor"

    for service, answer in [("ops.apigateway", True), ("rds", False)]:
        context = {"iam:AWSServiceName": f"{service}.amazonaws.com"}
        assert allowed(deployer, create, own.format(service), context) is answer


def test_a_prober_writes_metrics_of_roomkey_only() -> None:
    prober, count = _statements("prober"), "cloudwatch:PutMetricData"

    assert allowed(prober, count, "*", {"cloudwatch:namespace": NAMESPACE})
    assert not allowed(prober, count, "*", {"cloudwatch:namespace": "AWS/Lambda"})
    assert not allowed(prober, count, "*")


@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey"])
def test_the_key_is_used_through_secrets_manager_only(action: str) -> None:
    secrets, key = _statements("secrets"), f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"

    assert allowed(secrets, action, key, {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"})
    assert not allowed(secrets, action, key, {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"})
    assert not allowed(secrets, action, key)
    assert not allowed(secrets, action, f"{key}2", {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"})


@pytest.mark.threat("B11", "B12")
def test_the_deployer_s_denials_win_over_other_policies() -> None:
    everything = [{"Effect": "Allow", "Action": "*", "Resource": "*"}, *_statements("deployer")]

    assert allowed(everything, PUT, f"{SSM}x/prod")
    assert not allowed(everything, PUT, f"{SSM}/prod/disabled")
    assert not allowed(everything, GET_SECRET, f"{SECRET}/prod/100ms-AbC12f")
    assert not allowed(everything, "lambda:InvokeFunction", f"{LAMBDA}-prod:live")
    assert not allowed(everything, "sts:AssumeRole", f"{ROLE}-prod-Role-1A2B")


def test_callers_may_invoke_the_resources_in_the_outputs() -> None:
    outputs = stack(Environment="prod", AppTokenAccess="iam").outputs
    named = {arn for name, arn in outputs.items() if name.endswith("InvokeArn")}
    granted = {
        arn.replace(":API/", ":Api/")
        for document in ("management-caller", "app-caller")
        for statement in _statements(document)
        for arn in as_list(statement["Resource"])
    }

    assert granted == named


def test_secrets_creates_secrets_of_its_environment_and_no_other() -> None:
    secrets, create = _statements("secrets"), "secretsmanager:CreateSecret"

    for platform in (*PLATFORMS, "invites"):
        assert allowed(secrets, create, f"{SECRET}/prod/{platform}")
        assert not allowed(secrets, create, f"{SECRET}/dev/{platform}")
    assert not allowed(secrets, create, "*")


def test_the_deployer_may_create_every_named_resource() -> None:
    """Names that AWS generates begin with the stack's name."""
    deployed = stack(**EVERYTHING)
    logs = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:"
    needed = [
        ("lambda:CreateFunction", f"{LAMBDA}-prod"),
        ("lambda:PublishLayerVersion", f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:roomkey-prod-dependencies"),
        ("cloudwatch:PutDashboard", f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{deployed.outputs['DashboardName']}"),
        *(
            (
                "cloudwatch:PutMetricAlarm",
                f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{one['Properties']['AlarmName']}",
            )
            for one in deployed.of_type("AWS::CloudWatch::Alarm").values()
        ),
        *(
            ("logs:CreateLogGroup", logs + one["Properties"]["LogGroupName"])
            for one in deployed.of_type("AWS::Logs::LogGroup").values()
        ),
        *(("iam:CreateRole", f"{ROLE}-prod-{name}-1A2B") for name in deployed.of_type("AWS::IAM::Role")),
    ]

    assert [one for one in needed if not allowed(_statements("deployer"), *one)] == []
