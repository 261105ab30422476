"""`roomkey doctor`: each problem is found, and its fix is printed."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from roomkey import __version__
from roomkey_cli.aws import endpoint, stacks
from roomkey_cli.aws.stacks import Function
from roomkey_cli.commands.doctor import deployed, workplace
from roomkey_cli.environment import Environment
from support.aws.moto_proxy import GET_SECRET, SSM, Failure
from support.commands import DEMO, Account, roomkey
from support.platforms import secret_values

OPEN = '{"version":1,"mode":"enforce","rules":[{"who":["anyone"],"kinds":["app"],"platforms":["100ms"],"roles":["*"],"rooms":["*"]}]}'  # fmt: skip # noqa: E501


def configure(name: str, **values: str) -> None:
    """Write config/ENV.yaml in the current directory."""
    lines = [f"{key}: {json.dumps(value)}" for key, value in {"Environment": name, **values}.items()]
    Path("config", f"{name}.yaml").write_text("\n".join(lines))


def examine(name: str, *options: str) -> dict[str, list[tuple[str, str, str]]]:
    """Return level, message and fix of each finding, by check."""
    result = roomkey("doctor", name, "--json", *options)
    document = result.json
    found: dict[str, list[tuple[str, str, str]]] = {}
    for one in document["findings"]:
        found.setdefault(one["check"], []).append((one["level"], one["message"], one["fix"]))
    levels = [one["level"] for one in document["findings"]]
    assert document["good"] == ("fail" not in levels) == (result.status == 0)
    assert all(one["fix"] for one in document["findings"] if one["level"] != "ok")
    return found


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Provide a SAM CLI: the real one takes a second to print its version."""
    monkeypatch.setattr(workplace, "SAM", Path(sys.executable))
    monkeypatch.setattr(workplace, "_output", lambda _: "SAM CLI, version 1.152.0")
    (tmp_path / "config").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def healthy(account: Account) -> str:
    """An environment with everything but a stack."""
    name = account.create()
    account.aws.put_policy(name, OPEN)
    for platform, text in DEMO.items():
        account.aws.put_secret(name, text, platform)
    configure(name, AppTokenAccess="open")
    return name


@pytest.fixture
def health() -> Iterator[Callable[[Mapping[str, Any]], str]]:
    """Start endpoints with a prepared health response, and return their URLs."""
    servers = []

    def serving(body: Mapping[str, Any], status: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Do not log."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serving
    for server in servers:
        server.shutdown()
        server.server_close()


def says(minting: str, *platforms: str, version: str = __version__) -> dict[str, Any]:
    return {"minting": minting, "platforms": list(platforms or DEMO), "version": version}


# --- a healthy environment -------------------------------------------------------------------------------------------


def test_a_healthy_environment(account: Account, healthy: str, health: Callable[..., str]) -> None:
    account.stack(healthy, ApiUrl=health(says("on")))
    account.function(healthy)

    found = examine(healthy)

    assert {level for findings in found.values() for level, _, _ in findings} == {"ok"}
    assert list(found) == [
        *("roomkey", "sam", "config", "credentials", "clock", "kill switch", "policy", "block list", "secrets"),
        *("stack", "function", "health"),
    ]


def test_before_the_first_deploy_there_are_warnings_only(account: Account) -> None:
    name = account.environment()
    roomkey("env", "init", name)

    result = roomkey("doctor", name)

    assert result.status == 0, result.out
    assert "minting is OFF for everything" in result.out
    assert f"-> roomkey secret put {name} PLATFORM" in result.out
    assert f"-> make deploy ENV={name}" in result.out
    assert "warn  policy       rules is empty: every request is denied" in result.out


def test_no_secret_is_shown(healthy: str) -> None:
    out = roomkey("doctor", healthy).out + roomkey("doctor", healthy, "--json").out

    assert not any(value in out for name, text in DEMO.items() for value in secret_values(name, json.loads(text)))


# --- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "type_", "words", "cure"),
    [
        (None, "", "does not exist", "roomkey env init"),
        ("off", "String", "does not contain a valid kill switch", "roomkey env disable"),
        ("false", "SecureString", "is a SecureString", "must be String"),
    ],
)
def test_an_invalid_kill_switch(account: Account, flag: str | None, type_: str, words: str, cure: str) -> None:
    name = account.environment()
    if flag:
        account.aws.ssm.put_parameter(Name=f"/roomkey/{name}/disabled", Value=flag, Type=type_)

    [(level, said, document)] = examine(name)["kill switch"]

    assert level == "fail"
    assert words in said
    assert cure in document


