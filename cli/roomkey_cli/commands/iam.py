"""`roomkey iam`: an IAM policy document, filled in for an environment."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from roomkey_cli import config_file, iam_documents
from roomkey_cli.aws import stacks
from roomkey_cli.aws.client import AwsError
from roomkey_cli.commands.options import EnvironmentArgument
from roomkey_cli.commands.session import Session
from roomkey_cli.terminal import note

if TYPE_CHECKING:
    type Role = str
else:
    Role = StrEnum("Role", {role: role for role in iam_documents.ROLES})


def iam(
    role: Annotated[Role, typer.Argument(metavar="ROLE", help=f"One of {', '.join(iam_documents.ROLES)}.")],
    environment: EnvironmentArgument,
    session: Session,
) -> None:
    """Print the IAM policy document of a role, filled in with your account, region, and the environment's API.

    docs/deploy.md describes the roles. Attach the document with your own tools.

    Example: roomkey iam operator prod > operator-prod.json
    """
    aws = session.aws
    caller = aws.call("sts", "get_caller_identity")
    stack = None
    try:
        stack = stacks.find_stack(aws, environment)
    except AwsError as error:
        note(f"{error}; the document covers every API in the account")
    values = stack.parameters if stack else config_file.read_valid(environment)
    document = iam_documents.filled(
        str(role),
        environment.name,
        account=caller["Account"],
        region=aws.region,
        partition=str(caller["Arn"]).split(":")[1],
        api=stack.outputs.get("ApiId", "") if stack else "",
        key_arn=values.get("KmsKeyArn", ""),
    )
    print(json.dumps(document, indent=2))
