"""`roomkey secret` against Secrets Manager: stored and refused values, and no secret in the output."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import typer

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.platforms.credentials import CredentialField
from roomkey.settings import DEFAULT_LIFETIMES
from roomkey.token_requests import parse
from roomkey_cli.commands.secret.put import prompt
from roomkey_cli.tokens.minimal_request import minimal_request
from support.aws.moto_proxy import SECRETS_MANAGER, SSM, Failure
from support.commands import DEMO, Account, roomkey
from support.platforms import every_token, secret_values

every_platform = pytest.mark.parametrize("platform", PLATFORMS)


def values(platform: str) -> list[str]:
    return list(secret_values(platform, json.loads(DEMO[platform])))


# --- put -------------------------------------------------------------------------------------------------------------


@every_platform
def test_a_secret_is_stored_as_the_function_reads_it(account: Account, platform: str) -> None:
    name = account.create()

    result = roomkey("secret", "put", name, platform, stdin=DEMO[platform])

    assert result.status == 0, result.err
    stored = account.secret(name, platform)
    assert stored == DEMO[platform]
    assert PLATFORMS[platform].parse_secret(stored)
    assert not any(value in result.out + result.err for value in values(platform))


def test_a_second_secret_is_a_new_version_and_shows_how_long_the_first_signs(account: Account) -> None:
    name = account.create()
    roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"])
    new = json.dumps(json.loads(DEMO["100ms"]) | {"app_secret": "another-secret-that-is-long-enough-to-sign"})

    document = roomkey("secret", "put", name, "100ms", "--json", stdin=new).json

    assert account.secret(name, "100ms") == new
    current = account.aws.secrets.describe_secret(SecretId=f"roomkey/{name}/100ms")["VersionIdsToStages"]
    assert current[document["version_id"]] == ["AWSCURRENT"]
    assert "within 360 s" in document["notes"][0]
    assert "stay valid until they expire" in document["notes"][1]


def test_the_same_again_changes_nothing(account: Account) -> None:
    name = account.create()
    roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"])
    account.fail("SECRETS_MANAGER")

    document = roomkey(
        "secret", "put", name, "100ms", "--json", stdin=json.dumps(json.loads(DEMO["100ms"]), indent=4)
    ).json

    assert document["changed"] is False
    assert account.aws.operations == [f"{SECRETS_MANAGER}.DescribeSecret", f"{SECRETS_MANAGER}.GetSecretValue"]


def test_rotation_needs_no_read_permission(account: Account) -> None:
    name = account.create()
    roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"])
    account.fail("SECRETS_MANAGER")
    account.aws.fail(f"{SECRETS_MANAGER}.GetSecretValue", Failure.error(400, "AccessDeniedException", "no"))

    assert roomkey("secret", "put", name, "100ms", "--json", stdin=DEMO["100ms"]).json["changed"] is True


UNREADABLE = [
    (b"", "standard input: is empty"),
    (b"not json", "standard input: is not JSON: line 1, column 1: expecting value"),
    (b'{"app_access_key": x}', "standard input: is not JSON: line 1, column 20: expecting value"),
    (b'"a"', "standard input: is a JSON string, and must be an object"),
    (b"[]", "standard input: is a JSON array"),
    (b"5", "standard input: is a JSON number"),
    (b'{"app_access_key": "a", "app_access_key": "b"}', "standard input: has a duplicate key"),
    (b"\xef\xbb\xbf" + DEMO["100ms"].encode(), "standard input: begins with a byte order mark"),
    (DEMO["100ms"].encode("utf-16"), "standard input: is UTF-16"),
    (b'{"app_secret": "\xff"}', "standard input: is not UTF-8 (byte 17)"),
]
WRONG = [
    ("{}", "app_secret: is missing"),
    (DEMO["agora"], "app_access_key: is missing"),
    (json.dumps({"app_access_key": "a", "app_secret": "correct-horse"}), "app_secret: is shorter than 32 bytes"),
    (
        json.dumps({"app_access_key": "a", "app_secret": values("100ms")[1] + "\n"}),
        "app_secret: contains a space, a line",
    ),
    (
        json.dumps(dict(zip(json.loads(DEMO["100ms"]), values("100ms")[::-1], strict=True))),
        "app_secret: is shorter than 32 bytes (another value",
    ),
]


@pytest.mark.parametrize(("text", "why"), UNREADABLE)
def test_input_that_is_not_a_json_object_is_wrong_usage(account: Account, text: bytes, why: str) -> None:
    name = account.create()
    account.fail("SECRETS_MANAGER")

    result = roomkey("secret", "put", name, "100ms", stdin=text)

    assert (result.status, result.out, account.aws.calls) == (2, "", [])
    assert why in result.err
    assert not any(value in result.err for value in values("100ms"))


def test_a_whole_credentials_file_is_accepted(account: Account) -> None:
    name = account.create()
    file = json.dumps({platform: json.loads(text) for platform, text in DEMO.items()})

    assert roomkey("secret", "put", name, "100ms", stdin=file).status == 0
    assert account.secret(name, "100ms") == DEMO["100ms"]


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_credentials_that_cannot_sign_are_not_stored(account: Account, text: str, why: str) -> None:
    name = account.create()
    account.fail("SECRETS_MANAGER")

    result = roomkey("secret", "put", name, "100ms", stdin=text)

    assert result.status == 1
    assert why in result.err
    assert result.out == ""
    assert account.aws.calls == []
    assert not any(value in result.err for value in values("100ms"))


def test_tokens_are_verified_before_anything_is_stored(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform with wrong tokens: the form of the credentials alone would pass."""
    name = account.create()
    platform = type(PLATFORMS["100ms"])
    real = platform.token
    monkeypatch.setattr(
        platform, "token", lambda *of: "no.token.atall" if of[2].kind is TokenKind.MANAGEMENT else real(*of)
    )

    result = roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"])

    assert result.status == 1
    assert "the management token" in result.err
    assert account.secret(name, "100ms") is None


