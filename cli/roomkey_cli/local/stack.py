"""Run all of Roomkey on this machine: the gateway, the function, the console, and a stand-in for AWS.

The function is the deployed one. It reads its parameters and secrets through `AWS_ENDPOINT_URL`, as an SDK would.
"""

import json
import os
import platform
import secrets
import shlex
import shutil
import socket
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, TextIO

import uvicorn
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from roomkey.api import Api
from roomkey.dependencies import Dependencies
from roomkey.settings import Access, GroupsFormat, Settings
from roomkey_cli.credential_file import Secrets
from roomkey_cli.environment import LOCAL
from roomkey_cli.local import examples, guard
from roomkey_cli.local.audit_lines import FunctionOutput
from roomkey_cli.local.aws_stand_in import AwsStandIn
from roomkey_cli.local.console.server import Console
from roomkey_cli.local.demo_issuer import DemoIssuer
from roomkey_cli.local.gateway import Gateway
from roomkey_cli.local.guard import TimedProtocol
from roomkey_cli.local.jwt_authorizer import JwtAuthorizer
from roomkey_cli.local.lan import CA_MEDIA_TYPE, CA_PATH, LanCertificate, qr_code
from roomkey_cli.local.request_log import RequestLog
from roomkey_cli.local.sigv4 import LocalKey

REGION = "us-east-1"
SHUTDOWN_SECONDS = 2

