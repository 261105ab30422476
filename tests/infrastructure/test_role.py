"""The permissions of the function's role and of CodeDeploy's."""

import pytest

from infrastructure.iam import allowed, as_list
from infrastructure.template import ACCESS, EVERYTHING, Stack, stack

SSM = "arn:aws:ssm:eu-central-1:111122223333:parameter"
SECRETS = "arn:aws:secretsmanager:eu-central-1:111122223333:secret"
LOGS = "arn:aws:logs:eu-central-1:111122223333:log-group"


def _grants(deployed: Stack) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for statement in deployed.statements
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def test_the_role_grants_exactly_this(deployed: Stack) -> None:
    assert _grants(deployed) == {
        ("ssm:GetParameters", f"{SSM}/roomkey/dev/disabled"),
        ("ssm:GetParameters", f"{SSM}/roomkey/dev/policy"),
        ("ssm:GetParameters", f"{SSM}/roomkey/dev/blocked"),
        ("secretsmanager:GetSecretValue", f"{SECRETS}:roomkey/dev/*"),
        ("logs:CreateLogStream", f"{LOGS}:/aws/lambda/roomkey-dev:*"),
        ("logs:PutLogEvents", f"{LOGS}:/aws/lambda/roomkey-dev:*"),
    }


def test_the_role_has_no_other_policy() -> None:
    """SAM would add AWS's basic execution policy, with all log groups, to a role that it creates."""
    deployed = stack()

    assert deployed.function["Role"] == "arn:aws:iam::111122223333:role/Role"
    assert set(deployed.of_type("AWS::IAM::Role")) == {"Role", "RolloutRole"}
    assert not deployed.of_type("AWS::IAM::Policy")
    assert not deployed.of_type("AWS::IAM::ManagedPolicy")
    for role in deployed.of_type("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role["Properties"]


@pytest.mark.parametrize(("role", "service"), [("Role", "lambda"), ("RolloutRole", "codedeploy")])
def test_only_its_service_may_assume_a_role(role: str, service: str) -> None:
    assert stack().resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{service}.amazonaws.com"}}
    ]


@pytest.mark.threat("J4")
@pytest.mark.parametrize("environment", ["dev", "prod", "dev2"])
def test_every_grant_names_the_environment(environment: str) -> None:
    grants = _grants(stack(Environment=environment))

    assert grants
    for action, resource in grants:
        path = f"/roomkey-{environment}:" if action.startswith("logs:") else f"roomkey/{environment}/"
        assert path in resource


GET_PARAMETERS = "ssm:GetParameters"
GET_SECRET = "secretsmanager:GetSecretValue"
PUT_EVENTS = "logs:PutLogEvents"

