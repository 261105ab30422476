"""What a careful engineer writes first: Powertools' resolver with validation, cached parameters, logger and metrics."""

import os
import time
import uuid
from http import HTTPStatus
from typing import Annotated

import jwt
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from pydantic import BaseModel, ConfigDict, Field

ENVIRONMENT = os.environ["ENVIRONMENT"]

app = APIGatewayHttpResolver(enable_validation=True)
logger = Logger(service="token-endpoint")
metrics = Metrics(namespace="TokenEndpoint", service="token-endpoint")


class TokenRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    room_id: str = Field(min_length=1, max_length=256)
    role: str = Field(min_length=1, max_length=128)
    user_id: str | None = Field(default=None, min_length=1, max_length=256)
    expires_in: int = Field(default=3600, ge=60, le=86400)


class TokenResponse(BaseModel):
    success: bool = True
    token: str
    expires_at: int


class Disabled(Exception):
    pass


@app.exception_handler(Disabled)
def disabled(_: Disabled) -> Response:
    body = {"success": False, "msg": "Token generation is disabled."}
    return Response(HTTPStatus.FORBIDDEN, content_types.APPLICATION_JSON, body)


@app.post("/v1/100ms/app-token")
def app_token(request: Annotated[TokenRequest, Body()]) -> TokenResponse:
    if parameters.get_parameter(f"/roomkey/{ENVIRONMENT}/disabled", max_age=30) != "false":
        raise Disabled
    credentials = parameters.get_secret(f"roomkey/{ENVIRONMENT}/100ms", transform="json", max_age=300)

    now = int(time.time())
    token_id = str(uuid.uuid4())
    claims = {
        "access_key": credentials["app_access_key"],
        "type": "app",
        "version": 2,
        "room_id": request.room_id,
        "role": request.role,
        "user_id": request.user_id or str(uuid.uuid4()),
        "jti": token_id,
        "iat": now,
        "nbf": now,
        "exp": now + request.expires_in,
    }
    token = jwt.encode(claims, credentials["app_secret"], algorithm="HS256")

    metrics.add_metric(name="TokenMinted", unit=MetricUnit.Count, value=1)
    logger.info("token minted", room_id=request.room_id, role=request.role, token_id=token_id)
    return TokenResponse(token=token, expires_at=claims["exp"])


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict, context: object) -> dict:
    return app.resolve(event, context)
