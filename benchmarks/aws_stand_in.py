#!/usr/bin/env python
"""Simulate Secrets Manager and SSM for the benchmark: correct answers over TLS, each after the same time.

Runs as its own process, so that it costs the contenders nothing. Arguments: the port, a certificate with its key in one
file, and the seconds that an answer takes. `GET /calls` returns the number of calls since the last such request.
"""

import asyncio
import functools
import json
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENVIRONMENT = "bench"
POLICY = Path(__file__).parent.parent / "cli/roomkey_cli/data/policies/classroom.json"
CREDENTIALS = {
    "app_access_key": "5f1e3a7c9d2b4860af13c5e7",
    "app_secret": "benchmark-Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp7Ea2Ui4",
}


@functools.cache
def _policy() -> str:
    """Return the policy without lifetimes, which an older Roomkey calls otherwise."""
    policy = json.loads(POLICY.read_text())
    for rule in policy["rules"]:
        rule.pop("max_lifetime", None)
    return json.dumps(policy, separators=(",", ":"))


def _parameter(name: str) -> dict[str, Any]:
    value = {"disabled": "false", "blocked": "{}"}.get(name.rpartition("/")[2])
    return {
        "ARN": f"arn:aws:ssm:eu-central-1:111122223333:parameter{name}",
        "DataType": "text",
        "LastModifiedDate": 1_700_000_000.123,
        "Name": name,
        "Type": "String",
        "Value": value or _policy(),
        "Version": 1,
    }


def _secret(name: str) -> dict[str, Any]:
    return {
        "ARN": f"arn:aws:secretsmanager:eu-central-1:111122223333:secret:{name}-AbCdEf",
        "CreatedDate": 1_700_000_000.123,
        "Name": name,
        "SecretString": json.dumps(CREDENTIALS),
        "VersionId": "c1b2a3d4-0000-4000-8000-000000000001",
        "VersionStages": ["AWSCURRENT"],
    }


def _answer(target: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    match target:
        case "AmazonSSM.GetParameter":
            return {"Parameter": _parameter(asked["Name"])}
        case "AmazonSSM.GetParameters":
            return {"InvalidParameters": [], "Parameters": [_parameter(name) for name in asked["Names"]]}
        case "secretsmanager.GetSecretValue":
            return _secret(asked["SecretId"])
    raise ValueError(target)


class StandIn:
    """Both services on one port. Clients close the connections."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._calls = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if lines[0].startswith("GET /calls "):
                    content, self._calls = str(self._calls).encode(), 0
                else:
                    self._calls += 1
                    content = json.dumps(_answer(headers["x-amz-target"], json.loads(body))).encode()
                    await asyncio.sleep(self._latency)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"
                    b"x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # The client closed the connection.
        finally:
            writer.close()


async def main(port: str, certificate: str, latency: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server = await asyncio.start_server(StandIn(float(latency)).serve, "127.0.0.1", int(port), ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