@pytest.mark.parametrize(
    ("policy", "type_", "words"),
    [
        (None, "", "does not exist"),
        ("{}", "String", "version is missing"),
        (OPEN, "SecureString", "is a SecureString"),
    ],
)
def test_an_invalid_policy(account: Account, policy: str | None, type_: str, words: str) -> None:
    name = account.environment()
    if policy:
        account.aws.ssm.put_parameter(Name=f"/roomkey/{name}/policy", Value=policy, Type=type_)

    findings = examine(name)["policy"]

    assert {level for level, _, _ in findings} == {"fail"}
    assert any(words in said for _, said, _ in findings)


def test_a_policy_with_a_warning(account: Account) -> None:
    name = account.create()
    account.aws.put_policy(name, OPEN.replace("enforce", "audit"))

    levels = [(level, said[:20]) for level, said, _ in examine(name)["policy"]]

    assert levels == [("ok", "1 rule, mode audit"), ("warn", "mode denies nothing:")]


def test_a_bad_secret(account: Account) -> None:
    name = account.create()
    account.aws.put_secret(name, '{"app_access_key": "a", "app_secret": "correct-horse"}')

    [(level, said, cure)] = examine(name)["secrets"]

    assert (level, cure) == ("fail", f"roomkey secret put {name} 100ms")
    assert "app_secret: is shorter than 32 bytes" in said


def test_a_platform_that_is_served_needs_its_secret(account: Account) -> None:
    name = account.create()
    account.aws.put_secret(name, DEMO["100ms"])
    account.aws.put_secret(name, DEMO["videosdk"], "videosdk")
    account.aws.secrets.delete_secret(SecretId=f"roomkey/{name}/videosdk", RecoveryWindowInDays=7)
    account.function(name, Environment={"Variables": {"ENVIRONMENT": name, "PLATFORMS": "100ms,agora,videosdk"}})

    found = {said: level for level, said, _ in examine(name)["secrets"]}

    assert found == {
        f"roomkey/{name}/100ms: a token of each kind minted and verified": "ok",
        f"roomkey/{name}/videosdk is marked for deletion": "fail",
        f"agora is served, and roomkey/{name}/agora does not exist": "fail",
    }


def test_before_a_deploy_the_configured_platforms_need_their_secrets(account: Account) -> None:
    name = account.create()
    configure(name, AppTokenAccess="iam", Platforms="100ms")
    account.aws.put_secret(name, DEMO["100ms"])
    account.function(name, Environment={"Variables": {"ENVIRONMENT": name, "PLATFORMS": "100ms,agora"}})

    assert [level for level, _, _ in examine(name, "--before-deploy")["secrets"]] == ["ok"]
    assert [level for level, _, _ in examine(name)["secrets"]] == ["ok", "fail"]


@pytest.mark.parametrize(
    ("stored", "level", "message"),
    [
        (None, "fail", "the policy grants invites, and {} does not exist"),
        ('{"keys": {}, "current": "a"}', "fail", "{}: current does not name one of keys"),
        ("good", "ok", "{}: an invite signed and verified"),
    ],
)
def test_the_keys_of_invites_are_checked(account: Account, stored: str | None, level: str, message: str) -> None:
    name = account.create()
    rule = {"who": ["signed-in"], "kinds": ["invite"], "platforms": ["100ms"], "roles": ["guest"], "rooms": ["*"]}
    account.put(f"/roomkey/{name}/policy", json.dumps({"version": 1, "mode": "enforce", "rules": [rule]}))
    account.aws.put_secret(name, DEMO["100ms"])
    if stored == "good":
        assert roomkey("secret", "put", name, "invites", "--generate", "--yes").status == 0
    elif stored:
        account.aws.put_secret(name, stored, "invites")

    found = {said: (found_level, cure) for found_level, said, cure in examine(name)["secrets"]}

    cure = f"roomkey secret put {name} invites --generate" if level == "fail" else ""
    assert found[message.format(f"roomkey/{name}/invites")] == (level, cure)


