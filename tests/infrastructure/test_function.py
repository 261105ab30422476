"""The function, its versions, variables, logs and layer."""

import re
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infrastructure.template import EVERYTHING, ROOT, Stack, source, stack
from roomkey.settings import Settings


@pytest.mark.threat("J3")
def test_there_is_one_function(deployed: Stack) -> None:
    assert set(deployed.of_type("AWS::Lambda::Function")) == {"Function"}
    assert not deployed.of_type("AWS::Lambda::Url")


def test_the_handler_exists() -> None:
    properties = source()["Resources"]["Function"]["Properties"]
    *module, _ = properties["Handler"].split(".")

    assert (ROOT / properties["CodeUri"]).joinpath(*module).with_suffix(".py").is_file()


@pytest.mark.threat("C8")
def test_the_timeout_is_beyond_the_function_s_own_deadline_and_within_the_gateway_s(deployed: Stack) -> None:
    assert 5 <= deployed.function["Timeout"] <= 10


def test_it_is_named_after_its_environment() -> None:
    production = stack(Environment="prod")

    assert production.function["FunctionName"] == "roomkey-prod"
    assert production.function["LoggingConfig"]["LogGroup"] == "/aws/lambda/roomkey-prod"


@pytest.mark.threat("A21")
def test_every_parameter_reaches_its_variable() -> None:
    given = {
        "Environment": "stage-2",
        "Platforms": "agora,100ms",
        "AppTokenAccess": "open",
        "UserIdClaim": "email",
        "GroupsClaim": "cognito:groups",
        "GroupsFormat": "comma",
        "AllowedOrigins": "https://app.example",
        "InviteUrl": "https://app.example/join",
        "AppTokenLifetime": "61",
        "ManagementTokenLifetime": "62",
        "MaxTokenLifetime": "63",
        "AuditUserIds": "omit",
        "LogLevel": "ERROR",
    }

    assert stack(**given).function["Environment"]["Variables"] == {
        "ENVIRONMENT": "stage-2",
        "PLATFORMS": "agora,100ms",
        "APP_TOKEN_ACCESS": "open",
        "USER_ID_CLAIM": "email",
        "GROUPS_CLAIM": "cognito:groups",
        "GROUPS_FORMAT": "comma",
        "ALLOWED_ORIGINS": "https://app.example",
        "INVITE_URL": "https://app.example/join",
        "APP_TOKEN_LIFETIME": "61",
        "MANAGEMENT_TOKEN_LIFETIME": "62",
        "MAX_TOKEN_LIFETIME": "63",
        "AUDIT_USER_IDS": "omit",
        "LOG_LEVEL": "ERROR",
        "RES_OPTIONS": "timeout:1 attempts:1",
        "URL_SUFFIX": "amazonaws.com",
        "AWS_ENDPOINT_URL": "",
    }


def test_the_function_accepts_every_stack_s_variables(deployed: Stack) -> None:
    variables = deployed.function["Environment"]["Variables"]

    assert Settings.from_environment(variables).environment == "dev"


def _version(deployed: Stack) -> str:
    (name,) = deployed.of_type("AWS::Lambda::Version")
    return name


@pytest.mark.threat("J6")
def test_a_new_release_publishes_a_new_version() -> None:
    """CloudFormation publishes one only under a new logical id, not for a changed parameter."""
    before, after = stack(Release="a000000001"), stack(Release="a000000002")

    assert _version(before) != _version(after)
    # Lambda publishes only a changed function; SAM writes the release into its description.
    assert before.function["Description"] != after.function["Description"]


@pytest.mark.threat("J6")
def test_the_alias_is_the_new_version() -> None:
    deployed = stack(Release="a000000003")
    alias = deployed.only("AWS::Lambda::Alias")

    assert (alias["Name"], alias["FunctionVersion"]) == ("live", f"{_version(deployed)}.Version")


@pytest.mark.parametrize(("parameter", "applied"), [("off", "None"), ("on", "PublishedVersions")])
def test_snapshots_are_a_parameter(parameter: str, applied: str) -> None:
    assert stack(SnapStart=parameter).function["SnapStart"] == {"ApplyOn": applied}


