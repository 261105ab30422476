"""SSM and Secrets Manager for the local stack: moto's server in this process, behind the guard."""

import logging
import os
import threading
from collections.abc import Collection
from contextlib import suppress

from roomkey.settings import Settings
from roomkey_cli import credential_file, invite_keys
from roomkey_cli.credential_file import Secrets
from roomkey_cli.local import guard, sigv4


class AwsStandIn:
    """A server that keeps its state in memory and accepts requests signed with `key` only.

    `hosts` are names by which clients may call it, in addition to this machine's own.
    """

    def __init__(self, host: str, port: int, *, key: sigv4.LocalKey, hosts: Collection[str] = ()) -> None:
        os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # Read when moto is imported.
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import ThreadedWSGIServer

        class _RequestHandler(MotoRequestHandler):
            timeout = guard.REQUEST_TIMEOUT_SECONDS
            disable_nagle_algorithm = True

            def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 (werkzeug's name)
                """Print nothing for a request."""

        self._key = key
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        app = guard.AwsGuard(
            DomainDispatcherApplication(create_backend_app), key=key, hosts=guard.LOOPBACK_HOSTS | {host, *hosts}
        )
        self._server = ThreadedWSGIServer(host, port, app, handler=_RequestHandler)
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> str:
        """Start the server and return its URL on this machine."""
        self._thread.start()
        host, port = self._server.server_address[:2]
        return f"http://{guard.url_host(str(host))}:{port}"

    def stop(self) -> None:
        """Stop the server; its state is gone."""
        with suppress(OSError):
            self._server.shutdown()
            self._server.server_close()

    def seed(self, endpoint: str, settings: Settings, policy: str, secrets: Secrets, region: str) -> None:
        """Create the environment's parameters and secrets: minting on, the policy, the credentials."""
        import boto3

        session = boto3.Session(self._key.id, self._key.secret, region_name=region)
        ssm, secrets_manager = (session.client(name, endpoint_url=endpoint) for name in ("ssm", "secretsmanager"))
        ssm.put_parameter(Name=settings.kill_switch_name, Value="false", Type="String")
        ssm.put_parameter(Name=settings.policy_name, Value=policy, Type="String")
        ssm.put_parameter(Name=settings.block_list_name, Value="{}", Type="String")
        secrets_manager.create_secret(
            Name=settings.secret_name("invites"), SecretString=invite_keys.rotated(None, only_new=False)
        )
        for platform, secret in secrets.items():
            secrets_manager.create_secret(
                Name=settings.secret_name(platform), SecretString=credential_file.as_text(secret)
            )