@pytest.mark.parametrize(("stack_key", "level"), [("", "fail"), ("arn:aws:kms:eu-central-1:1:key/k", "ok")])
def test_a_secret_under_a_key_that_the_function_may_not_use(account: Account, stack_key: str, level: str) -> None:
    name = account.create()
    key = "arn:aws:kms:eu-central-1:1:key/k"
    account.aws.secrets.create_secret(Name=f"roomkey/{name}/100ms", SecretString=DEMO["100ms"], KmsKeyId=key)
    template = {"Parameters": {"KmsKeyArn": {"Type": "String"}}, "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    account.client("cloudformation").create_stack(
        StackName=f"roomkey-{name}",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "KmsKeyArn", "ParameterValue": stack_key}],
    )

    assert examine(name)["secrets"][0][0] == level


@pytest.mark.parametrize("same", ["alias", "id", "arn"])
def test_a_kms_key_is_compared_by_its_arn(account: Account, same: str) -> None:
    name, kms = account.create(), account.client("kms")
    metadata = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=metadata["KeyId"])
    names = {"alias": f"alias/{name}", "id": metadata["KeyId"], "arn": metadata["Arn"]}
    secret = f"roomkey/{name}/100ms"
    account.aws.secrets.create_secret(Name=secret, SecretString=DEMO["100ms"], KmsKeyId=names[same])
    template = {"Parameters": {"KmsKeyArn": {"Type": "String"}}, "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    account.client("cloudformation").create_stack(
        StackName=f"roomkey-{name}",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "KmsKeyArn", "ParameterValue": metadata["Arn"]}],
    )

    assert [level for level, _, _ in examine(name)["secrets"]] == ["ok"]


# --- config/ENV.yaml -------------------------------------------------------------------------------------------------

CONFIGS = [
    ({"Environment": "other"}, "Environment must be"),
    ({"AppTokenAccess": "everyone"}, "AppTokenAccess must be jwt, iam or open"),
    ({"AppTokenAccess": "jwt", "JwtAudience": "a"}, "JwtIssuer must be the issuer's https:// URL"),
    ({"AppTokenAccess": "jwt", "JwtIssuer": "http://issuer.example", "JwtAudience": "a"}, "JwtIssuer must be"),
    ({"JwtIssuer": "https://issuer.example"}, "JwtAudience must name the audience"),
    ({"AppTokenAccess": "open", "AllowedOrigins": "*"}, "AllowedOrigins must be origins"),
    ({"AppTokenAccess": "open", "Platforms": "100sm"}, "Platforms must be"),
    ({"AppTokenAccess": "open", "AppTokenLifetime": "1h"}, "AppTokenLifetime must be"),
]


@pytest.mark.parametrize(("values", "words"), CONFIGS)
def test_a_config_that_a_deploy_would_reject(account: Account, values: dict[str, str], words: str) -> None:
    name = account.create()
    configure(name, **values)

    findings = examine(name)["config"]

    assert {level for level, _, _ in findings} == {"fail"}
    assert any(words in message for _, message, _ in findings)


@pytest.mark.parametrize(("text", "words"), [("a: [", "is not YAML"), ("- a", "must be a list of lines")])
def test_a_config_that_cannot_be_read(account: Account, text: str, words: str) -> None:
    name = account.create()
    Path("config", f"{name}.yaml").write_text(text)

    [(level, message, _)] = examine(name)["config"]

    assert (level, words in message) == ("fail", True)


TEMPLATE = Path("template.yaml").resolve()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Rollout": "Canary"}, "Rollout must be one of AllAtOnce, "),
        ({"MemorySize": "128"}, "MemorySize must be a whole number from 256 to 3008"),
        ({"KmsKeyArn": "alias/roomkey"}, "KmsKeyArn must be the ARN of a key (not of an alias), or empty"),
        ({"GroupsClaim": "realm_access.roles"}, "GroupsClaim must name a claim at the top level"),
        ({"GroupsFormat": "csv"}, "GroupsFormat must be list, comma or json"),
        ({"DomainName": "token.example.com"}, "CertificateArn must name the certificate for DomainName"),
        ({"DefaultEndpoint": "off"}, "DomainName must give the API another address"),
    ],
)
def test_a_value_that_the_template_rejects_is_found_before_a_build(
    account: Account, values: dict[str, str], words: str
) -> None:
    name = account.create()
    Path("template.yaml").write_text(TEMPLATE.read_text())
    configure(name, AppTokenAccess="iam", **values)

    [(level, message, _)] = examine(name)["config"]

    assert (level, words in message) == ("fail", True)


