"""Names in the commands and docs against names in the template."""

import re
from typing import Any

import pytest

from infrastructure.template import JWT, ROOT, source, stack
from roomkey.platforms import PLATFORM_NAMES
from roomkey_cli.environment import ALIAS, Environment

RESOURCES: dict[str, Any] = source()["Resources"]


def named(resource: str, prop: str, environment: str) -> str:
    """Return a name that the template derives from the environment's."""
    return str(RESOURCES[resource]["Properties"][prop]["Fn::Sub"]).replace("${Environment}", environment)


@pytest.mark.parametrize("name", ["dev", "prod-eu-1"])
def test_the_commands_use_the_template_s_names(name: str) -> None:
    environment = Environment.from_name(name)

    assert environment.function_name == named("Function", "FunctionName", name)
    assert environment.layer_name == named("Dependencies", "LayerName", name)
    assert environment.log_groups == (
        named("LogGroup", "LogGroupName", name),
        named("AccessLogGroup", "LogGroupName", name),
    )
    assert RESOURCES["Function"]["Properties"]["AutoPublishAlias"] == ALIAS


def test_the_runbooks_name_existing_resources_and_outputs() -> None:
    """SAM generates CodeDeploy's resources and their names."""
    deployed = stack(Environment="prod", Rollout="Canary10Percent10Minutes", **JWT)
    shown = "".join((ROOT / "docs" / name).read_text() for name in ("deploy.md", "runbooks.md"))
    resources = set(re.findall(r"--logical-resource-id (\w+)", shown))
    outputs = set(re.findall(r"OutputKey=='(\w+)'", shown))

    assert resources == {"ServerlessDeploymentApplication", "FunctionDeploymentGroup"}
    assert resources <= deployed.resources.keys()
    assert outputs == {"ApiId"}
    assert outputs <= deployed.outputs.keys()


def test_the_commands_read_existing_outputs_and_parameters() -> None:
    assert "ApiUrl" in source()["Outputs"]
    assert "KmsKeyArn" in source()["Parameters"]


@pytest.mark.parametrize(
    ("name", "is_prod"),
    [
        ("prod", True),
        ("production", True),
        ("prod-eu", True),
        ("eu-prod", True),
        ("dev", False),
        ("staging", False),
        ("reproduce", False),
        ("non-pro", False),
    ],
)
def test_a_production_environment_has_prod_in_its_name(name: str, is_prod: bool) -> None:
    assert Environment.from_name(name).is_prod is is_prod


@pytest.mark.parametrize("name", ["", "Prod", "1", "a_b", "a" * 17, "a/b", "é", "a\n"])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid environment name"):
        Environment.from_name(name)


def test_the_runbooks_end_a_session_on_every_platform() -> None:
    page = (ROOT / "docs/runbooks.md").read_text()
    section = page[page.index("## Remove a person now") : page.index("### What ends a token")]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)

    assert set(rows) >= set(PLATFORM_NAMES)
