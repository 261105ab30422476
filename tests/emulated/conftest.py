"""One emulated AWS for the tests of this folder, and clients of what is deployed to it."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from emulated.aws import MINISTACK, REGION, ROOT_USER, SAM, EmulatedAws
from infrastructure.template import ROOT

ROOMKEY = Path(sys.executable).with_name("roomkey")
NAME = "rehearsal"

User = dict[str, str]
"""An access key, as boto3 takes it."""


@dataclass(frozen=True)
class Answer:
    """A response: its status and its JSON body."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        return str(self.body.get("code"))


@dataclass(frozen=True)
class Api:
    """The deployed API, asked over HTTP."""

    url: str

    def ask(
        self, path: str, body: dict[str, Any] | None = None, *, bearer: str | None = None, signed_by: User | None = None
    ) -> Answer:
        """Send a POST, or a GET without a body: unauthenticated, with a bearer token, or signed."""
        data = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        method = "GET" if body is None else "POST"
        request = AWSRequest(method, self.url + path, headers, data)
        if signed_by:
            keys = Credentials(signed_by["aws_access_key_id"], signed_by["aws_secret_access_key"])
            SigV4Auth(keys, "execute-api", REGION).add_auth(request)
        prepared = request.prepare()
        response = requests.request(
            method, prepared.url, data=prepared.body, headers=dict(prepared.headers), timeout=30
        )
        return Answer(response.status_code, response.json() if response.text else {})


@dataclass(frozen=True)
class Cloud:
    """The emulated AWS with what the tests do to it."""

    aws: EmulatedAws

    def roomkey(self, *arguments: str, user: User = ROOT_USER, stdin: str = "", status: int = 0) -> str:
        """Run `roomkey` as a user and return its output. Fails unless the exit status is `status`."""
        done = subprocess.run(
            [ROOMKEY, *arguments],
            env=self.aws.environment(**user),
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"roomkey {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def user(self, document: str) -> User:
        """Create an IAM user with an IAM document, filled in by `roomkey iam`, and return its access key."""
        text = self.roomkey("iam", document, NAME)
        statements = json.loads(text)
        for adaptation in DOCUMENT_ADAPTATIONS:
            adaptation(statements["Statement"])
        iam = self.aws.client("iam")
        iam.create_user(UserName=document)
        policy = iam.create_policy(PolicyName=document, PolicyDocument=json.dumps(statements))["Policy"]["Arn"]
        iam.attach_user_policy(UserName=document, PolicyArn=policy)
        key = iam.create_access_key(UserName=document)["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


# --- adaptations of the IAM documents: each one is a gap of the emulator's IAM ---------------------------------------


def _widen_get_parameters(statements: list[Any]) -> None:
    """The emulator does not see which parameters ssm:GetParameters names."""
    if any("ssm:GetParameters" in statement["Action"] for statement in statements):
        statements.append({"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "*"})


def _allow_list_aliases(statements: list[Any]) -> None:
    """The emulator takes lambda:GetAlias for lambda:ListAliases."""
    for statement in statements:
        if "lambda:GetAlias" in statement["Action"]:
            statement["Action"].append("lambda:ListAliases")


def _drop_the_namespace_condition(statements: list[Any]) -> None:
    """The emulator has no condition key cloudwatch:namespace."""
    for statement in statements:
        if statement["Action"] == "cloudwatch:PutMetricData":
            del statement["Condition"]


def allow_plain_http(cloud: Cloud) -> None:
    """Delete the policy of the SAM CLI's bucket, which requires TLS: the emulator has none."""
    s3 = cloud.aws.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        s3.delete_bucket_policy(Bucket=bucket["Name"])


DOCUMENT_ADAPTATIONS = (_widen_get_parameters, _allow_list_aliases, _drop_the_namespace_condition)


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """Start an emulated AWS of the tests' own and stop it at the end."""
    for tool, target in {MINISTACK: ".tools/ministack/.installed", SAM: "template"}.items():
        if not tool.exists():
            pytest.skip(f"{tool.name} is missing (make {target})")
    if not shutil.which("python3.13"):
        pytest.skip("python3.13 is missing: the build needs it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ["EMULATED_AWS_PORT"] = str(port)
    aws = EmulatedAws(port)
    aws.start()
    try:
        yield Cloud(aws)
    finally:
        aws.stop()
