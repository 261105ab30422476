"""Run the `roomkey` command in this process, with moto behind it."""

import functools
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
import typer
from typer import testing

from roomkey_cli import credential_file
from roomkey_cli.aws.client import Aws as CommandAws
from roomkey_cli.main import app
from support.aws.moto_proxy import REGION, Aws

command_tree = functools.cache(typer.main.get_command)
"""Build all commands once: the runner does at each call, which takes longer than most commands."""

testing._get_command = command_tree  # type: ignore[attr-defined]

DEMO = {name: credential_file.as_text(secret) for name, secret in credential_file.demo().items()}
"""The input of `roomkey secret put`, by platform."""


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        """Return the one JSON object on standard output."""
        [line] = self.lines
        return json.loads(line)


def roomkey(*arguments: object, stdin: str | bytes = "") -> Result:
    """Run the command. No user error may end in an exception."""
    result = testing.CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.output
    return Result(result.exit_code, result.stdout, result.stderr)


@dataclass(frozen=True)
class Account:
    """moto with all its services, called directly: the proxy in front of it serves two only."""

    aws: Aws
    monkeypatch: pytest.MonkeyPatch

    def client(self, service: str) -> Any:
        known = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "example"}
        return boto3.client(service, endpoint_url=self.aws.moto_url, region_name=REGION, **known)

    def environment(self, prefix: str = "test") -> str:
        """Return a name that no other test has."""
        return self.aws.new_environment().replace("test", prefix)

    def create(self, prefix: str = "test", flag: str = "false") -> str:
        """Create an environment with a kill switch, an empty policy and an empty block list."""
        name = self.environment(prefix)
        self.aws.put_flag(name, flag)
        self.aws.put_policy(name, '{"version":1,"mode":"enforce","rules":[]}')
        self.put(f"/roomkey/{name}/blocked", "{}")
        return name

    def put(self, name: str, text: str) -> None:
        self.aws.ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)

    def flag(self, name: str) -> str | None:
        return self.parameter(f"/roomkey/{name}/disabled")

    def block_list(self, name: str) -> Any:
        return json.loads(self.parameter(f"/roomkey/{name}/blocked") or "null")

    def policy(self, name: str) -> str | None:
        return self.parameter(f"/roomkey/{name}/policy")

    def parameter(self, name: str) -> str | None:
        found = self.aws.ssm.get_parameters(Names=[name])["Parameters"]
        return str(found[0]["Value"]) if found else None

    def secret(self, name: str, platform: str) -> str | None:
        secrets = self.aws.secrets
        try:
            return str(secrets.get_secret_value(SecretId=f"roomkey/{name}/{platform}")["SecretString"])
        except (secrets.exceptions.ResourceNotFoundException, secrets.exceptions.InvalidRequestException):
            return None

    def fail(self, service: str) -> None:
        """Send one service through the proxy, which can be set to fail."""
        self.monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", self.aws.url)

    def function(self, name: str, **settings: Any) -> str:
        """Deploy a function with its alias, and return its ARN."""
        role = self._role()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("handler.py", "")
        functions = self.client("lambda")
        made = functions.create_function(
            **{
                "FunctionName": f"roomkey-{name}",
                "Runtime": "python3.13",
                "Role": role,
                "Handler": "roomkey.handler.handler",
                "Code": {"ZipFile": archive.getvalue()},
                "Timeout": 10,
                "Environment": {"Variables": {"ENVIRONMENT": name}},
                "Publish": True,
                **settings,
            }
        )
        functions.create_alias(FunctionName=f"roomkey-{name}", Name="live", FunctionVersion=made["Version"])
        return str(made["FunctionArn"])

    def _role(self) -> str:
        roles = self.client("iam")
        try:
            return str(roles.get_role(RoleName="roomkey")["Role"]["Arn"])
        except roles.exceptions.NoSuchEntityException:
            document = json.dumps({"Version": "2012-10-17", "Statement": []})
            return str(roles.create_role(RoleName="roomkey", AssumeRolePolicyDocument=document)["Role"]["Arn"])

    def stack(self, name: str, **outputs: str) -> None:
        """Deploy a stack that has outputs only."""
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {key: {"Value": value} for key, value in outputs.items()},
        }
        self.client("cloudformation").create_stack(StackName=f"roomkey-{name}", TemplateBody=json.dumps(template))


@dataclass
class Interleaved:
    """Run `action` once, right before or after an AWS call of the command under test."""

    monkeypatch: pytest.MonkeyPatch

    def when(self, operation: str, action: Callable[[], object], *, at: int = 1, after: bool = False) -> None:
        call, seen = CommandAws.call, 0

        def interleaved(aws: CommandAws, service: str, name: str, /, **arguments: Any) -> Any:
            nonlocal seen
            seen += name == operation
            due = name == operation and seen == at
            if due and not after:
                action()
            response = call(aws, service, name, **arguments)
            if due and after:
                action()
            return response

        self.monkeypatch.setattr(CommandAws, "call", interleaved)
