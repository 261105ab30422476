"""A stack deployed, upgraded, switched off, probed and deleted on an emulated AWS with IAM enforced.

The tests run in order: three deploys of one environment, with `iam`, `jwt` and `open` access.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from e2e.npm import install
from emulated.aws import ROOT_USER
from emulated.conftest import NAME, Answer, Api, Cloud, User, allow_plain_http
from infrastructure.template import ROOT, configured
from support.audit_lines import checked
from support.commands import DEMO
from support.known_answers import opened as opened_token

APP, MANAGEMENT = "/v1/100ms/app-token", "/v1/100ms/management-token"
ROOM = {"room_id": "633fcdd84208780bf665346a", "role": "host"}
FOR_U_1 = {**ROOM, "user_id": "u-1"}
SECONDS_TO_TAKE_EFFECT = 36
POLICY = {
    "version": 1,
    "mode": "enforce",
    "rules": [
        {
            "name": "teachers host",
            "who": [{"group": "teachers"}],
            "kinds": ["app"],
            "platforms": ["100ms"],
            "roles": ["host"],
            "rooms": ["*"],
        },
        {
            "name": "backends",
            "who": [{"principal": "*"}],
            "kinds": ["app", "management", "invite"],
            "platforms": ["100ms"],
            "roles": ["*"],
            "rooms": ["*"],
        },
        {
            "name": "guests",
            "who": ["invite"],
            "kinds": ["app"],
            "platforms": ["100ms"],
            "roles": ["guest"],
            "rooms": ["*"],
        },
    ],
}


def _denied(call: Any, **arguments: Any) -> bool:
    """Return whether IAM denies a call."""
    try:
        call(**arguments)
    except ClientError as error:
        return "AccessDenied" in error.response["Error"]["Code"]
    return False


def _parameter(cloud: Cloud, name: str) -> tuple[str, int]:
    parameter = cloud.aws.client("ssm").get_parameter(Name=f"/roomkey/{NAME}/{name}")["Parameter"]
    return parameter["Value"], parameter["Version"]


def _operator_data(cloud: Cloud) -> Any:
    """Return kill switch, policy and secret with their versions."""
    secret = cloud.aws.client("secretsmanager").get_secret_value(SecretId=f"roomkey/{NAME}/100ms")
    return _parameter(cloud, "disabled"), _parameter(cloud, "policy"), secret["SecretString"], secret["VersionId"]


def _live(cloud: Cloud) -> str:
    alias = cloud.aws.client("lambda").get_alias(FunctionName=f"roomkey-{NAME}", Name="live")
    return str(alias["FunctionVersion"])


# --- the first deploy, with iam access -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.json"
    path.write_text(json.dumps(POLICY))
    return path


@pytest.fixture(scope="module")
def api(cloud: Cloud, policy: Path) -> Api:
    """Deploy with the command in README.md and store the operator's data with `roomkey`."""
    (command,) = re.findall(r"^make deploy .*AWS=emulated$", (ROOT / "README.md").read_text(), re.MULTILINE)
    (ROOT / "config" / f"{NAME}.yaml").unlink(missing_ok=True)  # An earlier rehearsal may have changed it.
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cloud.roomkey("env", "init", NAME)
    cloud.roomkey("secret", "put", NAME, "100ms", stdin=DEMO["100ms"])
    cloud.roomkey("policy", "put", NAME, str(policy), "--yes")
    cloud.roomkey("env", "enable", NAME)
    url = cloud.aws.outputs(f"roomkey-{NAME}")["ApiUrl"]
    assert url in done.stdout
    return Api(url)


def test_the_stack_and_its_nested_stack_are_complete(api: Api, cloud: Cloud) -> None:
    stacks = cloud.aws.client("cloudformation").describe_stacks()["Stacks"]
    ours = {stack["StackName"].split("-Monitoring")[0]: stack["StackStatus"] for stack in stacks}

    assert len(stacks) >= 2
    assert ours[f"roomkey-{NAME}"] == "CREATE_COMPLETE"
    assert set(ours.values()) == {"CREATE_COMPLETE"}


def test_health_reports_that_minting_is_on(api: Api) -> None:
    answer = api.ask("/v1/health")

    assert (answer.status, answer.body["minting"]) == (200, "on")