_KEPT_VARIABLES = frozenset(
    (
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "COLORTERM", "NO_COLOR", "XDG_STATE_HOME"),
        *("TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    )
)
"""Environment variables of the shell that the process keeps: the terminal, files, and the way to a remote issuer."""


class Address(NamedTuple):
    """Where a server listens. Port 0 takes a free port."""

    host: str
    port: int


class Options(NamedTuple):
    """The options of `roomkey run`."""

    listen: Address
    aws: Address
    secrets: Secrets
    policy: str
    access: Access
    issuer: str | None
    audience: str
    user_id_claim: str
    groups_claim: str
    groups_format: GroupsFormat
    invite_url: str
    scopes: Sequence[str]
    origins: Sequence[str]
    json_logs: bool = False
    lan: bool = False


def function_environment(options: Options, endpoint: str, key: LocalKey) -> dict[str, str]:
    """Return the function's whole environment: what the template sets, and the way to the stand-in for AWS."""
    return {
        "ENVIRONMENT": LOCAL,
        "APP_TOKEN_ACCESS": options.access,
        "PLATFORMS": ",".join(options.secrets),
        "USER_ID_CLAIM": options.user_id_claim,
        "GROUPS_CLAIM": options.groups_claim,
        "GROUPS_FORMAT": options.groups_format,
        "INVITE_URL": options.invite_url,
        "ALLOWED_ORIGINS": ",".join(options.origins),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def isolate(environ: "os._Environ[str]") -> None:
    """Remove the shell's variables, and keep loopback requests away from proxies."""
    for name in environ.keys() - _KEPT_VARIABLES:
        del environ[name]
    direct = ",".join(filter(None, (environ.get("no_proxy") or environ.get("NO_PROXY"), "localhost,127.0.0.1,::1")))
    environ["NO_PROXY"] = environ["no_proxy"] = direct


def run(options: Options) -> None:
    """Start everything, print how to get a first token, and serve until Ctrl-C."""
    isolate(os.environ)
    key = LocalKey.generate()
    aws = AwsStandIn(*options.aws, key=key, hosts=[guard.CONTAINER_HOST])
    endpoint = aws.start()
    environment = function_environment(options, endpoint, key)
    os.environ.update(environment)
    aws.seed(endpoint, Settings.from_environment(environment), options.policy, options.secrets, REGION)

    stdout = sys.stdout
    with _listener(options.listen) as listener, _function_output(options) as output:
        path_key = "" if guard.is_loopback(options.listen.host) else secrets.token_hex(8)
        certificate = LanCertificate(options.listen.host) if options.lan else None
        scheme = "https" if certificate else "http"
        base_url = f"{scheme}://{guard.url_host(options.listen.host)}:{listener.getsockname()[1]}"
        base_url = f"{base_url}/{path_key}" if path_key else base_url
        app = RequestLog(
            guard.Guard(
                _application(options, environment, key, base_url, output, certificate),
                hosts=_hosts(options.listen.host),
                origins=options.origins,
                path_key=path_key,
            ),
            output,
            stdout,
            platforms=options.secrets,
            as_json=options.json_logs,
        )
        config = uvicorn.Config(
            app,
            http=TimedProtocol,
            ws="none",
            proxy_headers=False,
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        if certificate:
            config.load()
            config.ssl = certificate.server_context()
        server = _Server(config, welcome(base_url, endpoint, options, key), stdout)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    aws.stop()


def _application(
    options: Options,
    environment: Mapping[str, str],
    key: LocalKey,
    base_url: str,
    output: FunctionOutput,
    certificate: LanCertificate | None,
) -> Gateway:
    dependencies = Dependencies.build(environment, stdout=output)
    demo_issuer = DemoIssuer(
        base_url,
        user_id_claim=options.user_id_claim,
        groups_claim=options.groups_claim,
        groups_format=options.groups_format,
        scope=" ".join(options.scopes),
    )
    authorizer = (
        JwtAuthorizer(options.issuer, options.audience.split(","), options.scopes)
        if options.issuer
        else demo_issuer.authorizer(options.scopes)
    )
    demo_users = _has_demo_users(options)
    console = Console(
        dependencies,
        output,
        endpoint=environment["AWS_ENDPOINT_URL"],
        region=REGION,
        key=key,
        demo_users=demo_users,
    )
    return Gateway(
        Api(dependencies).answer,
        access=options.access,
        authorizer=authorizer,
        key=key,
        allowed_origins=options.origins,
        allow_loopback=True,
        extra_routes=[
            Route("/", _to_console),
            *console.routes(),
            *(demo_issuer.routes() if demo_users else ()),
            *([_authority_route(certificate)] if certificate else ()),
        ],
    )


def _to_console(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{guard.prefix(request.scope)}/console", headers={"cache-control": "no-store"})


def _authority_route(certificate: LanCertificate) -> Route:
    """Return the route that offers the certificate's authority to phones."""

    def authority(_request: Request) -> Response:
        return Response(certificate.authority_pem, media_type=CA_MEDIA_TYPE)

    return Route(CA_PATH, authority)


def _has_demo_users(options: Options) -> bool:
    return options.access is Access.JWT and not options.issuer


def _hosts(host: str) -> set[str]:
    """Return the names by which a listener at `host` may be called."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not listened on)
        return {*guard.LOOPBACK_HOSTS, *guard.own_addresses()}
    return {*guard.LOOPBACK_HOSTS, host}


@contextmanager
def _listener(address: Address) -> Iterator[socket.socket]:
    """Open a listening socket. Without TCP_NODELAY, each keep-alive response waits 40 ms."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.create_server((address.host, address.port), family=family) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


@contextmanager
def _function_output(options: Options) -> Iterator[FunctionOutput]:
    """Replace `sys.stdout` with a `FunctionOutput` for the block."""
    stdout = sys.stdout
    output = FunctionOutput(stdout, as_json=options.json_logs)
    sys.stdout = output
    try:
        yield output
    finally:
        sys.stdout = stdout


class _Server(uvicorn.Server):
    """A server that prints a text once it accepts requests."""

    def __init__(self, config: uvicorn.Config, ready: str, stdout: TextIO) -> None:
        super().__init__(config)
        self._ready = ready
        self._stdout = stdout

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._ready, file=self._stdout, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, TimedProtocol):
                connection.abort_unfinished()
        await super().shutdown(sockets)


def welcome(base_url: str, endpoint: str, options: Options, key: LocalKey) -> str:
    """Return the text that `roomkey run` prints: what is running, and commands that work."""
    signed = f"--aws-sigv4 aws:amz:{REGION}:execute-api --user {key.id}:{key.secret}"
    credentials = (
        f"AWS_ENDPOINT_URL={endpoint} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION} "
        f"AWS_ACCESS_KEY_ID={key.id} AWS_SECRET_ACCESS_KEY={key.secret}"
    )
    sections = [
        f"Roomkey is ready at {base_url}  (environment {LOCAL}, app tokens: {options.access})",
        f"  Serves {', '.join(options.secrets)}",
        f"  Console:\n    {base_url}/console",
        _phone_lines(base_url) if options.lan else "",
        _app_token_lines(base_url, options, signed),
        _management_lines(base_url, options, signed),
        f"  Is minting on?\n    {_curl(options)} {base_url}/v1/health",
        f"  To use roomkey, the AWS CLI or an SDK with this stack (SSM and Secrets Manager only):\n"
        f"{_path_line()}    export {credentials}",
    ]
    if not guard.is_loopback(options.aws.host):
        sections.append(_container_lines(key))
    sections.append("Ctrl-C stops everything; nothing is kept.")
    return "\n" + "\n\n".join(filter(None, sections)) + "\n"


def _path_line() -> str:
    """Return the command with which another terminal finds `roomkey`, if it is not on PATH."""
    folder = sysconfig.get_path("scripts")
    return "" if shutil.which("roomkey") else f'    export PATH="{folder}:$PATH"\n'


def _phone_lines(base_url: str) -> str:
    return (
        f"  On a phone in the same network: scan the code, or give an app this address as its base URL.\n"
        f"  The certificate is made for this run: accept the browser's warning, or trust its authority,\n"
        f"    {base_url}{CA_PATH}\n{qr_code(f'{base_url}/console')}"
    )


def _app_token_lines(base_url: str, options: Options, signed: str) -> str:
    example = examples.app_token(options.policy, options.access, options.secrets, demo_users=_has_demo_users(options))
    if example is None:
        return f"  {examples.why_no_app_token(options.policy, options.secrets)}"
    url = f"{base_url}/api/token" if example.platform == "100ms" else f"{base_url}/v1/{example.platform}/app-token"
    body = f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(example.body))}"
    curl = _curl(options)
    bearer = '-H "Authorization: Bearer $ACCESS_TOKEN"'
    match options.access:
        case Access.OPEN:
            lines = [f"{curl} {url} {body}"]
        case Access.IAM:
            lines = [f"{curl} {signed} {url} {body}"]
        case Access.JWT if example.user:
            sign_in = f"{curl} {base_url}/demo/token -d '{json.dumps({'user': example.user})}' | cut -d '\"' -f 4"
            lines = [f"ACCESS_TOKEN=$({sign_in})", f"{curl} {bearer} {url} {body}"]
        case Access.JWT:
            lines = [f"{curl} {bearer} {url} {body}"]
    return "\n    ".join((f"  A first {example.platform} app token:", *lines))


def _curl(options: Options) -> str:
    """Return the beginning of a curl command; --lan has a certificate that curl does not know."""
    return "curl -sk" if options.lan else "curl -s"


def _management_lines(base_url: str, options: Options, signed: str) -> str:
    example = examples.management_token(options.policy, options.secrets)
    if example is None:
        return ""
    body = f" -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(example.body))}" if example.body else ""
    url = f"{base_url}/v1/{example.platform}/management-token"
    return (
        f"  A {example.platform} management token, signed with this run's key:\n"
        f"    {_curl(options)} {signed} -X POST {url}{body}"
    )


def _container_lines(key: LocalKey) -> str:
    """Return how `sam local` runs the built function against this stack, in another terminal."""
    architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    parameters = f"--parameter-overrides 'Environment={LOCAL} AppTokenAccess=open Architecture={architecture}'"
    return f"""  In Lambda's own container, after `make build`:
    export AWS_ACCESS_KEY_ID={key.id} AWS_SECRET_ACCESS_KEY={key.secret} AWS_DEFAULT_REGION={REGION}
    sam local invoke -e events/api-token-web.json {parameters}
    sam local start-api {parameters}"""