def test_an_unknown_parameter_is_found_with_the_template(account: Account) -> None:
    name = account.create()
    Path("template.yaml").write_text("Parameters: {Environment: {Type: String}}\nResources: {X: !Ref Y}")
    configure(name, AppTokenAcces="open", JwtIssuer="https://x", JwtAudience="y")

    assert any("AppTokenAcces is not a parameter" in message for _, message, _ in examine(name)["config"])


@pytest.mark.parametrize(
    ("who", "access", "level"),
    [
        ('"anyone"', "open", "ok"),
        ('"anyone"', "iam", "ok"),
        ('"signed-in"', "open", "fail"),
        ('{"group": "teachers"}', "iam", "fail"),
        ('{"principal": "arn:aws:iam::1:role/x"}', "open", "fail"),
        ('{"principal": "arn:aws:iam::1:role/x"}', "iam", "ok"),
    ],
)
def test_a_policy_must_grant_something_to_the_callers(account: Account, who: str, access: str, level: str) -> None:
    name = account.create()
    configure(name, AppTokenAccess=access)
    account.aws.put_policy(name, OPEN.replace('"anyone"', who))

    findings = [(level, message) for level, message, _ in examine(name)["policy"]]

    assert (("fail", f"grants no app token to any caller, since AppTokenAccess is {access}") in findings) == (
        level == "fail"
    )


@pytest.mark.parametrize(
    ("discovery", "keys", "words"),
    [
        ({"issuer": "https://i.example", "jwks_uri": "https://i.example/k"}, [{"kty": "RSA", "kid": "1"}], None),
        ({"issuer": "https://i.example/"}, [], "JwtIssuer must be exactly that"),
        ({"issuer": "https://i.example", "jwks_uri": "https://i.example/k"}, [], "must list signing keys"),
        ({"issuer": "https://i.example", "jwks_uri": "https://i.example/k"}, [{"kty": "EC", "kid": "1"}], "no RSA key"),
        ({"issuer": "https://i.example"}, [], "no jwks_uri"),
        (None, [], "cannot be reached"),
    ],
)
def test_the_issuer_is_checked(
    account: Account, monkeypatch: pytest.MonkeyPatch, discovery: dict[str, str] | None, keys: list[Any], words: str
) -> None:
    def send(_: str, url: str, *__: object) -> endpoint.Response:
        if discovery is None:
            raise endpoint.ConnectionFailed("no route")
        return endpoint.Response(200, discovery if "openid" in url else {"keys": keys}, 1)

    name = account.create()
    configure(name, AppTokenAccess="jwt", JwtIssuer="https://i.example", JwtAudience="a")
    monkeypatch.setattr(endpoint, "send", send)

    [(level, message, _)] = examine(name)["issuer"]

    assert (level, words is None or words in message) == ("ok" if words is None else "fail", True)


def test_before_a_deploy_only_its_needs_are_checked(account: Account) -> None:
    name = account.create()
    account.stack(name, ApiUrl="http://127.0.0.1:1")

    found = examine(name, "--before-deploy")

    assert found["config"][0][:2] == ("fail", f"config/{name}.yaml is missing here")
    assert not {"function", "health"} & found.keys()


def test_the_local_stack_needs_no_deploy(account: Account) -> None:
    found = examine("local")

    assert found["stack"] == [("ok", "this is the local stack, which runs without a deploy", "")]
    assert not {"config", "python", "sam"} & found.keys()


def test_a_warning_about_several_rules_is_shown_once(account: Account) -> None:
    name = account.create()
    rules = [{"who": ["anyone"], "kinds": ["app"], "platforms": ["*"], "roles": ["*"], "rooms": ["*"]}] * 3
    account.aws.put_policy(name, json.dumps({"version": 1, "mode": "enforce", "rules": rules}))

    warnings = [message for level, message, _ in examine(name)["policy"] if level == "warn"]

    assert "rules[0].platforms includes every platform that a later deploy adds (also rules[1], rules[2])" in warnings
    assert len(warnings) == len({message.partition(" ")[2].partition(" (also")[0] for message in warnings})


def test_a_deployer_who_may_not_read_operator_data_is_warned(account: Account) -> None:
    name = account.create()
    account.fail("SSM")
    account.aws.fail(SSM, Failure.error(400, "AccessDeniedException", "no"))

    assert examine(name, "--before-deploy")["policy"][0][0] == "warn"
    assert examine(name)["policy"][0][0] == "fail"