def test_snapshots_are_off_by_default() -> None:
    assert stack().function["SnapStart"] == {"ApplyOn": "None"}


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_function_and_layer_run_on_either_processor(architecture: str) -> None:
    deployed = stack(Architecture=architecture)

    assert deployed.function["Architectures"] == [architecture]
    assert architecture in deployed.only("AWS::Lambda::LayerVersion")["CompatibleArchitectures"]


def test_lambda_does_not_filter_log_lines() -> None:
    """With its JSON format, Lambda's level filter can drop an audit line."""
    assert stack().function["LoggingConfig"] == {"LogGroup": "/aws/lambda/roomkey-dev", "LogFormat": "Text"}


def test_logs_outlive_the_stack() -> None:
    groups = stack(LogRetentionDays="731").of_type("AWS::Logs::LogGroup")

    assert set(groups) == {"LogGroup", "AccessLogGroup"}
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == "731"
        # Groups left by a failed first deploy would make the next one fail.
        assert group["DeletionPolicy"] == "RetainExceptOnCreate"
        assert group["UpdateReplacePolicy"] == "Retain"


def test_logs_are_kept_a_year_by_default() -> None:
    groups = stack().of_type("AWS::Logs::LogGroup").values()

    assert {group["Properties"]["RetentionInDays"] for group in groups} == {"365"}


@pytest.mark.threat("J6")
def test_the_layer_outlives_the_deploy_that_replaces_it() -> None:
    (layer,) = stack().of_type("AWS::Lambda::LayerVersion").values()

    assert layer["DeletionPolicy"] == "Retain"


def test_the_layer_is_for_the_function_s_python() -> None:
    resources = source()["Resources"]
    runtime = resources["Function"]["Properties"]["Runtime"]

    assert resources["Dependencies"]["Metadata"]["BuildMethod"] == runtime
    assert resources["Dependencies"]["Properties"]["CompatibleRuntimes"] == [runtime]
    assert runtime == f"python{(ROOT / '.python-version').read_text().strip()}"


def _layer() -> dict[str, Any]:
    """Each package of the layer: its version and the number of its hashes."""
    directory = source()["Resources"]["Dependencies"]["Properties"]["ContentUri"]
    text = Path(ROOT, directory, "requirements.txt").read_text()
    pins = re.findall(r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)), "a line without a pin or its hashes"
    return {name: pinned for name, pinned, _ in pins}


@pytest.mark.threat("J5")
def test_the_layer_contains_what_the_function_needs() -> None:
    needed, unseen = set[str](), ["aws-lambda-powertools", "pyjwt"]
    while unseen:
        needed.add(name := unseen.pop())
        for line in map(Requirement, requires(name) or []):
            dependency = canonicalize_name(line.name)
            wanted = line.marker is None or line.marker.evaluate({"extra": "", "python_version": "3.13"})
            if wanted and dependency not in needed:
                unseen.append(dependency)

    assert set(_layer()) == needed
    assert "boto3" not in needed


@pytest.mark.threat("G6", "J5")
@pytest.mark.parametrize("package", _layer())
def test_the_tests_run_on_the_layer_s_versions(package: str) -> None:
    assert version(package) == _layer()[package]


def test_optional_properties_are_absent_by_default() -> None:
    plain, full = stack(), stack(**EVERYTHING)

    assert "ReservedConcurrentExecutions" not in plain.function
    assert full.function["ReservedConcurrentExecutions"] == "50"
    assert plain.function["TracingConfig"] == {"Mode": "PassThrough"}
    assert full.function["TracingConfig"] == {"Mode": "Active"}
    assert not [one for one in plain.of_type("AWS::Logs::LogGroup").values() if "KmsKeyId" in one["Properties"]]
    for group in full.of_type("AWS::Logs::LogGroup").values():
        assert group["Properties"]["KmsKeyId"] == EVERYTHING["KmsKeyArn"]