def test_a_secret_is_never_an_argument(account: Account) -> None:
    assert roomkey("secret", "put", account.create(), "100ms", DEMO["100ms"]).status == 2


def test_unknown_members_are_reported(account: Account) -> None:
    name = account.create()

    result = roomkey("secret", "put", name, "100ms", stdin=json.dumps(json.loads(DEMO["100ms"]) | {"template": "x"}))

    assert result.status == 0
    assert "ignored by the function: template" in result.err


def test_a_dry_run_checks_and_stores_nothing(account: Account) -> None:
    name = account.create("prod")

    result = roomkey("secret", "put", name, "100ms", "--dry-run", stdin=DEMO["100ms"])

    assert result.lines[0] == f"would create the secret roomkey/{name}/100ms"
    assert account.secret(name, "100ms") is None
    assert roomkey("secret", "put", name, "100ms", "--dry-run", stdin="{}").status == 1


def test_production_takes_the_option_since_the_secret_takes_the_input(account: Account) -> None:
    name = account.create("prod")

    assert roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"]).status == 1
    assert account.secret(name, "100ms") is None
    assert roomkey("secret", "put", name, "100ms", "--yes", stdin=DEMO["100ms"]).status == 0
    assert account.secret(name, "100ms") == DEMO["100ms"]


def test_a_prompt_hides_its_input(account: Account) -> None:
    """Run the command in a pseudo-terminal, and type as a person would."""
    name = account.create()
    command = [str(Path(sys.executable).with_name("roomkey")), "secret", "put", name, "100ms"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=dict(os.environ)
    ) as process:
        os.close(theirs)
        screen = b""
        for field, value in json.loads(DEMO["100ms"]).items():
            hidden = field == "app_secret"
            while f"100ms {field}{' (hidden)' if hidden else ''}: ".encode() not in screen:
                screen += os.read(ours, 1024)
            # The prompt may be there an instant before the echo is off.
            while hidden and termios.tcgetattr(ours)[3] & termios.ECHO:
                pass
            os.write(ours, value.encode() + b"\n")
        try:
            while chunk := os.read(ours, 1024):
                screen += chunk
        except OSError:  # Linux reports a closed terminal this way.
            pass
        assert process.wait(timeout=30) == 0, screen
    os.close(ours)

    assert account.secret(name, "100ms") == DEMO["100ms"]
    assert json.loads(DEMO["100ms"])["app_secret"].encode() not in screen


def test_each_value_is_asked_until_it_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Vendor(type(PLATFORMS["100ms"])):  # type: ignore[misc]
        title = "Vendor"
        credential_fields = (
            CredentialField("key", signs=True),
            CredentialField("region", pattern="[a-z]{2}", form="two letters", required=False),
            CredentialField("urls", many=True),
        )

    key = "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp"
    answers = [
        ("Vendor key (hidden)", key),
        ("Vendor region (optional)", "Europe"),
        ("Vendor region (optional)", ""),
        ("Vendor urls (separated by commas)", "a,b"),
    ]
    shown = iter(answers)

    def typed(label: str, **options: object) -> str:
        expected, answer = next(shown)
        assert (label, options["hide_input"]) == (expected, "hidden" in expected)
        return answer

    monkeypatch.setattr(typer, "prompt", typed)

    assert prompt(Vendor()) == {"key": key, "urls": ["a", "b"]}
    assert "region must be two letters" in capsys.readouterr().err