@pytest.mark.parametrize(
    ("stored", "findings", "fix"),
    [
        ('{"users": []}', [("fail", "users is not an object of users")], "aws ssm put-parameter"),
        ('{"invites": [5]}', [("fail", "invites[0] is not an invite id: 5")], "roomkey unblock"),
        ('{"users": {"u*": {}}}', [("ok", "1 user and"), ("warn", 'users["u*"] matches only')], "remove it with"),
    ],
)
def test_problems_and_warnings_of_the_block_list(
    account: Account, stored: str, findings: list[tuple[str, str]], fix: str
) -> None:
    name = account.create()
    account.put(f"/roomkey/{name}/blocked", stored)

    found = examine(name)["block list"]

    assert [level for level, _, _ in found] == [level for level, _ in findings]
    assert all(text in message for (_, message, _), (_, text) in zip(found, findings, strict=True))
    assert found[-1][2].startswith(fix)


# --- the deployment --------------------------------------------------------------------------------------------------


def test_log_groups_that_an_earlier_stack_left(account: Account) -> None:
    name = account.create()
    account.client("logs").create_log_group(logGroupName=f"/aws/lambda/roomkey-{name}")

    findings = examine(name)["stack"]

    assert [(level, said) for level, said, _ in findings] == [
        ("warn", f"roomkey-{name} is not deployed"),
        ("warn", f"the log group /aws/lambda/roomkey-{name} is left from an earlier stack"),
    ]


def test_a_stack_without_its_function(account: Account) -> None:
    name = account.create()
    account.stack(name)

    [(level, said, _)] = examine(name)["function"]

    assert (level, said) == ("fail", f"function roomkey-{name} is missing")


@pytest.mark.parametrize(
    ("status", "level"),
    [
        ("CREATE_COMPLETE", "ok"),
        ("UPDATE_COMPLETE", "ok"),
        ("IMPORT_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warn"),
        ("UPDATE_ROLLBACK_COMPLETE", "warn"),
        ("ROLLBACK_COMPLETE", "fail"),
        ("UPDATE_ROLLBACK_FAILED", "fail"),
        ("DELETE_FAILED", "fail"),
    ],
)
def test_the_state_of_the_stack(account: Account, monkeypatch: pytest.MonkeyPatch, status: str, level: str) -> None:
    found = stacks.Stack(status, {}, {})
    monkeypatch.setattr(stacks, "find_stack", lambda *_: found)
    monkeypatch.setattr(stacks, "failure_reasons", lambda *_: ["Role: access denied"])

    finding = examine(account.create())["stack"][0]

    assert finding[0] == level
    if status == "ROLLBACK_COMPLETE":
        assert "(Role: access denied)" in finding[1]
        assert ".tools/sam/bin/sam delete --stack-name roomkey-" in finding[2]
        assert " --region eu-central-1, and" in finding[2]


FLAWS = [
    ({"Timeout": 3}, "its timeout is 3 s"),
    ({"Environment": {"Variables": {"ENVIRONMENT": "other"}}}, "its ENVIRONMENT is 'other'"),
    ({"Environment": {"Variables": {}}}, "ENVIRONMENT must be set"),
    ({"Environment": {"Variables": {"ENVIRONMENT": "NAME", "APP_TOKEN_LIFETIME": "1"}}}, "APP_TOKEN_LIFETIME must be"),
]


@pytest.mark.parametrize(("settings", "words"), FLAWS)
def test_a_function_that_is_not_as_deployed(account: Account, settings: Any, words: str) -> None:
    name = account.create()
    account.function(name, **json.loads(json.dumps(settings).replace("NAME", name)))

    findings = examine(name)["function"]

    assert {level for level, _, _ in findings} == {"fail"}
    assert any(words in said for _, said, _ in findings)