QUESTIONS = [
    # Operator data: read this environment's, change none.
    (GET_PARAMETERS, f"{SSM}/roomkey/dev/disabled", True),
    (GET_PARAMETERS, f"{SSM}/roomkey/dev/policy", True),
    ("SSM:getparameters", f"{SSM}/roomkey/dev/disabled", True),  # IAM ignores an action's case.
    ("ssm:GetParameter", f"{SSM}/roomkey/dev/disabled", False),
    ("ssm:GetParametersByPath", f"{SSM}/roomkey/dev/disabled", False),
    ("ssm:GetParametersByPath", f"{SSM}/roomkey/dev", False),
    ("ssm:GetParameterHistory", f"{SSM}/roomkey/dev/disabled", False),
    ("ssm:DescribeParameters", "*", False),
    ("ssm:PutParameter", f"{SSM}/roomkey/dev/disabled", False),
    ("ssm:PutParameter", f"{SSM}/roomkey/dev/policy", False),
    ("ssm:DeleteParameter", f"{SSM}/roomkey/dev/disabled", False),
    ("ssm:LabelParameterVersion", f"{SSM}/roomkey/dev/disabled", False),
    (GET_PARAMETERS, f"{SSM}/roomkey/dev/disabled2", False),
    (GET_PARAMETERS, f"{SSM}/roomkey/dev/other", False),
    (GET_PARAMETERS, f"{SSM}/roomkey/dev/disabled/more", False),
    (GET_PARAMETERS, f"{SSM}/roomkey/prod/disabled", False),
    (GET_PARAMETERS, f"{SSM}/roomkey/dev2/disabled", False),
    (GET_PARAMETERS, f"{SSM}/roomkey/de/disabled", False),
    (GET_PARAMETERS, f"{SSM}/other/roomkey/dev/disabled", False),
    (GET_PARAMETERS, f"{SSM}/Roomkey/dev/disabled", False),
    (GET_PARAMETERS, "arn:aws:ssm:eu-central-1:444455556666:parameter/roomkey/dev/disabled", False),
    (GET_PARAMETERS, "arn:aws:ssm:us-east-1:111122223333:parameter/roomkey/dev/disabled", False),
    (GET_PARAMETERS, f"{SSM}/roomkey/dev/blocked", True),
    # Secrets: the current values below the environment's prefix, also of a secret that does not exist yet, which
    # would otherwise be "denied" instead of "not found".
    (GET_SECRET, f"{SECRETS}:roomkey/dev/100ms-AbC12f", True),
    (GET_SECRET, f"{SECRETS}:roomkey/dev/invites-AbC12f", True),
    (GET_SECRET, f"{SECRETS}:roomkey/dev/100ms", True),
    (GET_SECRET, f"{SECRETS}:roomkey/prod/100ms", False),
    (GET_SECRET, f"{SECRETS}:roomkey/dev", False),
    (GET_SECRET, f"{SECRETS}:roomkey/dev2/100ms-AbC12f", False),
    (GET_SECRET, f"{SECRETS}:roomkey/prod/100ms-AbC12f", False),
    (GET_SECRET, f"{SECRETS}:roomkey-dev/100ms-AbC12f", False),
    (GET_SECRET, "arn:aws:secretsmanager:eu-central-1:444455556666:secret:roomkey/dev/100ms-AbC12f", False),
    ("secretsmanager:BatchGetSecretValue", f"{SECRETS}:roomkey/dev/100ms-AbC12f", False),
    ("secretsmanager:DescribeSecret", f"{SECRETS}:roomkey/dev/100ms-AbC12f", False),
    ("secretsmanager:ListSecrets", "*", False),
    ("secretsmanager:PutSecretValue", f"{SECRETS}:roomkey/dev/100ms-AbC12f", False),
    ("secretsmanager:UpdateSecret", f"{SECRETS}:roomkey/dev/100ms-AbC12f", False),
    ("secretsmanager:DeleteSecret", f"{SECRETS}:roomkey/dev/100ms-AbC12f", False),
    ("secretsmanager:PutResourcePolicy", f"{SECRETS}:roomkey/dev/100ms-AbC12f", False),
    # Its own log: write only.
    (PUT_EVENTS, f"{LOGS}:/aws/lambda/roomkey-dev:log-stream:2026/01/01/[1]abc", True),
    ("logs:CreateLogStream", f"{LOGS}:/aws/lambda/roomkey-dev:log-stream:2026/01/01/[1]abc", True),
    ("logs:CreateLogGroup", f"{LOGS}:/aws/lambda/roomkey-dev:*", False),
    ("logs:DeleteLogStream", f"{LOGS}:/aws/lambda/roomkey-dev:log-stream:2026/01/01/[1]abc", False),
    ("logs:GetLogEvents", f"{LOGS}:/aws/lambda/roomkey-dev:log-stream:2026/01/01/[1]abc", False),
    (PUT_EVENTS, f"{LOGS}:/aws/lambda/roomkey-dev2:log-stream:a", False),
    (PUT_EVENTS, f"{LOGS}:/aws/lambda/roomkey-prod:log-stream:a", False),
    (PUT_EVENTS, f"{LOGS}:/aws/vendedlogs/roomkey-dev:log-stream:a", False),
    # Nothing else.
    ("sts:AssumeRole", "arn:aws:iam::111122223333:role/Role", False),
    ("lambda:InvokeFunction", "arn:aws:lambda:eu-central-1:111122223333:function:roomkey-dev", False),
    ("kms:Decrypt", "arn:aws:kms:eu-central-1:111122223333:key/0", False),
]