def test_a_key_of_ones_own_encrypts_it(account: Account) -> None:
    name = account.create()
    for key in ("arn:aws:kms:eu-central-1:1:key/a", "arn:aws:kms:eu-central-1:1:key/b"):
        result = roomkey("secret", "put", name, "100ms", "--kms-key", key, stdin=DEMO["100ms"])

        assert result.status == 0, result.err
        assert account.aws.secrets.describe_secret(SecretId=f"roomkey/{name}/100ms")["KmsKeyId"] == key
    assert (
        roomkey("secret", "put", name, "100ms", "--json", "--kms-key", key, stdin=DEMO["100ms"]).json["changed"]
        is False
    )
    assert roomkey("secret", "put", name, "100ms", "--json", stdin=DEMO["100ms"]).json["changed"] is False


def test_a_first_secret_needs_an_environment(account: Account) -> None:
    name = account.environment()

    result = roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"])

    assert (result.status, result.out, account.secret(name, "100ms")) == (1, "", None)
    assert f"environment {name} is unknown in eu-central-1" in result.err


def test_a_first_secret_needs_no_permission_to_read_the_kill_switch(account: Account) -> None:
    name = account.environment()
    account.fail("SSM")
    account.aws.fail(SSM, Failure.error(400, "AccessDeniedException", "no"))

    result = roomkey("secret", "put", name, "100ms", stdin=DEMO["100ms"])

    assert (result.status, account.secret(name, "100ms")) == (0, DEMO["100ms"])
    assert f"check that {name} is the right name" in result.err


def test_a_secret_that_is_there_is_replaced_without_ssm(account: Account) -> None:
    name = account.environment()
    account.aws.put_secret(name, DEMO["100ms"])
    account.fail("SSM")
    account.aws.fail(SSM, Failure.error(500, "InternalServerError", ""))
    new = json.dumps(json.loads(DEMO["100ms"]) | {"app_secret": "another-secret-that-is-long-enough-to-sign"})

    assert roomkey("secret", "put", name, "100ms", stdin=new).status == 0
    assert account.secret(name, "100ms") == new


# --- check -----------------------------------------------------------------------------------------------------------


def test_each_stored_secret_is_tried(account: Account) -> None:
    name = account.environment()
    for platform, text in DEMO.items():
        account.aws.put_secret(name, text, platform)

    result = roomkey("secret", "check", name)

    assert result.status == 0
    assert [line.split(":")[0] for line in result.lines] == [
        *(f"ok    {platform}" for platform in PLATFORMS),
        "-     invites",
    ]
    assert not any(value in result.out for platform in PLATFORMS for value in values(platform))


def test_a_bad_one_is_found_without_being_shown(account: Account) -> None:
    name = account.environment()
    account.aws.put_secret(name, DEMO["agora"], "agora")
    account.aws.put_secret(name, '{"app_access_key": "a", "app_secret": "correct-horse"}')

    result = roomkey("secret", "check", name)
    document = roomkey("secret", "check", name, "--json").json

    assert result.status == 1
    assert "fail  100ms: app_secret: is shorter than 32 bytes" in result.out
    assert "ok    agora" in result.out
    assert "correct-horse" not in result.out + json.dumps(document)
    assert document["good"] is False
    assert {one["platform"]: (one["stored"], len(one["problems"])) for one in document["secrets"]} == {
        **dict.fromkeys((*PLATFORMS, "invites"), (False, 0)),
        "100ms": (True, 1),
        "agora": (True, 0),
    }


def test_a_missing_secret_fails_if_it_was_named_and_no_secret_at_all_fails(account: Account) -> None:
    name = account.environment()

    assert roomkey("secret", "check", name).status == 1
    account.aws.put_secret(name, DEMO["agora"], "agora")
    assert roomkey("secret", "check", name).status == 0
    assert roomkey("secret", "check", name, "agora").status == 0
    assert roomkey("secret", "check", name, "agora", "100ms").status == 1


def test_the_keys_of_invites_are_checked(account: Account) -> None:
    name = account.create()
    assert roomkey("secret", "check", name, "invites").status == 1
    assert roomkey("secret", "put", name, "invites", "--generate", "--yes").status == 0
    result = roomkey("secret", "check", name, "invites")
    assert (result.status, result.out.startswith("ok    invites: valid; an invite was signed and")) == (0, True)

    bad = '{"keys": {"a": "short"}, "current": "a"}'
    account.aws.secrets.put_secret_value(SecretId=f"roomkey/{name}/invites", SecretString=bad)
    result = roomkey("secret", "check", name)
    assert result.status == 1
    assert "fail  invites: keys has a key or an id that roomkey secret put --generate does not make" in result.out


# --- least requests --------------------------------------------------------------------------------------------------


@every_token
def test_every_platform_takes_its_trial_request(platform: str, kind: TokenKind) -> None:
    vendor = PLATFORMS[platform]

    assert parse(vendor, kind, minimal_request(vendor, kind), lifetimes=DEFAULT_LIFETIMES)
