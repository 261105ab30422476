"""The variables of the function's environment."""

import re
from pathlib import Path
from typing import Any

import pytest

import roomkey
from roomkey.dependencies import Dependencies
from roomkey.limits import MAX_LIFETIME
from roomkey.platforms import DEFAULT_PLATFORMS, PLATFORMS
from roomkey.platforms.base import TokenKind
from roomkey.settings import Access, ClaimNames, GroupsFormat, Settings, SettingsError

ALL = {
    "ENVIRONMENT": "prod-eu",
    "PLATFORMS": "100ms",
    "APP_TOKEN_ACCESS": "iam",
    "USER_ID_CLAIM": "https://example.com/user",
    "GROUPS_CLAIM": "cognito:groups",
    "GROUPS_FORMAT": "json",
    "APP_TOKEN_LIFETIME": "600",
    "MANAGEMENT_TOKEN_LIFETIME": "60",
    "MAX_TOKEN_LIFETIME": "7776000",
    "ALLOWED_ORIGINS": "https://app.example.com,http://localhost:5173",
    "INVITE_URL": "https://app.example.com/join?lang=en",
    "AUDIT_USER_IDS": "omit",
    "LOG_LEVEL": "DEBUG",
}

FUNCTION = Path(roomkey.__file__).parent


def _deps(**variables: str) -> Settings:
    return Settings.from_environment({"ENVIRONMENT": "dev", **variables})


def test_every_variable_except_environment_has_a_default() -> None:
    settings = Settings.from_environment({"ENVIRONMENT": "dev"})

    assert settings.environment == "dev"
    assert settings.platforms == DEFAULT_PLATFORMS
    assert settings.app_token_access is Access.JWT
    assert settings.claim_names == ClaimNames(user_id="sub", groups="groups")
    assert settings.lifetimes.default == {TokenKind.APP: 3600, TokenKind.MANAGEMENT: 900}
    assert settings.lifetimes.longest == 86400
    assert settings.allowed_origins == ()
    assert settings.audit_user_ids is True
    assert settings.log_level == "INFO"


def test_every_setting_is_read() -> None:
    settings = Settings.from_environment(ALL)

    assert settings.environment == "prod-eu"
    assert settings.platforms == ("100ms",)
    assert settings.app_token_access is Access.IAM
    assert settings.claim_names == ClaimNames(
        user_id="https://example.com/user", groups="cognito:groups", groups_format=GroupsFormat.JSON
    )
    assert settings.lifetimes.default == {TokenKind.APP: 600, TokenKind.MANAGEMENT: 60}
    assert settings.lifetimes.longest == 7776000
    assert settings.allowed_origins == ("https://app.example.com", "http://localhost:5173")
    assert settings.invite_url == "https://app.example.com/join?lang=en"
    assert settings.audit_user_ids is False
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize("name", [name for name in ALL if name != "ENVIRONMENT"])
def test_empty_is_the_default(name: str) -> None:
    """CloudFormation cannot omit a variable."""
    assert _deps(**{name: ""}) == _deps()


