"""What the commands call an environment's things, held against what the template calls them."""

import re
from typing import Any

import pytest

from infrastructure.template import JWT, ROOT, source, stack
from roomkey_cli.environment import ALIAS, Environment

RESOURCES: dict[str, Any] = source()["Resources"]


def named(resource: str, prop: str, environment: str) -> str:
    """A name that the template makes from the environment's."""
    return str(RESOURCES[resource]["Properties"][prop]["Fn::Sub"]).replace("${Environment}", environment)


@pytest.mark.parametrize("name", ["dev", "prod-eu-1"])
def test_the_commands_look_for_what_the_template_makes(name: str) -> None:
    environment = Environment.from_name(name)

    assert environment.function_name == named("Function", "FunctionName", name)
    assert environment.layer_name == named("Dependencies", "LayerName", name)
    assert environment.log_groups == (
        named("LogGroup", "LogGroupName", name),
        named("AccessLogGroup", "LogGroupName", name),
    )
    assert RESOURCES["Function"]["Properties"]["AutoPublishAlias"] == ALIAS


def test_the_runbooks_ask_for_resources_and_outputs_that_the_stack_has() -> None:
    """Those that move requests are of SAM's making, and of its naming."""
    deployed = stack(Environment="prod", Rollout="Canary10Percent10Minutes", **JWT)
    shown = "".join((ROOT / "docs" / name).read_text() for name in ("deploy.md", "runbooks.md"))
    resources = set(re.findall(r"--logical-resource-id (\w+)", shown))
    outputs = set(re.findall(r"OutputKey=='(\w+)'", shown))

    assert resources == {"ServerlessDeploymentApplication", "FunctionDeploymentGroup"}
    assert resources <= deployed.resources.keys()
    assert outputs == {"ApiId"}
    assert outputs <= deployed.outputs.keys()


def test_the_commands_ask_the_stack_for_what_it_tells() -> None:
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
def test_production_is_known_by_its_name(name: str, is_prod: bool) -> None:
    assert Environment.from_name(name).is_prod is is_prod


@pytest.mark.parametrize("name", ["", "Prod", "1", "a_b", "a" * 17, "a/b", "é", "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no environment's name"):
        Environment.from_name(name)
