"""Deploy a stack to an emulated AWS on this machine: `make deploy ENV=rehearsal AWS=emulated`.

The emulator is ministack, with IAM enforced. It runs the packaged template through CloudFormation, Lambda and API
Gateway as AWS does, except for the differences in `ADAPTATIONS`. Needs `make build` and .tools/ministack.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from samtranslator.yaml_helper import yaml_parse

from infrastructure.template import (
    ROOT,
    Resolver,
    default_parameters,
    parameters_in,
    translated,
    with_uploaded_code,
)

MINISTACK = ROOT / ".tools/ministack/bin/ministack"
SAM = ROOT / ".tools/sam/bin/sam"
BUILT = ROOT / ".aws-sam/build"
PORT = 4566
REGION = "us-east-1"
ROOT_USER = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}

Template = dict[str, Any]


# --- adaptations: each one is a gap of the emulator ------------------------------------------------------------------


def drop_codedeploy(template: Template, _: "Deployment") -> None:
    """Remove CodeDeploy: the emulator has none, so the alias moves at once."""
    for name, resource in list(template["Resources"].items()):
        resource.pop("UpdatePolicy", None)
        if resource["Type"].startswith("AWS::CodeDeploy::"):
            del template["Resources"][name]


def drop_metric_math(template: Template, _: "Deployment") -> None:
    """Remove alarms on metric math, which the emulator refuses, and all references to them."""
    for name, resource in list(template["Resources"].items()):
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            del template["Resources"][name]
            _drop_references(template, name)


def _drop_references(node: Any, name: str) -> None:
    children = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    if isinstance(node, list):
        node[:] = [item for item in node if not _refers(item, name)]
    for child in children:
        _drop_references(child, name)


def _refers(item: Any, name: str) -> bool:
    if not isinstance(item, dict):
        return False
    if "Fn::If" in item:
        return any(_refers(branch, name) for branch in item["Fn::If"][1:])
    return item.get("Ref") == name or item.get("Fn::GetAtt") in ([name, "Arn"], f"{name}.Arn")


def expand_the_body(template: Template, deployment: "Deployment") -> None:
    """Turn the OpenAPI document into routes, integrations and authorizers: the emulator imports no document."""
    resources = template["Resources"]
    api = resources["Api"]["Properties"]
    body = Resolver(template, deployment.parameters).value(api.pop("Body"))
    api.pop("FailOnWarnings", None)
    api |= {"Name": body["info"]["title"], "ProtocolType": "HTTP"}
    if cors := body.get("x-amazon-apigateway-cors"):
        api["CorsConfiguration"] = {f"{key[0].upper()}{key[1:]}": value for key, value in cors.items()}
    resources["Integration"] = {
        "Type": "AWS::ApiGatewayV2::Integration",
        "Properties": {
            "ApiId": {"Ref": "Api"},
            "IntegrationType": "AWS_PROXY",
            "PayloadFormatVersion": "2.0",
            "IntegrationUri": {"Ref": "FunctionAliaslive"},
        },
    }
    if authorizer := body["components"]["securitySchemes"].get("jwt"):
        configuration = authorizer["x-amazon-apigateway-authorizer"]["jwtConfiguration"]
        resources["Authorizer"] = {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "Name": "jwt",
                "AuthorizerType": "JWT",
                "IdentitySource": ["$request.header.Authorization"],
                "JwtConfiguration": {"Issuer": configuration["issuer"], "Audience": configuration["audience"]},
            },
        }
    keys = {
        path if method == "x-amazon-apigateway-any-method" else f"{method.upper()} {path}": operation
        for path, operations in body["paths"].items()
        for method, operation in operations.items()
    }
    for number, (key, operation) in enumerate(keys.items()):
        ((scheme, scopes),) = operation.get("security", [{"": []}])[0].items()
        resources[f"Route{number}"] = {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "RouteKey": key,
                "Target": {"Fn::Sub": "integrations/${Integration}"},
                "AuthorizationType": {"": "NONE", "iam": "AWS_IAM", "jwt": "JWT"}[scheme],
                **({"AuthorizerId": {"Ref": "Authorizer"}} if scheme == "jwt" else {}),
                **({"AuthorizationScopes": scopes} if scopes else {}),
            },
        }


def widen_get_parameters(template: Template, _: "Deployment") -> None:
    """Allow ssm:GetParameters for every parameter: the emulator does not see which ones a call names."""
    for policy in template["Resources"]["Role"]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement.get("Action") == "ssm:GetParameters":
                statement["Resource"] = "*"


def point_at_the_emulator(template: Template, deployment: "Deployment") -> None:
    """Give function and outputs the emulator's address.

    The emulator sets AWS_ENDPOINT_URL only where the template has no such variable, and its APIs have no host names.
    """
    template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = (
        deployment.aws.endpoint
    )
    url = f"{deployment.aws.endpoint}/_aws/execute-api/${{Api}}/$default"
    for output, path in {"ApiUrl": "", "TokenEndpoint": "/", "HealthUrl": "/v1/health"}.items():
        template["Outputs"][output]["Value"] = {"Fn::Sub": url + path}


Adaptation = Callable[[Template, "Deployment"], None]
ADAPTATIONS: tuple[Adaptation, ...] = (
    drop_codedeploy,
    drop_metric_math,
    expand_the_body,
    widen_get_parameters,
    point_at_the_emulator,
)
NESTED_ADAPTATIONS: tuple[Adaptation, ...] = (drop_metric_math,)


# --- deploy ----------------------------------------------------------------------------------------------------------


class Deployment(NamedTuple):
    """The parameters of a stack and the emulator."""

    parameters: Mapping[str, str]
    aws: "EmulatedAws"

    @property
    def stack_name(self) -> str:
        return f"roomkey-{self.parameters['Environment']}"

    def upload(self, name: str, template: Template) -> str:
        """Upload a nested template and return its address.

        `sam deploy` would do so, to an address of the emulator that `sam delete` cannot parse.
        """
        s3, bucket = self.aws.client("s3"), "nested-templates"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key=name, Body=json.dumps(template))
        return f"https://s3.{REGION}.amazonaws.com/{bucket}/{name}"


def adapted(deployment: Deployment) -> Template:
    """Return the built template, translated from SAM, as the emulator can deploy it.

    `sam deploy` uploads the local paths in it.
    """
    built = yaml_parse((BUILT / "template.yaml").read_text())
    template = translated(with_uploaded_code(built), deployment.parameters, REGION)
    for name, resource in template["Resources"].items():
        match resource["Type"]:
            case "AWS::Lambda::Function":
                resource["Properties"]["Code"] = str(BUILT / "Function")
            case "AWS::Lambda::LayerVersion":
                resource["Properties"]["Content"] = str(BUILT / "Dependencies")
            case "AWS::CloudFormation::Stack":
                nested = yaml_parse((BUILT / name / "template.yaml").read_text())
                for adaptation in NESTED_ADAPTATIONS:
                    adaptation(nested, deployment)
                resource["Properties"]["TemplateURL"] = deployment.upload(f"{deployment.stack_name}-{name}", nested)
    for adaptation in ADAPTATIONS:
        adaptation(template, deployment)
    return template


class EmulatedAws:
    """An emulated AWS on this machine."""

    def __init__(self, port: int = PORT) -> None:
        self._port = port
        self.endpoint = f"http://127.0.0.1:{port}"

    def environment(self, **credentials: str) -> dict[str, str]:
        """Return the variables that lead an AWS client here, with the root user's credentials or others."""
        keys = {name.upper(): value for name, value in (ROOT_USER | credentials).items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        nothing = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
        region = dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION"), REGION)
        return {**inherited, **nothing, **region, **keys, "AWS_ENDPOINT_URL": self.endpoint, "SAM_CLI_TELEMETRY": "0"}

    def client(self, service: str, **credentials: str) -> Any:
        """Return a client for a service here, with the root user's credentials or others."""
        config = boto3.session.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION, config=config, **(ROOT_USER | credentials)
        )

    def answers(self) -> bool:
        """Return whether an emulator answers at the address."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2):
                return True
        except OSError:
            return False

    def start(self) -> None:
        """Start the emulator in the background unless one answers. Raises RuntimeError after 30 s without an answer."""
        if self.answers():
            return
        self._ministack("--detach")
        for _ in range(300):
            if self.answers():
                return
            time.sleep(0.1)
        raise RuntimeError(f"The emulated AWS does not answer at {self.endpoint}.")

    def stop(self) -> bool:
        """Stop the emulator, which deletes everything in it. Return False if none is running."""
        try:
            self._ministack("--stop")
        except subprocess.CalledProcessError:
            if self.answers():
                raise
            return False
        return True

    def _ministack(self, option: str) -> None:
        settings = {"GATEWAY_PORT": str(self._port), "BIND_HOST": "127.0.0.1", "AUTH": "true"}
        settings |= {"LAMBDA_EXECUTOR": "local"}
        subprocess.run([MINISTACK, option], env=self.environment() | settings, check=True, capture_output=True)

    def deploy(self, config: Path, release: str, **credentials: str) -> dict[str, str]:
        """Deploy the build with the parameters of a file such as config/dev.yaml. Return the stack's outputs."""
        parameters = default_parameters() | parameters_in(config) | {"Release": release}
        deployment = Deployment(parameters, self)
        template = BUILT.parent / f"emulated-{deployment.stack_name}.json"
        template.write_text(json.dumps(adapted(deployment), indent=1))
        self.sam(
            *("deploy", "--config-file", str(ROOT / "samconfig.toml"), "--no-confirm-changeset"),
            *("--template-file", str(template), "--stack-name", deployment.stack_name),
            *("--parameter-overrides", f"file://{config}", f"Release={release}"),
            *("--tags", "service=roomkey", f"environment={parameters['Environment']}"),
            **credentials,
        )
        return self.outputs(deployment.stack_name)

    def outputs(self, stack_name: str) -> dict[str, str]:
        """Return the outputs of a stack."""
        (described,) = self.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def sam(self, *arguments: str, **credentials: str) -> str:
        """Run the SAM CLI against the emulator and return its output. Exits with the output if it fails."""
        command = [str(SAM), *arguments]
        done = subprocess.run(
            command, env=self.environment(**credentials), cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Deploy to an emulated AWS on this machine, or stop it.")
    parser.add_argument("command", choices=["deploy", "stop"])
    parser.add_argument("config", nargs="?", type=Path, help="parameters of the stack, such as config/dev.yaml")
    given = parser.parse_args(arguments)
    logging.disable()  # The translator's remarks about its feature toggles.
    aws = EmulatedAws(int(os.environ.get("EMULATED_AWS_PORT", PORT)))
    if given.command == "stop":
        print("The emulated AWS has stopped." if aws.stop() else f"No emulated AWS is running at {aws.endpoint}.")
        return
    aws.start()
    print("Deploying to the emulated AWS ...", flush=True)
    outputs = aws.deploy(given.config.resolve(), str(int(time.time())))
    print(f"\n{outputs['FunctionName']} is deployed to an emulated AWS, without an account:\n\n  {outputs['ApiUrl']}")
    if os.environ.get("AWS_ENDPOINT_URL") != aws.endpoint:  # Else the shell has the variables; roomkey up deploys so.
        print(next_steps(given.config.stem, aws.endpoint))


def next_steps(environment: str, endpoint: str) -> str:
    """Return how to use the emulated AWS in the shell, how to continue, and how to stop it."""
    return f"""
To use it with `roomkey` and the AWS CLI in this shell:

  export PATH="{ROOT}/.venv/bin:$PATH"
  export AWS_ENDPOINT_URL={endpoint} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test

Next, store policy and secrets, turn minting on, and get a first token:

  roomkey up {environment}

Stop it, which deletes everything in it:

  make stop-emulated-aws"""


if __name__ == "__main__":
    main(sys.argv[1:])
