"""The whole of Roomkey on this machine: the gateway, the function, the console, and a stand-in for AWS with its state.

The function is the one that is deployed. It finds moto's server through `AWS_ENDPOINT_URL`, as any SDK would.
"""

import logging
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import boto3
import uvicorn
from moto.server import ThreadedMotoServer

from roomkey.api import Api
from roomkey.dependencies import Dependencies
from roomkey.platforms.base import TokenKind
from roomkey.settings import Settings
from roomkey_cli import credential_file
from roomkey_cli.credential_file import Secrets
from roomkey_cli.local import sigv4
from roomkey_cli.local.audit_lines import AuditLines
from roomkey_cli.local.console.server import Console
from roomkey_cli.local.gateway import AppTokenAccess, Gateway
from roomkey_cli.local.issuer import DemoIssuer, JwtAuthorizer

ENVIRONMENT = "local"
REGION = "us-east-1"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - what `--aws-host` is given to let containers in.


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. Port 0 is any free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Options:
    """What `roomkey run` was asked for."""

    listen: Address
    aws: Address
    secrets: Secrets
    policy: str
    access: AppTokenAccess
    issuer: str | None
    audience: str
    origins: Sequence[str]


class AwsStandIn:
    """moto's server as Secrets Manager and SSM, in a thread of this process. Everything in it is gone at the end."""

    def __init__(self, listen: Address) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # It would print a line for every request.
        self._server = ThreadedMotoServer(listen.host, listen.port, verbose=False)

    def start(self) -> str:
        """Starts it and answers its address, as this machine reaches it."""
        self._server.start()
        _, port = self._server.get_host_and_port()
        return f"http://127.0.0.1:{port}"

    def seed(self, endpoint: str, policy: str, secrets: Secrets) -> None:
        """Puts an environment's state there: minting on, the policy, and the platforms' credentials."""
        names = Settings.from_environment({"ENVIRONMENT": ENVIRONMENT})
        client = {name: boto3.client(name, endpoint_url=endpoint) for name in ("ssm", "secretsmanager")}
        client["ssm"].put_parameter(Name=names.kill_switch_name, Value="false", Type="String")
        client["ssm"].put_parameter(Name=names.policy_name, Value=policy, Type="String")
        client["ssm"].put_parameter(Name=names.block_list_name, Value="{}", Type="String")
        for name, secret in secrets.items():
            client["secretsmanager"].create_secret(
                Name=names.secret_name(name), SecretString=credential_file.as_text(secret)
            )


def function_environment(endpoint: str, options: Options) -> dict[str, str]:
    """The environment that the template would give the function, and the SDK's way to the stand-in."""
    return {
        "ENVIRONMENT": ENVIRONMENT,
        "APP_TOKEN_ACCESS": options.access,
        "ALLOWED_ORIGINS": ",".join(options.origins),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": sigv4.DEMO_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": sigv4.DEMO_SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def run(options: Options) -> None:
    """Starts everything, says how to get a first token, and serves until it is interrupted."""
    # A profile or an endpoint of the developer's own must not find its way into the local stack.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_DEFAULT_REGION"] = REGION

    print("Starting Secrets Manager and SSM (moto) ...", flush=True)
    aws = AwsStandIn(options.aws)
    endpoint = aws.start()
    os.environ.update(function_environment(endpoint, options))
    aws.seed(endpoint, options.policy, options.secrets)

    # As `roomkey.handler` builds it, but that the console sees the audit lines go by.
    audit = AuditLines(sys.stdout)
    dependencies = Dependencies.build(os.environ, stdout=audit)

    sockets = uvicorn.Config("", host=options.listen.host, port=options.listen.port, log_level="warning").bind_socket()
    base_url = f"http://{_url_host(options.listen.host)}:{sockets.getsockname()[1]}"
    demo_issuer = DemoIssuer(base_url)
    authorizer = JwtAuthorizer(options.issuer, [options.audience]) if options.issuer else demo_issuer.authorizer()
    demo_users = options.access == "jwt" and not options.issuer
    console = Console(
        dependencies, audit, endpoint=endpoint, region=REGION, host=options.listen.host, demo_users=demo_users
    )
    gateway = Gateway(
        Api(dependencies).answer,
        access=options.access,
        authorizer=authorizer,
        allowed_origins=options.origins,
        extra_routes=[*console.routes(), *(demo_issuer.routes() if demo_users else ())],
    )
    config = uvicorn.Config(gateway, http="h11", proxy_headers=False, log_level="warning", lifespan="off")
    server = _Server(config, welcome(base_url, endpoint, options))
    server.run(sockets=[sockets])


class _Server(uvicorn.Server):
    """Says that it is ready once it is."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        print(self._ready, flush=True)


def _url_host(host: str) -> str:
    return "127.0.0.1" if host == ANY_ADDRESS else host


def welcome(base_url: str, endpoint: str, options: Options) -> str:
    """What is running, and the commands that get the first tokens from it."""
    signed = f"--aws-sigv4 aws:amz:{REGION}:execute-api --user {sigv4.DEMO_ACCESS_KEY}:{sigv4.DEMO_SECRET_KEY}"
    body = shlex.quote('{"room_id": "633fcdd84208780bf665346a", "role": "host", "user_id": "1234"}')
    asks = f"-H 'Content-Type: application/json' -d {body}"
    match options.access:
        case "open":
            first = f"curl -s {base_url}/api/token {asks}"
        case "iam":
            first = f"curl -s {signed} {base_url}/api/token {asks}"
        case "jwt" if options.issuer:
            first = f'curl -s -H "Authorization: Bearer $ACCESS_TOKEN" {base_url}/api/token {_without_user(asks)}'
        case "jwt":
            first = (
                f'ACCESS_TOKEN=$(curl -s {base_url}/demo/token -d \'{{"user": "teacher"}}\' | cut -d \'"\' -f 4)\n    '
                f'curl -s -H "Authorization: Bearer $ACCESS_TOKEN" {base_url}/api/token {_without_user(asks)}'
            )
    return f"""
Roomkey is ready at {base_url}  (environment {ENVIRONMENT}, app tokens: {options.access})

  In a browser: mint, read a token, turn the switch, watch
    {base_url}/console

  A first 100ms app token:
    {first}

  A {TokenKind.MANAGEMENT} token, signed with the demo key:
    curl -s {signed} -X POST {base_url}/v1/100ms/management-token

  Is minting on?
    curl -s {base_url}/v1/health

Secrets Manager and SSM are at {endpoint}  (any AWS key; region {REGION})
{_for_containers(endpoint) if options.aws.host == ANY_ADDRESS else ""}Ctrl-C stops everything and forgets it.
"""


def _for_containers(endpoint: str) -> str:
    """How `sam local` runs the built function against this stand-in, in another terminal."""
    architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    options = f"--parameter-overrides 'Environment={ENVIRONMENT} AppTokenAccess=open Architecture={architecture}'"
    return f"""
  In Lambda's own container, after `make build`:
    sam local invoke -e events/api-token-web.json {options}
    sam local start-api {options}
  (config/local.env.json tells it where {endpoint} is; --skip-pull-image once you have the image)

"""


def _without_user(asks: str) -> str:
    return asks.replace(', "user_id": "1234"', "")
