"""The `roomkey` command as somebody at a terminal or in a pipeline meets it, with AWS behind it."""

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from roomkey_cli import credential_file
from roomkey_cli.main import app
from support.aws.moto_proxy import REGION, Aws

DEMO = {name: credential_file.as_text(secret) for name, secret in credential_file.demo().items()}
"""What `roomkey secret put` is given, by platform."""


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def told(self) -> Any:
        """The one JSON object on standard output."""
        [line] = self.lines
        return json.loads(line)


def roomkey(*arguments: object, stdin: str = "") -> Result:
    """Runs the command. No mistake of a user may end in an exception."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.output
    return Result(result.exit_code, result.stdout, result.stderr)


@dataclass(frozen=True)
class Account:
    """AWS for commands: the whole of moto, past the door that only two services go through."""

    aws: Aws
    monkeypatch: pytest.MonkeyPatch

    def client(self, service: str) -> Any:
        known = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "example"}
        return boto3.client(service, endpoint_url=self.aws.moto_url, region_name=REGION, **known)

    def environment(self, prefix: str = "test") -> str:
        """A name that no other test has."""
        return self.aws.new_environment().replace("test", prefix)

    def born(self, prefix: str = "test", flag: str = "false") -> str:
        """An environment with a flag and an empty policy."""
        name = self.environment(prefix)
        self.aws.put_flag(name, flag)
        self.aws.put_policy(name, '{"version":1,"mode":"enforce","rules":[]}')
        return name

    def flag(self, name: str) -> str | None:
        return self.parameter(f"/roomkey/{name}/disabled")

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
        """Leads one service through the door of the stand-in, which can be told to fail."""
        self.monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", self.aws.url)

    def function(self, name: str, **settings: Any) -> str:
        """Deploys a function for an environment, with its alias, and answers its ARN."""
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
        """Deploys a stack for an environment with nothing in it but its outputs."""
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {key: {"Value": value} for key, value in outputs.items()},
        }
        self.client("cloudformation").create_stack(StackName=f"roomkey-{name}", TemplateBody=json.dumps(template))