@pytest.mark.parametrize("path", [APP, MANAGEMENT])
def test_a_signed_request_gets_a_token(api: Api, path: str) -> None:
    answer = api.ask(path, FOR_U_1 if path == APP else {}, signed_by=ROOT_USER)

    assert answer.status == 200
    assert answer.body["token"].count(".") == 2


def test_an_invite_of_a_signed_caller_is_redeemed_without_a_signature(api: Api, cloud: Cloud) -> None:
    cloud.roomkey("secret", "put", NAME, "invites", "--generate")
    guest = {"platform": "100ms", "room_id": ROOM["room_id"], "role": "guest"}

    invited = api.ask("/v1/invites", guest, signed_by=ROOT_USER)
    redeemed = api.ask("/v1/invites/redeem", {"invite": invited.body.get("invite")})
    room_code = api.ask("/v2/token", {"code": invited.body.get("invite")})

    assert (invited.status, redeemed.status, room_code.status) == (201, 200, 200)
    for answer in (redeemed, room_code):
        _, claims = opened_token(answer.body["token"], json.loads(DEMO["100ms"])["app_secret"])
        assert (claims["room_id"], claims["role"]) == (ROOM["room_id"], "guest")
        assert claims["user_id"].startswith("guest-")
    assert api.ask("/v1/invites", guest).status == 403
    assert api.ask("/v1/invites/redeem", {"invite": "rki1.e30.x"}).code == "invite-invalid"


@pytest.mark.parametrize("path", [APP, MANAGEMENT])
def test_an_unsigned_request_is_refused(api: Api, path: str) -> None:
    assert api.ask(path, FOR_U_1).status == 403


def test_the_audit_line_and_the_metrics_are_in_the_log(api: Api, cloud: Cloud) -> None:
    api.ask(APP, FOR_U_1, signed_by=ROOT_USER)
    events = cloud.aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/roomkey-{NAME}")["events"]
    lines = [event["message"] for event in events if event["message"].startswith("{")]
    audit = [checked(line) for line in lines if '"log_type"' in line]

    assert "minted" in {line["decision"] for line in audit}
    assert [line for line in lines if '"_aws"' in line]


def test_doctor_finds_the_environment_ready_but_for_the_other_platforms_secrets(api: Api, cloud: Cloud) -> None:
    report = json.loads(cloud.roomkey("doctor", NAME, "--json", status=1))
    failed = {finding["check"] for finding in report["findings"] if finding["level"] == "fail"}

    assert failed == {"secrets"}


def test_status_and_show_describe_the_deployed_stack(api: Api, cloud: Cloud) -> None:
    assert (
        json.loads(cloud.roomkey("env", "status", NAME, "--json"))["policy"]["version"]
        == _parameter(cloud, "policy")[1]
    )
    assert api.url in cloud.roomkey("env", "show", NAME)


# --- each IAM document as an IAM user --------------------------------------------------------------------------------


def test_a_management_caller_gets_management_tokens_alone(api: Api, cloud: Cloud) -> None:
    user = cloud.user("management-caller")

    assert api.ask(MANAGEMENT, {}, signed_by=user).status == 200
    assert api.ask(MANAGEMENT, {}, signed_by={**user, "aws_secret_access_key": "wrong"}).status == 403
    assert api.ask(APP, FOR_U_1, signed_by=user).status == 403


def test_an_app_caller_gets_app_tokens_alone(api: Api, cloud: Cloud) -> None:
    user = cloud.user("app-caller")

    assert api.ask(APP, FOR_U_1, signed_by=user).status == 200
    assert api.ask("/api/token", FOR_U_1, signed_by=user).status == 200
    assert api.ask(MANAGEMENT, {}, signed_by=user).status == 403


def test_a_prober_probes_and_counts(api: Api, cloud: Cloud) -> None:
    user = cloud.user("prober")

    cloud.roomkey("probe", NAME, "--metric", user=user)

    counted = cloud.aws.client("cloudwatch").list_metrics(Namespace="Roomkey")["Metrics"]
    assert "ProbeMinted" in {metric["MetricName"] for metric in counted}
    assert _denied(cloud.aws.client("ssm", **user).get_parameter, Name=f"/roomkey/{NAME}/policy")