@pytest.mark.parametrize(("own", "flaws"), [("", 1), ("http://127.0.0.1:4566", 0)])
def test_a_function_must_not_point_away_from_aws(monkeypatch: pytest.MonkeyPatch, own: str, flaws: int) -> None:
    """Unless this command works on an emulated AWS itself."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", own)
    variables = {"ENVIRONMENT": "dev", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
    function = Function("arn", "1", None, {}, 10, variables, "python3.13")

    assert len(list(deployed._flaws(function, Environment.from_name("dev")))) == flaws


def test_a_stopped_function(account: Account) -> None:
    name = account.create()
    account.function(name)
    roomkey("env", "stop", name)

    [(level, said, cure)] = examine(name)["function"]

    assert (level, cure) == ("fail", f"roomkey env start {name}")
    assert "it is stopped" in said


def test_a_function_without_its_alias(account: Account) -> None:
    name = account.create()
    account.function(name)
    account.client("lambda").delete_alias(FunctionName=f"roomkey-{name}", Name="live")

    assert any("no alias live" in said for _, said, _ in examine(name)["function"])


@pytest.mark.parametrize(
    ("flag", "body", "finding"),
    [
        ("false", says("on"), ("ok", "minting on")),
        ("true", says("off"), ("ok", "minting off")),
        ("100ms", says("partly-off"), ("ok", "minting partly-off")),
        ("100ms", says("off", "100ms"), ("ok", "minting off")),
        ("agora", says("on", "100ms"), ("ok", "minting on")),
        ("true", says("on"), ("warn", "minting on, and the kill switch is off")),
        ("false", says("unknown"), ("fail", "cannot read the kill switch")),
        ("false", says("on", version="9.9.9"), ("warn", "it runs version 9.9.9")),
        ("false", {"hello": "world"}, ("fail", "/v1/health returned 200")),
    ],
)
def test_health_is_compared_with_the_kill_switch(
    account: Account, health: Callable[..., str], flag: str, body: dict[str, Any], finding: tuple[str, str]
) -> None:
    name = account.create(flag=flag)

    first = examine(name, "--url", health(body))["health"][0]

    assert first[0] == finding[0]
    assert finding[1] in first[1]


def test_health_without_a_response(account: Account, health: Callable[..., str]) -> None:
    name = account.create()

    assert examine(name, "--url", "http://127.0.0.1:1")["health"][0][0] == "fail"
    assert examine(name, "--url", health({"message": "Service Unavailable"}, 503))["health"][0][0] == "fail"


# --- machine and credentials -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [(0, "ok", "0 s"), (29, "ok", "29 s ahead"), (-31, "warn", "31 s behind"), (301, "fail", "301 s ahead of AWS's")],
)
def test_a_clock_that_is_wrong(ahead: int, level: str, words: str) -> None:
    now = time.time() // 1

    [finding] = workplace.clock({"date": formatdate(now, usegmt=True)}, now + ahead)

    assert finding.level == level
    assert words in finding.message


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
def test_a_response_without_a_date_does_not_check_the_clock(headers: dict[str, str]) -> None:
    assert list(workplace.clock(headers, time.time())) == []


def test_without_credentials_nothing_else_is_looked_at(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    found = examine("dev")

    assert list(found) == ["roomkey", "sam", "config", "credentials"]
    assert found["credentials"][0][:2] == (
        "fail",
        "no AWS credentials found: sign in, or use --profile or AWS_PROFILE",
    )


def test_one_permission_that_is_missing_hides_nothing_else(account: Account, healthy: str) -> None:
    account.fail("SSM")
    account.fail("SECRETS_MANAGER")
    account.aws.fail(
        SSM, Failure.error(400, "AccessDeniedException", "X is not authorized to perform: ssm:GetParameters")
    )

    found = examine(healthy)

    assert (
        found["kill switch"][0][1]
        == found["policy"][0][1]
        == "access denied: your AWS credentials do not allow ssm:GetParameters"
    )
    assert {level for level, _, _ in found["secrets"]} == {"ok"}


def test_secrets_that_the_user_may_not_read_are_not_reported_as_bad(account: Account, healthy: str) -> None:
    account.fail("SECRETS_MANAGER")
    account.aws.fail(GET_SECRET, Failure.error(400, "AccessDeniedException", "no"))

    findings = examine(healthy)["secrets"]

    assert [(level, said) for level, said, _ in findings] == [
        ("warn", f"roomkey/{healthy}/{platform} is stored; you are not allowed to read it") for platform in DEMO
    ]


@pytest.mark.parametrize(("version", "level"), [("1.151.0", "fail"), ("1.152.0", "ok"), ("2.0.0", "ok")])
def test_the_sam_cli_must_read_parameters_from_a_file(
    account: Account, monkeypatch: pytest.MonkeyPatch, version: str, level: str
) -> None:
    monkeypatch.setattr(workplace, "_output", lambda _: f"SAM CLI, version {version}")

    assert examine(account.create())["sam"][0][0] == level


def test_a_machine_without_tools(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(workplace, "SAM", Path("/nowhere"))
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))

    found = examine(account.create())

    assert (found["python"][0][0], found["sam"][0][0]) == ("warn", "warn")
