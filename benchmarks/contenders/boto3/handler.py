"""A small function written with care: clients made at init, kill switch and credentials cached, PyJWT."""

import json
import os
import time
import uuid

import boto3
import jwt
from botocore.config import Config

ENVIRONMENT = os.environ["ENVIRONMENT"]

config = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
ssm = boto3.client("ssm", config=config)
secrets = boto3.client("secretsmanager", config=config)
cache = {}


def cached(name, ttl, read):
    value, expires = cache.get(name, (None, 0))
    if time.monotonic() >= expires:
        value = read()
        cache[name] = value, time.monotonic() + ttl
    return value


def read_kill_switch():
    return ssm.get_parameter(Name=f"/roomkey/{ENVIRONMENT}/disabled")["Parameter"]["Value"]


def read_credentials():
    return json.loads(secrets.get_secret_value(SecretId=f"roomkey/{ENVIRONMENT}/100ms")["SecretString"])


def handler(event, context):
    if cached("disabled", 30, read_kill_switch) != "false":
        return response(403, {"success": False, "msg": "Token generation is disabled."})

    body = json.loads(event["body"])
    if not body.get("room_id") or not body.get("role"):
        return response(400, {"success": False, "msg": "room_id and role are required."})

    credentials = cached("credentials", 300, read_credentials)
    now = int(time.time())
    claims = {
        "access_key": credentials["app_access_key"],
        "type": "app",
        "version": 2,
        "room_id": body["room_id"],
        "role": body["role"],
        "user_id": body.get("user_id") or str(uuid.uuid4()),
        "jti": str(uuid.uuid4()),
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
    }
    token = jwt.encode(claims, credentials["app_secret"], algorithm="HS256")
    line = {"message": "token minted", "room_id": body["room_id"], "role": body["role"], "jti": claims["jti"]}
    print(json.dumps(line))
    return response(200, {"success": True, "token": token})


def response(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
