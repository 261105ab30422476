"""Resolve the stack offline as CloudFormation would: translated from SAM, for given parameters.

The SAM translator keeps every `Fn::If` and a linter does not translate at all; only the resolved template shows whether
a route is open. Logical ids replace the names that AWS generates."""

import copy
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"
NESTED = {"Monitoring": ROOT / "monitoring.yaml"}
"""Templates of the nested stacks, by logical id."""
REGION = "eu-central-1"
ACCOUNT = "111122223333"

JWT = {"JwtIssuer": "https://issuer.example/pool", "JwtAudience": "web,mobile"}

# Every resource that a parameter can add.
EVERYTHING = {
    "Environment": "prod",
    "DomainName": "token.example.com",
    "CertificateArn": "arn:aws:acm:eu-central-1:111122223333:certificate/c",
    "DefaultEndpoint": "off",
    "Tracing": "on",
    "AlarmTopic": "arn:aws:sns:eu-central-1:111122223333:alarms",
    "AlarmProbe": "on",
    "KmsKeyArn": "arn:aws:kms:eu-central-1:111122223333:key/k",
    "PermissionsBoundary": "arn:aws:iam::111122223333:policy/boundary",
    "ReservedConcurrency": "50",
    "Rollout": "Canary10Percent10Minutes",
    "SnapStart": "on",
    **JWT,
}

# Every access mode, complete enough to be deployed.
ACCESS: dict[str, dict[str, str]] = {
    "jwt": {"AppTokenAccess": "jwt", **JWT},
    "jwt-scopes": {"AppTokenAccess": "jwt", "JwtScopes": "rooms/join,rooms/host", **JWT},
    "iam": {"AppTokenAccess": "iam"},
    "open": {"AppTokenAccess": "open"},
}

_NO_VALUE = object()
_PSEUDO: dict[str, Any] = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": _NO_VALUE,
}


def source() -> dict[str, Any]:
    """Return a copy of the template as written."""
    return copy.deepcopy(_parsed())


@functools.cache
def _parsed() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml_parse(TEMPLATE.read_text())
    return parsed


def every_value(document: Any) -> Iterator[Any]:
    """Yield `document` and every mapping, list, scalar and key within."""
    yield document
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from every_value(value)
    elif isinstance(document, list):
        for value in document:
            yield from every_value(value)


def default_parameters() -> dict[str, str]:
    """Return every parameter's default as text, as CloudFormation passes it on."""
    return {name: str(parameter["Default"]) for name, parameter in _parsed()["Parameters"].items()}


def environments() -> list[str]:
    """Return the environments in `config/`, without the one of a rehearsal."""
    return sorted({path.stem for path in (ROOT / "config").glob("*.yaml")} - {"rehearsal"})


def configured(environment: str) -> dict[str, str]:
    """Return the parameters in `config/` of this environment."""
    return parameters_in(ROOT / "config" / f"{environment}.yaml")


def parameters_in(path: Path) -> dict[str, str]:
    """Return the parameters in a file as `sam deploy` passes them on."""
    given = yaml_parse(path.read_text())
    return {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in given.items()}


def accepts(parameter: str, value: str) -> bool:
    """Return whether CloudFormation accepts `value` for `parameter`."""
    declared = _parsed()["Parameters"][parameter]
    if "AllowedValues" in declared and value not in map(str, declared["AllowedValues"]):
        return False
    if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], value):
        return False
    if declared["Type"] == "Number":
        return int(declared.get("MinValue", 0)) <= int(value) <= int(declared.get("MaxValue", value))
    return True


