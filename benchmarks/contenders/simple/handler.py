"""What the vendors' samples lead to: PyJWT and boto3, flag and credentials read for every request."""

import json
import os
import time
import uuid

import boto3
import jwt

ENVIRONMENT = os.environ["ENVIRONMENT"]

ssm = boto3.client("ssm")
secrets = boto3.client("secretsmanager")


def handler(event, context):
    flag = ssm.get_parameter(Name=f"/roomkey/{ENVIRONMENT}/disabled")
    if flag["Parameter"]["Value"] != "false":
        return _response(403, {"success": False, "msg": "Token generation is disabled."})

    body = json.loads(event["body"])
    if not body.get("room_id") or not body.get("role"):
        return _response(400, {"success": False, "msg": "room_id and role are required."})

    secret = secrets.get_secret_value(SecretId=f"roomkey/{ENVIRONMENT}/100ms")
    credentials = json.loads(secret["SecretString"])
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
    return _response(200, {"success": True, "token": token})


def _response(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