def test_the_role_for_rotation_only_puts_and_checks_secrets(api: Api, cloud: Cloud) -> None:
    user = cloud.user("secrets")

    cloud.roomkey("secret", "put", NAME, "videosdk", user=user, stdin=DEMO["videosdk"])
    cloud.roomkey("secret", "check", NAME, "videosdk", user=user)

    assert _denied(
        cloud.aws.client("secretsmanager", **user).create_secret, Name="roomkey/prod/agora", SecretString="x"
    )
    assert _denied(
        cloud.aws.client("ssm", **user).put_parameter, Name=f"/roomkey/{NAME}/disabled", Value="x", Type="String"
    )


def test_an_operator_reads_no_secret_and_changes_no_code(cloud: Cloud, operator: User, policy: Path) -> None:
    cloud.roomkey("env", "status", NAME, user=operator)
    cloud.roomkey("policy", "put", NAME, str(policy), "--yes", user=operator)

    secrets, functions = cloud.aws.client("secretsmanager", **operator), cloud.aws.client("lambda", **operator)
    assert _denied(secrets.get_secret_value, SecretId=f"roomkey/{NAME}/100ms")
    assert _denied(functions.update_function_code, FunctionName=f"roomkey-{NAME}", ZipFile=b"x")
    assert _denied(cloud.aws.client("ssm", **operator).delete_parameter, Name=f"/roomkey/{NAME}/disabled")


@pytest.fixture(scope="module")
def operator(api: Api, cloud: Cloud) -> User:
    return cloud.user("operator")


# --- the kill switch, and the function stopped -----------------------------------------------------------------------


def test_an_operator_stops_and_starts_the_function(cloud: Cloud, operator: User) -> None:
    """By reserved concurrency, which the emulator stores and its API Gateway ignores."""
    functions = cloud.aws.client("lambda")
    cloud.roomkey("env", "stop", NAME, "--yes", user=operator)
    stopped = functions.get_function_concurrency(FunctionName=f"roomkey-{NAME}")
    cloud.roomkey("env", "start", NAME, user=operator)

    assert stopped["ReservedConcurrentExecutions"] == 0
    assert "ReservedConcurrentExecutions" not in functions.get_function_concurrency(FunctionName=f"roomkey-{NAME}")


def _refusal(ask: Callable[[], Answer]) -> Answer:
    """Ask until a change that was just written takes effect, and return the refusal."""
    written = time.monotonic()
    while True:
        sent = time.monotonic()
        answer = ask()
        if answer.status != 200:
            return answer
        assert sent - written < SECONDS_TO_TAKE_EFFECT
        time.sleep(1)


def test_a_block_holds_on_every_route_within_its_bound(api: Api, cloud: Cloud, operator: User) -> None:
    guest = {"platform": "100ms", "room_id": ROOM["room_id"], "role": "guest"}
    invited = api.ask("/v1/invites", guest, signed_by=ROOT_USER)
    invite = invited.body["invite"]
    as_member = {**ROOM, "user_id": "u-blocked"}

    def redeem(user: str) -> Answer:
        return api.ask("/v1/invites/redeem", {"invite": invite, "user_id": user})

    assert [redeem("guest-blocked").status, api.ask(APP, as_member, signed_by=ROOT_USER).status] == [200, 200]
    for user in ("guest-blocked", "u-blocked"):
        cloud.roomkey("block", NAME, user, user=operator)

    refusals = [
        _refusal(lambda: redeem("guest-blocked")),
        _refusal(lambda: api.ask(APP, as_member, signed_by=ROOT_USER)),
        api.ask("/api/token", as_member, signed_by=ROOT_USER),
        api.ask("/v1/100ms/room-code", {"code": invite, "user_id": "guest-blocked"}),
    ]
    assert [answer.status for answer in refusals] == [403, 403, 403, 403]
    assert [answer.body.get("reason", answer.code) for answer in refusals] == ["blocked"] * 4
    assert redeem("guest-other").status == 200

    cloud.roomkey("block", NAME, "--invite", invited.body["invite_id"], user=operator)
    assert _refusal(lambda: redeem("guest-other")).code == "blocked"


def test_the_kill_switch_takes_effect_within_its_bound(api: Api, cloud: Cloud, operator: User) -> None:
    cloud.roomkey("env", "disable", NAME, "100ms/app", user=operator)
    answer = _refusal(lambda: api.ask(APP, FOR_U_1, signed_by=ROOT_USER))

    assert (answer.status, answer.code) == (403, "minting-disabled")
    assert api.ask(MANAGEMENT, {}, signed_by=ROOT_USER).status == 200