def refusals(**given: str) -> list[str]:
    """Return the messages of the template's `Rules` that refuse these parameters."""
    template = _parsed()
    resolver = Resolver(template, default_parameters() | given)
    return [
        assertion["AssertDescription"]
        for rule in template["Rules"].values()
        if resolver.truth(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not resolver.truth(assertion["Assert"])
    ]


@dataclass(frozen=True)
class Stack:
    """One stack with its nested stacks: resources and outputs with all conditions and references resolved."""

    resources: Mapping[str, Any]
    outputs: Mapping[str, Any]

    def of_type(self, kind: str) -> dict[str, Any]:
        """Return the resources of this type, by logical id."""
        return {name: resource for name, resource in self.resources.items() if resource["Type"] == kind}

    def only(self, kind: str) -> Any:
        """Return the properties of the only resource of this type. Raises ValueError if it is not the only one."""
        (resource,) = self.of_type(kind).values()
        return resource["Properties"]

    @property
    def body(self) -> Any:
        """Return the OpenAPI document that API Gateway imports."""
        return self.only("AWS::ApiGatewayV2::Api")["Body"]

    @property
    def routes(self) -> dict[str, Any]:
        """Return every operation of the document, by route key."""
        return {
            path if method == "x-amazon-apigateway-any-method" else f"{method.upper()} {path}": operation
            for path, methods in self.body["paths"].items()
            for method, operation in methods.items()
        }

    @property
    def stage(self) -> Any:
        return self.only("AWS::ApiGatewayV2::Stage")

    @property
    def function(self) -> Any:
        return self.only("AWS::Lambda::Function")

    @property
    def statements(self) -> list[Any]:
        """Return the statements of the function's role."""
        return self.statements_of("Role")

    def statements_of(self, role: str) -> list[Any]:
        """Return the statements of the role with this logical id."""
        return [
            statement
            for policy in self.resources[role]["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]


def stack(**given: str) -> Stack:
    """Return the stack with these parameters and defaults for the others."""
    unknown = given.keys() - _parsed()["Parameters"].keys()
    assert not unknown, f"unknown parameter: {unknown}"
    return _stack(frozenset(given.items()))


def with_uploaded_code(sam: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy whose code is on S3, as `sam package` would leave it: the translator accepts nothing else."""
    uploaded = copy.deepcopy(dict(sam))
    uploaded["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/function.zip"
    uploaded["Resources"]["Dependencies"]["Properties"]["ContentUri"] = "s3://bucket/layer.zip"
    return uploaded


def translated(sam: dict[str, Any], parameters: Mapping[str, str], region: str = REGION) -> dict[str, Any]:
    """Return the CloudFormation template of a packaged SAM template."""
    # A real session would look for this machine's AWS profile.
    session = SimpleNamespace(region_name=region)
    template: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(sam, dict(parameters))
    return template


@functools.cache
def _stack(given: frozenset[tuple[str, str]]) -> Stack:
    parameters = default_parameters() | dict(given)
    template = translated(with_uploaded_code(source()), parameters)
    resolver = Resolver(template, parameters)
    resources = resolver.present(template["Resources"])
    for name, path in NESTED.items():
        nested = yaml_parse(path.read_text())
        nested_resolver = Resolver(nested, resources[name]["Properties"]["Parameters"])
        added = nested_resolver.present(nested["Resources"])
        assert not added.keys() & resources.keys(), "a logical id exists in two stacks"
        resources |= added
    return Stack(
        resources=resources,
        outputs={name: output["Value"] for name, output in resolver.present(template["Outputs"]).items()},
    )


class Resolver:
    """Resolve CloudFormation's functions, as many as the template uses; any other raises NotImplementedError."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._conditions: Mapping[str, Any] = template.get("Conditions", {})
        self._resources: Mapping[str, Any] = template["Resources"]
        self._values = {**_PSEUDO, **parameters}
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::Sub": self._sub,
            "Fn::GetAtt": self._get_att,
            "Fn::If": lambda of: self.value(of[1] if self.truth({"Condition": of[0]}) else of[2]),
            "Fn::Join": lambda of: of[0].join(self.value(of[1])),
            "Fn::Split": lambda of: self.value(of[1]).split(of[0]),
        }

    def present(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return the resources or outputs whose condition holds, resolved."""
        return {
            name: self.value(member)
            for name, member in members.items()
            if "Condition" not in member or self.truth({"Condition": member["Condition"]})
        }

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for item in node if (value := self.value(item)) is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name in self._functions:
                return self._functions[name](argument)
            if name.startswith("Fn::"):
                raise NotImplementedError(name)
        return {key: value for key, item in node.items() if (value := self.value(item)) is not _NO_VALUE}

    def truth(self, node: Any) -> bool:
        ((name, argument),) = node.items()
        match name:
            case "Condition":
                return self.truth(self._conditions[argument])
            case "Fn::Equals":
                left, right = map(self.value, argument)
                return bool(left == right)
            case "Fn::Not":
                return not self.truth(argument[0])
            case "Fn::And":
                return all(map(self.truth, argument))
            case "Fn::Or":
                return any(map(self.truth, argument))
        raise NotImplementedError(name)

    def _ref(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        properties = self._resources[name]["Properties"]
        match self._resources[name]["Type"]:
            case "AWS::Logs::LogGroup":
                return self.value(properties["LogGroupName"])
            case "AWS::Lambda::Function":
                return self.value(properties["FunctionName"])
            case "AWS::CloudWatch::Alarm":
                return self.value(properties["AlarmName"])
            case "AWS::CloudWatch::Dashboard":
                return self.value(properties["DashboardName"])
            case "AWS::ApiGatewayV2::DomainName":
                return self.value(properties["DomainName"])
            case "AWS::ApiGatewayV2::Stage":
                return self.value(properties["StageName"])
            case "AWS::Lambda::Alias":
                function = self.value(properties["FunctionName"])
                return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:{properties['Name']}"
        return name

    def _get_att(self, of: list[str]) -> str:
        name, attribute = of
        match self._resources[name]["Type"], attribute:
            case "AWS::Logs::LogGroup", "Arn":
                return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{self._ref(name)}:*"
            case "AWS::IAM::Role", "Arn":
                return f"arn:aws:iam::{ACCOUNT}:role/{name}"
        return f"{name}.{attribute}"

    def _sub(self, of: str | list[Any]) -> str:
        text, own = (of, {}) if isinstance(of, str) else of

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name in own:
                return str(self.value(own[name]))
            return str(self._get_att(name.split(".")) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^!}]+)\}", replace, text)