KEY = EVERYTHING["KmsKeyArn"]
BY_SECRETS = {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}
PROD_SECRET = f"{SECRETS}:roomkey/prod/agora-AbC12f"
SECRET_ARN = "kms:EncryptionContext:SecretARN"


@pytest.mark.threat("J4")
@pytest.mark.parametrize(
    ("action", "arn", "context", "answer"),
    [
        ("kms:Decrypt", KEY, BY_SECRETS | {SECRET_ARN: PROD_SECRET}, True),
        ("kms:Decrypt", KEY, BY_SECRETS | {SECRET_ARN: PROD_SECRET.replace("prod", "dev")}, False),
        ("kms:Decrypt", KEY, BY_SECRETS | {SECRET_ARN: f"{SECRETS}:other-AbC12f"}, False),
        ("kms:Decrypt", KEY, BY_SECRETS, False),
        ("kms:Decrypt", KEY, {SECRET_ARN: PROD_SECRET}, False),
        ("kms:Decrypt", KEY, {}, False),
        ("kms:Decrypt", f"{KEY}2", BY_SECRETS | {SECRET_ARN: PROD_SECRET}, False),
        ("kms:GenerateDataKey", KEY, BY_SECRETS | {SECRET_ARN: PROD_SECRET}, False),
        ("xray:PutTraceSegments", "*", {}, True),
        ("xray:GetSampledTraces", "*", {}, False),
        (GET_SECRET, PROD_SECRET, {}, True),
    ],
)
def test_the_role_with_a_key_and_traces_allows(action: str, arn: str, context: dict[str, str], answer: bool) -> None:
    assert allowed(stack(**EVERYTHING).statements, action, arn, context) is answer


ALIAS = "arn:aws:lambda:eu-central-1:111122223333:function:roomkey-dev"


@pytest.mark.threat("B12")
@pytest.mark.parametrize(
    ("action", "arn", "answer"),
    [
        ("lambda:UpdateAlias", f"{ALIAS}:live", True),
        ("lambda:UpdateAlias", ALIAS, True),
        ("lambda:UpdateAlias", f"{ALIAS}2", False),
        ("lambda:GetProvisionedConcurrencyConfig", f"{ALIAS}:7", True),
        ("lambda:UpdateFunctionCode", ALIAS, False),
        ("lambda:InvokeFunction", f"{ALIAS}:live", False),
        ("cloudwatch:DescribeAlarms", "*", True),
        ("cloudwatch:DeleteAlarms", "*", False),
        (GET_SECRET, f"{SECRETS}:roomkey/dev/100ms-AbC12f", False),
        (GET_PARAMETERS, f"{SSM}/roomkey/dev/disabled", False),
    ],
)
def test_codedeploy_s_role_allows(action: str, arn: str, answer: bool) -> None:
    assert allowed(stack(**ACCESS["iam"]).statements_of("RolloutRole"), action, arn) is answer


def test_every_role_has_the_boundary_if_one_is_given() -> None:
    roles = stack(**EVERYTHING).of_type("AWS::IAM::Role").values()

    assert {role["Properties"]["PermissionsBoundary"] for role in roles} == {EVERYTHING["PermissionsBoundary"]}
    assert not [
        role for role in stack().of_type("AWS::IAM::Role").values() if "PermissionsBoundary" in role["Properties"]
    ]


@pytest.mark.threat("B12", "J4")
@pytest.mark.parametrize(("action", "arn", "answer"), QUESTIONS)
def test_the_role_allows(action: str, arn: str, answer: bool) -> None:
    assert allowed(stack(**ACCESS["jwt"]).statements, action, arn) is answer