# --- an upgrade to jwt access, by a deployer -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokens(cloud: Cloud) -> dict[str, str]:
    """Sign a teacher in to an emulated Cognito user pool. Return issuer, audience and both tokens."""
    cognito = cloud.aws.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="school")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="web", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    cognito.create_group(UserPoolId=pool, GroupName="teachers")
    cognito.admin_create_user(UserPoolId=pool, Username="ada")
    cognito.admin_set_user_password(UserPoolId=pool, Username="ada", Password="Correct-Horse-1", Permanent=True)
    cognito.admin_add_user_to_group(UserPoolId=pool, Username="ada", GroupName="teachers")
    signed_in = cognito.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=client,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ada", "PASSWORD": "Correct-Horse-1"},
    )["AuthenticationResult"]
    return {"pool": pool, "audience": client, "access": signed_in["AccessToken"], "id": signed_in["IdToken"]}


@pytest.fixture(scope="module")
def upgraded(api: Api, cloud: Cloud, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Deploy jwt access as the user of deployer.json. Return the operator's data and version of before."""
    before = _operator_data(cloud), _live(cloud)
    config = _config(
        tmp_path_factory.mktemp("jwt") / "dev.yaml",
        AppTokenAccess="jwt",
        JwtIssuer=f"https://cognito-idp.us-east-1.amazonaws.com/{tokens['pool']}",
        JwtAudience=tokens["audience"],
        GroupsClaim="cognito:groups",
        AllowedOrigins="https://app.example",
        AlarmTopic="arn:aws:sns:us-east-1:000000000000:alarms",
    )
    allow_plain_http(cloud)
    cloud.aws.deploy(config, "jwt0000001", **cloud.user("deployer"))
    return before


def _config(path: Path, **parameters: str) -> Path:
    values = configured(NAME) | parameters
    path.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items()))
    return path


def test_an_upgrade_publishes_a_new_version_and_leaves_the_operator_s_data(upgraded: Any, cloud: Cloud) -> None:
    data, version = upgraded

    assert int(_live(cloud)) == int(version) + 1
    assert _operator_data(cloud) == data
    assert data[0][0] == "100ms/app"


def test_the_nested_stack_creates_the_alarms(upgraded: Any, cloud: Cloud) -> None:
    """All but those on metric math, which the emulator does not support."""
    alarms = cloud.aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"roomkey-{NAME}-")["MetricAlarms"]

    assert len(alarms) > 15
    assert f"roomkey-{NAME}-minting-off" in {alarm["AlarmName"] for alarm in alarms}


def test_a_deployer_touches_no_operator_data_and_does_not_invoke(upgraded: Any, cloud: Cloud) -> None:
    iam = cloud.aws.client("iam")
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    user = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    assert _denied(cloud.aws.client("secretsmanager", **user).get_secret_value, SecretId=f"roomkey/{NAME}/100ms")
    assert _denied(
        cloud.aws.client("ssm", **user).put_parameter, Name=f"/roomkey/{NAME}/disabled", Value="false", Overwrite=True
    )
    assert _denied(cloud.aws.client("lambda", **user).invoke, FunctionName=f"roomkey-{NAME}")
    assert _denied(cloud.aws.client("lambda", **user).update_function_code, FunctionName="roomkey-prod", ZipFile=b"x")


@pytest.fixture(scope="module")
def enabled(upgraded: Any, api: Api, cloud: Cloud) -> None:
    """Switch minting on and wait until an instance of the new version has read it."""
    cloud.roomkey("env", "enable", NAME)
    for _ in range(SECONDS_TO_TAKE_EFFECT):
        if api.ask("/v1/health").body["minting"] == "on":
            return
        time.sleep(1)


@pytest.mark.usefixtures("enabled")
@pytest.mark.parametrize("kind", ["access", "id"])
def test_a_teacher_s_cognito_token_gets_a_host_token_for_that_user(api: Api, tokens: dict[str, str], kind: str) -> None:
    answer = api.ask(APP, ROOM, bearer=tokens[kind])

    assert answer.status == 200
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.body["user_id"])


@pytest.mark.usefixtures("enabled")
def test_the_policy_sees_the_groups_of_the_token(api: Api, tokens: dict[str, str]) -> None:
    answer = api.ask(APP, {**ROOM, "role": "guest"}, bearer=tokens["access"])

    assert (answer.status, answer.code) == (403, "not-allowed")