class _Watched(dict[str, str]):
    """Environment variables that record which of them are read."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)

    __iter__ = items = keys = values = None  # type: ignore[assignment]


@pytest.mark.threat("B13")
def test_no_other_variable_is_read() -> None:
    environ = _Watched(ALL)
    Settings.from_environment(environ)
    Dependencies.build(environ, warm_up=True)
    assert {name for name in environ.names if not name.startswith("AWS_")} == ALL.keys()

    reading = [
        path for path in FUNCTION.rglob("*.py") if re.search(r"\benviron\[|getenv|os\.environ", path.read_text())
    ]
    assert [path.name for path in reading] == ["handler.py"]
    assert re.findall(r".*os\.environ.*", reading[0].read_text()) == [
        '_IN_LAMBDA = "AWS_LAMBDA_RUNTIME_API" in os.environ',
        "    return Api(Dependencies.build(os.environ, warm_up=_IN_LAMBDA))",
    ]


@pytest.mark.threat("A20", "J6")
def test_names_in_aws_derive_from_the_environment_alone() -> None:
    assert Settings.from_environment(ALL).kill_switch_name == "/roomkey/prod-eu/disabled"
    assert Settings.from_environment(ALL).policy_name == "/roomkey/prod-eu/policy"
    assert Settings.from_environment(ALL).secret_name("100ms") == "roomkey/prod-eu/100ms"


@pytest.mark.parametrize("name", ["dev", "a", "prod-eu", "x1", "a" * 16, "a-"])
def test_an_environment_has_a_short_plain_name(name: str) -> None:
    assert _deps(ENVIRONMENT=name).environment == name


@pytest.mark.parametrize("names", [("videosdk",), ("agora", "100ms"), tuple(PLATFORMS)], ids=",".join)
def test_platforms_are_those_that_are_named(names: tuple[str, ...]) -> None:
    assert _deps(PLATFORMS=",".join(names)).platforms == names


@pytest.mark.parametrize(("word", "access"), [("jwt", Access.JWT), ("iam", Access.IAM), ("open", Access.OPEN)])
def test_each_way_in_has_its_word(word: str, access: Access) -> None:
    assert _deps(APP_TOKEN_ACCESS=word).app_token_access is access


def test_a_setting_goes_to_its_bounds() -> None:
    assert _deps(MAX_TOKEN_LIFETIME="7776000").lifetimes.longest == 7_776_000 == MAX_LIFETIME
    for name in ("cognito:groups", "https://example.com/groups", "custom:team.x"):
        assert _deps(GROUPS_CLAIM=name).claim_names.groups == name
    assert [_deps(GROUPS_FORMAT=word).claim_names.groups_format for word in GroupsFormat] == list(GroupsFormat)
    assert _deps(USER_ID_CLAIM="!", GROUPS_CLAIM="~" * 128).claim_names == ClaimNames("!", "~" * 128)
    assert [_deps(LOG_LEVEL=level).log_level for level in LEVELS] == LEVELS
    assert [_deps(AUDIT_USER_IDS=word).audit_user_ids for word in ("plain", "omit")] == [True, False]


LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]
LIFETIME = "must be a whole number of seconds from 60 to 7776000"
NESTED = "must name a claim at the top level: API Gateway does not deliver the claims inside another"
RIGHT = {
    "ENVIRONMENT": "must be a name such as dev or prod-eu: a letter, then at most 15 letters, digits or hyphens",
    "PLATFORMS": (f"must be one or more of {', '.join(PLATFORMS)}, joined by commas without spaces or repeats"),
    "APP_TOKEN_ACCESS": "must be jwt, iam or open",
    "APP_TOKEN_LIFETIME": LIFETIME,
    "MANAGEMENT_TOKEN_LIFETIME": LIFETIME,
    "MAX_TOKEN_LIFETIME": LIFETIME,
    "LOG_LEVEL": "must be DEBUG, INFO, WARNING or ERROR",
    "AUDIT_USER_IDS": "must be plain or omit",
    "USER_ID_CLAIM": "must be the name of a claim",
    "GROUPS_CLAIM": NESTED,
    "GROUPS_FORMAT": "must be list, comma or json",
    "INVITE_URL": "must be the https URL of a page, without a fragment",
    "ALLOWED_ORIGINS": (
        "must be origins such as https://app.example.com, joined by commas: lower case, no paths, no *"
    ),
}
"""Invalid values, each with its message."""

BAD = {
    "ENVIRONMENT": ["", "Dev", "1dev", "-dev", "a" * 17, "a_b", "a/b", "../prod", "dev\n", " dev", "dév", "*", "a.b"],
    "PLATFORMS": [
        "carrier-pigeon",
        "100ms,100ms",
        "100ms,",
        ",",
        " 100ms",
        "100MS",
        "100ms;videosdk",
        "*",
        "100ms, agora",
    ],
    "APP_TOKEN_ACCESS": ["OPEN", "none", "jwt,iam", " jwt", "jwt\n", "true", "anyone"],
    "APP_TOKEN_LIFETIME": ["59", "0", "-60", "60.0", "1h", "sixty", "6_0", " 60", "60\n", "\u0666\u0660", "1" * 9],
    "MANAGEMENT_TOKEN_LIFETIME": ["59", "x"],
    "MAX_TOKEN_LIFETIME": ["59", "x", "7776001"],
    "LOG_LEVEL": ["debug", "TRACE", "CRITICAL", "10", " INFO"],
    "AUDIT_USER_IDS": ["true", "PLAIN", "hash"],
    "USER_ID_CLAIM": [" ", "a b", "x" * 129, "\n"],
    "GROUPS_CLAIM": ["realm_access.roles", "resource_access.app.roles"],
    "GROUPS_FORMAT": ["LIST", "csv", "json "],
    "INVITE_URL": ["join", "http://a.example/", "https://a.example/#x", "https://a b", "javascript:x", "https://"],
    "ALLOWED_ORIGINS": [
        *(
            "*",
            "https://*",
            "https://*.example.com",
            "null",
            "app.example.com",
            "//app.example.com",
            "ftp://x",
            "file://",
        ),
        *(
            "https://a.example, https://b.example",
            "https://a.example,",
            ",",
            " https://a.example",
            "https://a.example/",
        ),
        *("https://a.example/path", "https://", "https://a.example\n", "https://a.example;https://b.example "),
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_an_invalid_value_is_refused_by_variable(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _deps(**{name: text})

    assert str(caught.value) == f"{name} {RIGHT[name] if text else 'must be set'}"


def test_all_mistakes_are_reported_together() -> None:
    wrong = {name: texts[0] for name, texts in BAD.items()}

    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(wrong)

    assert sorted(problem.split()[0] for problem in str(caught.value).split("; ")) == sorted(BAD)


def test_nothing_at_all_is_not_an_environment() -> None:
    with pytest.raises(SettingsError, match=r"^ENVIRONMENT must be set$"):
        Settings.from_environment({})


def test_a_stack_that_allows_less_than_a_platforms_shortest_lifetime_does_not_start() -> None:
    environ = {"ENVIRONMENT": "dev", "PLATFORMS": "100ms,agora", "MAX_TOKEN_LIFETIME": "119"}
    with pytest.raises(SettingsError, match="MAX_TOKEN_LIFETIME must be at least 120 for app tokens of agora"):
        Dependencies.build(environ)
    assert Dependencies.build({**environ, "PLATFORMS": "100ms"}).platforms.keys() == {"100ms"}