@pytest.mark.usefixtures("enabled")
def test_a_token_for_another_user_is_refused(api: Api, tokens: dict[str, str]) -> None:
    answer = api.ask(APP, FOR_U_1, bearer=tokens["access"])

    assert (answer.status, answer.code) == (403, "user-mismatch")


@pytest.mark.usefixtures("enabled")
@pytest.mark.parametrize("change", ["none", "garbage", "signature"])
def test_without_a_valid_bearer_token_there_is_no_app_token(api: Api, tokens: dict[str, str], change: str) -> None:
    bearer = {"none": None, "garbage": "x.y.z", "signature": f"{tokens['access'][:-8]}AAAAAAAA"}[change]

    assert api.ask(APP, ROOM, bearer=bearer).status == 401


@pytest.mark.usefixtures("enabled")
def test_a_bearer_token_gets_no_management_token(api: Api, tokens: dict[str, str]) -> None:
    assert api.ask(MANAGEMENT, {}, bearer=tokens["access"]).status in (401, 403)


# --- open access, and the end ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(enabled: None, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> None:
    cloud.roomkey("policy", "put", NAME, str(ROOT / "cli/roomkey_cli/data/policies/open.json"), "--yes")
    cloud.roomkey("secret", "put", NAME, "livekit", stdin=DEMO["livekit"])
    config = _config(
        tmp_path_factory.mktemp("open") / "dev.yaml",
        AppTokenAccess="open",
        JwtIssuer="",
        JwtAudience="",
        Platforms="100ms,livekit",
    )
    cloud.aws.deploy(config, "open000001")


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("path", [APP, "/api/token"])
def test_with_open_access_everyone_gets_an_app_token(api: Api, path: str) -> None:
    assert api.ask(path, FOR_U_1).status == 200


@pytest.mark.usefixtures("opened")
def test_with_open_access_a_management_token_still_needs_a_signature(api: Api) -> None:
    assert api.ask(MANAGEMENT, {}).status == 403


@pytest.mark.usefixtures("opened")
def test_livekit_s_client_fetches_tokens_and_refusals_from_the_deployed_stack(api: Api, tmp_path: Path) -> None:
    program = install(ROOT / "tests" / "e2e" / "vendors", tmp_path) / "fetch.mjs"
    fetches = ({"options": {"roomName": "class-7b"}}, {"options": {"participantMetadata": "{}"}})
    command = ["node", str(program), f"{api.url}/v1/livekit/token", *map(json.dumps, fetches)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    fetched, refused = map(json.loads, done.stdout.splitlines())

    _, claims = opened_token(fetched["participantToken"], json.loads(DEMO["livekit"])["api_secret"])
    assert claims["video"]["room"] == "class-7b"
    assert "received 400" in refused["error"]
    assert "the policy does not allow it" in refused["error"]


@pytest.mark.usefixtures("opened")
def test_deleting_the_stack_and_destroying_the_environment_leave_nothing(cloud: Cloud) -> None:
    cloud.aws.sam("delete", "--stack-name", f"roomkey-{NAME}", "--no-prompts", "--region", "us-east-1")
    cloud.roomkey("env", "destroy", NAME, stdin=f"{NAME}\n")

    assert dict(_left(cloud)) == {}


def _left(cloud: Cloud) -> Iterator[tuple[str, list[str]]]:
    """Yield what exists in the account with the environment's name, by kind."""
    client = cloud.aws.client
    stacks = client("cloudformation").describe_stacks()["Stacks"]
    found = {
        "stacks": [stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"],
        "functions": [function["FunctionName"] for function in client("lambda").list_functions()["Functions"]],
        "layers": [layer["LayerName"] for layer in client("lambda").list_layers()["Layers"]],
        "apis": [api["Name"] for api in client("apigatewayv2").get_apis()["Items"]],
        "roles": [role["RoleName"] for role in client("iam").list_roles()["Roles"]],
        "log groups": [group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"]],
        "parameters": [parameter["Name"] for parameter in client("ssm").describe_parameters()["Parameters"]],
        "secrets": [secret["Name"] for secret in client("secretsmanager").list_secrets()["SecretList"]],
        "alarms": [alarm["AlarmName"] for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "dashboards": [board["DashboardName"] for board in client("cloudwatch").list_dashboards()["DashboardEntries"]],
    }
    for kind, names in found.items():
        if ours := [name for name in names if "roomkey" in name]:
            yield kind, ours
