"""`roomkey policy`: check, test and explain at a terminal or in a pipeline."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from roomkey.limits import MAX_POLICY_BYTES
from roomkey.platforms import PLATFORM_NAMES, PLATFORMS
from roomkey_cli.aws.parameters import MAX_STANDARD_BYTES
from roomkey_cli.commands import policy
from roomkey_cli.data import DATA, POLICIES
from roomkey_cli.policy import lint, simulate

DOCS = Path(__file__).parents[2] / "docs"
WORKED = ("open", "classroom", "tenants", "platforms")
UUID = "0123456789abcdef0123456789abcdef"

RULE: dict[str, Any] = {
    "who": ["signed-in"],
    "kinds": ["app"],
    "platforms": ["100ms"],
    "roles": ["host"],
    "rooms": ["*"],
}


def run(*arguments: str | Path) -> tuple[int, list[str], str]:
    """Return exit status, lines on standard output, and standard error."""
    result = CliRunner().invoke(policy.app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout.splitlines(), result.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.json"


def write(file: Path, *rules: Any, **fields: Any) -> Path:
    file.write_text(json.dumps({"version": 1, "mode": "enforce", "rules": list(rules), **fields}))
    return file


def warnings_of(file: Path, **fields: Any) -> list[tuple[str, str]]:
    """Return the warnings for a policy of one rule: `RULE` with `fields` replaced."""
    one = {name: value for name, value in {**RULE, **fields}.items() if value is not ...}
    read = lint.read(write(file, one))
    assert read.policy
    return [(warning.where, warning.why) for warning in read.warnings]


# --- the worked policies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORKED)
def test_a_worked_policy_is_valid(name: str) -> None:
    status, [*warnings, line], _ = run("check", POLICIES / f"{name}.json")

    assert status == 0
    assert all(warning.endswith("platforms includes every platform that a later deploy adds") for warning in warnings)
    assert line.startswith(f"{POLICIES / name}.json: ")
    assert line.endswith(" bytes minified (standard tier)")


@pytest.mark.parametrize("name", WORKED)
def test_a_worked_policy_passes_its_cases(name: str) -> None:
    cases = POLICIES / f"{name}.cases.csv"
    count = len(cases.read_text().splitlines()) - 1

    assert run("test", POLICIES / f"{name}.json", cases) == (0, [f"{count} cases, all as expected"], "")


@pytest.mark.parametrize("name", WORKED)
def test_the_cases_of_a_worked_policy_reach_each_of_its_rules(name: str) -> None:
    rules = json.loads((POLICIES / f"{name}.json").read_text())["rules"]
    expected = [row["expect"] for row in csv.DictReader(io.StringIO((POLICIES / f"{name}.cases.csv").read_text()))]

    named = {one.partition(" ")[2] for one in expected}
    assert {one["name"] for one in rules} <= named | {"teachers write on whiteboards", "students read whiteboards"} | {
        "students take part on VideoSDK"
    }
    assert "deny" in expected


def test_every_policy_in_the_pages_is_valid_and_has_no_warning() -> None:
    found = [
        (page.name, lint.parse(block.encode()))
        for page in sorted((DATA.parents[2] / "docs").rglob("*.md"))
        for block in re.findall(r"^```json\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        if '"rules"' in block
    ]

    assert {"policy.md", "invites.md"} <= {name for name, _ in found}
    assert [(name, one.problems + one.warnings) for name, one in found if one.problems or one.warnings] == []


# --- check: problems -------------------------------------------------------------------------------------------------

BROKEN = """\
{
  "version": 2,
  "rules": [
    {
      "who": [
        "anyone",
        {"group": "a*"}
      ],
      "kinds": ["app", "apps"],
      "platforms": ["agora"],
      "stray": 1
    },

    { "who": ["anyone"],
      "kinds": ["app"] },
    7,
    {
      "name": null, "who": ["anyone"], "kinds": ["app"], "platforms": ["*"], "rooms": [
        "{x}"] } ]
}
"""

RULE_FIELDS = (
    "must have only the fields who, kinds, platforms, name, roles, services, rooms, max_lifetime, may_set, agents"
)

PROBLEMS = [
    (1, "mode", "is missing"),
    (2, "version", "must be 1"),
    (7, "rules[0].who[1]", "must name one group, without brackets, braces, * or outer spaces"),
    (9, "rules[0].kinds[1]", '"apps" is unknown: did you mean app?'),
    (
        11,
        "rules[0].stray",
        "is unknown: known are who, kinds, platforms, name, roles, services, rooms, max_lifetime, may_set, agents",
    ),
    (14, "rules[1].platforms", "is missing"),
    (16, "rules[2]", "must be an object"),
    (18, "rules[3].name", "must not be null"),
    (19, "rules[3].rooms[0]", "must be text with * for anything, {sub} or {claim:name}"),
]


def test_each_problem_has_its_line_place_and_reason(file: Path) -> None:
    file.write_text(BROKEN)

    status, lines, errors = run("check", file)

    assert (status, errors) == (1, "")
    assert lines == [f"{file}:{line}: {where} {why}" for line, where, why in PROBLEMS]


def test_a_program_is_document_the_same(file: Path) -> None:
    file.write_text(BROKEN)

    status, [line], _ = run("check", file, "--json")

    document = json.loads(line)
    assert status == 1
    assert [(one["line"], one["where"], one["why"]) for one in document.pop("problems")] == PROBLEMS
    assert document == {
        "file": str(file),
        "mode": None,
        "rules": None,
        "bytes": len(json.dumps(json.loads(BROKEN), separators=(",", ":"))),
        "tier": "standard",
        "warnings": [],
    }


def test_a_program_is_document_that_all_is_well(file: Path) -> None:
    status, [line], _ = run("check", write(file, RULE, mode="audit"), "--json")

    document = json.loads(line)
    assert status == 0
    assert (document["mode"], document["rules"], document["tier"], document["problems"]) == ("audit", 1, "standard", [])
    assert [(one["line"], one["where"]) for one in document["warnings"]] == [(1, "mode")]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "policy is empty"),
        (" \n", 1, "policy is empty"),
        ("version: 1", 1, "policy is not JSON: line 1, column 1: expecting value"),
        ('{\n "version": 1,\n "mode": oops }', 3, "policy is not JSON: line 3, column 10: expecting value"),
        ('{\n "version": 1\n "mode": "enforce" }', 3, "policy is not JSON: line 3, column 2: expecting ',' delimiter"),
        ('{"rules": []}\n\n{}', 3, "policy is not JSON: line 3, column 1: extra data"),
        ('\ufeff{"rules": []}', 1, "policy begins with a byte order mark: save it without one"),
        ('{\n "mode": "a",\n "rules": [],\n "mode": "b" }', 4, "policy has a duplicate key"),
        ('{"rules": [\n {"who": [{"user": "a",\n "user": "b"}]}]}', 3, "rules[0].who[0] has a duplicate key"),
        ('{"version": 1,\n "rules": [NaN]}', 2, "rules[0] is not a number in JSON"),
        ('{"version":\n -Infinity}', 2, "version is not a number in JSON"),
        ('{"version": 1,\n "rules": [{"max_lifetime":\n 1e999}]}', 3, "rules[0].max_lifetime is not a number"),
        ("[" * 100_000, 1, "policy has a number that is too long, or is nested too deeply"),
        ("[" * 3000 + "]" * 3000, 1, "policy has a number that is too long, or is nested"),
        ("1" * 5000, 1, "policy has a number that is too long, or is nested too deeply"),
        ("[]", 1, "policy must be an object"),
        ('\n\n"x"', 3, "policy must be an object"),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_json_with_extensions_is_refused_with_its_line(file: Path, text: str, line: int, why: str) -> None:
    file.write_text(text)

    status, [document], _ = run("check", file)

    assert status == 1
    assert document.startswith(f"{file}:{line}: {why}")


def test_bytes_that_are_not_text_have_a_line(file: Path) -> None:
    file.write_bytes(b'{\n"version": 1,\n"mode": "\xff"}')

    assert run("check", file) == (1, [f"{file}:3: policy is not UTF-8"], "")


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        ({"groups": ["staff"]}, "who[0].groups is unknown: did you mean group?"),
        ({"group": "staff", "users": "ada"}, "who[0].users is unknown: did you mean user?"),
        ({"email": "ada"}, 'who[0].email is unknown: the subject must be "anyone", '),
        ("signed_in", 'who[0] "signed_in" is unknown: did you mean signed-in?'),
        ("everyone", 'who[0] "everyone" is unknown: did you mean anyone?'),
        ("admin", 'who[0] must be "anyone", '),
        (7, 'who[0] must be "anyone", '),
    ],
    ids=str,
)
def test_a_mistyped_subject_has_a_suggestion(file: Path, subject: Any, why: str) -> None:
    status, [line], _ = run("check", write(file, {**RULE, "who": [subject]}))

    assert status == 1
    assert line.startswith(f"{file}:1: rules[0].{why}")


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    commands: list[list[Any]] = [["check"], ["test", POLICIES / "open.cases.csv"]]
    for command in commands:
        status, lines, errors = run(command[0], tmp_path / "none.json", *command[1:])
        assert (status, lines) == (2, [])
        assert errors == f"roomkey: {tmp_path / 'none.json'}: No such file or directory\n"
    assert run("check", tmp_path)[0] == 2
    assert run("check")[0] == 2
    assert run("check", "--strange", POLICIES / "open.json")[0] == 2


def test_no_control_character_reaches_the_terminal(file: Path) -> None:
    name = "\x1b[2J\ud800\u202e"

    write(file, {**RULE, "rooms": [name]})
    status, lines, _ = run(
        "explain", file, "--as", "user:ada", "--platform", "100ms", "--room", "r", "--role", "\x1b[31m"
    )
    assert (status, lines) == (2, [])
    write(file.with_name("\x1b[31m.json"), RULE)
    assert "\x1b" not in "".join(run("check", file.with_name("\x1b[31m.json"))[1])


# --- check: size -----------------------------------------------------------------------------------------------------


def of_size(file: Path, size: int, filler: str = "x") -> Path:
    """Return a policy of exactly this size when minified, and larger as written."""
    whole: dict[str, Any] = {"version": 1, "mode": "enforce", "rules": [{**RULE, "rooms": [""]}]}
    rest = size - len(json.dumps(whole, separators=(",", ":")))
    count, more = divmod(rest, len(filler.encode()))
    whole["rules"][0]["rooms"] = [filler * count + "x" * more]
    file.write_text(json.dumps(whole, indent=40, ensure_ascii=False))
    return file


@pytest.mark.parametrize(
    ("size", "tier"), [(4095, "standard"), (4096, "standard"), (4097, "advanced"), (8192, "advanced")]
)
@pytest.mark.parametrize("filler", ["x", "\u00e9", "\U0001f600"])
def test_the_size_is_in_stored_bytes(file: Path, size: int, tier: str, filler: str) -> None:
    status, lines, _ = run("check", of_size(file, size, filler))

    assert status == 0
    assert lines[-1] == f"{file}: 1 rule, mode enforce, {size} bytes minified ({tier} tier)"


def test_a_policy_too_large_for_ssm_is_a_problem(file: Path) -> None:
    assert run("check", of_size(file, 8193)) == (
        1,
        [f"{file}:1: policy has 8193 bytes minified; SSM's limit is 8192"],
        "",
    )
    assert json.loads(run("check", file, "--json")[1][0])["tier"] is None
    assert run("test", file, POLICIES / "open.cases.csv")[0] == 2


def test_minified_it_is_the_same_document(file: Path) -> None:
    for name in WORKED:
        path = POLICIES / f"{name}.json"
        read = lint.read(path)
        assert read.minified
        assert json.loads(read.minified) == json.loads(path.read_text())
        assert read.minified == json.dumps(json.loads(path.read_text()), separators=(",", ":"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    ),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_minified_without_a_change_and_has_lines(
    file: Path, whole: Any, indent: int | str | None, as_ascii: bool
) -> None:
    text = json.dumps(whole, indent=indent, ensure_ascii=as_ascii)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    read = lint.read(file)

    assert read.problems  # None of these is a policy.
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in read.problems)
    if read.minified is not None:
        assert json.loads(read.minified) == whole
        assert read.minified == json.dumps(whole, separators=(",", ":"), ensure_ascii=as_ascii)


# --- check: warnings -------------------------------------------------------------------------------------------------

IAM_USER = "arn:aws:iam::111122223333:user/backend"
MANAGE: dict[str, Any] = {
    "who": [{"principal": IAM_USER}],
    "kinds": ["management"],
    "rooms": ...,
    "roles": ...,
}
OPENS = "needs a separator between a placeholder and the wildcard or placeholder next to it"
NOT_TAKEN = "is not accepted by any platform of the rule"
JWT_ONLY = "matches only for callers with a JWT: other callers have no user id and no claims"
ALL_PLATFORMS = ("rules[0].platforms", "includes every platform that a later deploy adds")
FEDERATED = "also matches federated users, whose names callers of sts:GetFederationToken choose"
NO_CALLER = "matches no caller: write arn:aws:iam::ACCOUNT:role/NAME, user/NAME or root, with the account's 12 digits"
NO_CALLERS = [
    *(
        "backend",
        "*:backend",
        "*:roles/backend",
        " arn:aws:iam::111122223333:role/x",
        "ARN:aws:iam::111122223333:role/x",
    ),
    *("arn:aws:iam::111122223333", "arn:awscn:iam::111122223333:role/x", "arn:aws:iam:111122223333:role/x"),
    *("arn:aws:iam:eu-west-1:111122223333:role/x", "arn:aws:sts::111122223333:role/x", "arn:aws:lambda:*:function:x"),
    *(f"arn:aws:iam::{account}:role/x" for account in ("ACCOUNT", "1111-2222-3333", "11112222333", "11112222333*4567")),
    *(f"arn:aws:iam::111122223333:{name}" for name in ("roles/x", "role:x", "role/", "user/", "role/x ", "role/x y")),
    *(f"arn:aws:iam::111122223333:{name}" for name in ("group/x", "instance-profile/x", "policy/*", "root/x", "roo?")),
]
ANY_ACCOUNT = "matches in every AWS account: write the account id"

CAPITALS = "never grants app tokens for jitsi: its rooms have capital letters, and rooms there are in lower case"
NO_SUCH_ROOM = "its rooms match no id that the vendor generates, such as"
IN_NAMED_ROOMS: dict[str, Any] = {"platforms": ["livekit"], "roles": ["viewer"]}
NO_ENDPOINT = "has no effect: only an app token of livekit can have it"
WARNINGS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, []),
    # Never granted.
    ({"roles": ...}, [("rules[0]", "never grants app tokens for 100ms: the rule has no roles")]),
    ({"rooms": ...}, [("rules[0]", "never grants app tokens for 100ms: the rule has no rooms")]),
    (
        {"rooms": ..., "roles": ...},
        [("rules[0]", "never grants app tokens for 100ms: the rule has no rooms, the rule has no roles")],
    ),
    (
        {"platforms": ["100ms", "agora"], "roles": ["publisher"]},
        [("rules[0]", "never grants app tokens for agora: the rule has no services")],
    ),
    ({"platforms": ["agora"], "roles": ["publisher"], "services": ["rtm"]}, []),
    ({"platforms": ["*"], "services": ["*"]}, [ALL_PLATFORMS]),
    (
        {"platforms": ["100ms", "videosdk", "livekit"]},
        [("rules[0]", "never grants app tokens for videosdk, livekit: none of its roles exists there")],
    ),
    ({"platforms": ["*"], "services": ["*"], "roles": ["*"]}, [ALL_PLATFORMS]),
    ({"platforms": ["*"], "services": ["*"], "roles": ["host", "publisher", "reader", "guest"]}, [ALL_PLATFORMS]),
    (
        {**MANAGE, "platforms": ["agora-whiteboard", "100ms"]},
        [("rules[0]", "never grants management tokens for agora-whiteboard: the rule has no roles")],
    ),
    ({**MANAGE, "platforms": ["agora-whiteboard", "100ms"], "roles": ["admin"]}, []),
    (
        {**MANAGE, "platforms": ["agora-whiteboard"], "roles": ["a*"]},
        [],
    ),
    (
        {**MANAGE, "who": [{"group": "g"}, {"user": "u"}]},
        [("rules[0]", "never grants management tokens for 100ms: they need an IAM principal in who")],
    ),
    (
        {"kinds": ["*"], "who": [{"group": "g"}]},
        [("rules[0]", "never grants management tokens for 100ms: they need an IAM principal in who")],
    ),
    ({"kinds": ["*"], "who": [{"group": "g"}, {"principal": "*"}]}, []),
    # Without effect.
    ({**MANAGE, "roles": ["*"]}, [("rules[0].roles", "has no effect: the rule's tokens have no roles")]),
    ({"services": ["*"]}, [("rules[0].services", "has no effect: the rule's tokens have no services")]),
    # Misspelt.
    (
        {"platforms": ["videosdk"], "roles": ["moderator", "host"]},
        [("rules[0].roles[1]", NOT_TAKEN)],
    ),
    ({"platforms": ["videosdk", "100ms"], "roles": ["moderator", "host"]}, []),
    ({"platforms": ["agora-whiteboard"], "roles": ["reader"], "rooms": [UUID, "*", "a*"]}, []),
    (
        {"platforms": ["agora-whiteboard"], "roles": ["reader"], "rooms": [UUID, "lobby"]},
        [("rules[0].rooms[1]", NOT_TAKEN)],
    ),
    (
        {"platforms": ["agora-whiteboard"], "roles": ["reader"], "rooms": ["lobby"]},
        [
            ("rules[0]", "never grants app tokens for agora-whiteboard: none of its rooms exists there"),
            ("rules[0].rooms[0]", NOT_TAKEN),
        ],
    ),
    # Subjects.
    *(
        (
            {**MANAGE, "who": [who]},
            [
                (
                    "rules[0].who[0]",
                    'means any IAM principal for management tokens: write {"principal": "*"} in a separate rule',
                )
            ],
        )
        for who in ("anyone", "signed-in")
    ),
    ({"who": ["anyone"]}, []),
    (
        {"who": [{"group": "Hosts"}, {"group": "Room Hosts"}]},
        [
            (
                "rules[0].who[1]",
                "matches only with GroupsFormat comma or json: API Gateway separates a list's names by spaces",
            )
        ],
    ),
    *(
        ({"who": [{"principal": arn}]}, [("rules[0].who[0]", why) for why in reasons])
        for arn, reasons in {
            "*": [],
            IAM_USER: [],
            "arn:aws:iam::111122223333:user/path/backend": [],
            "arn:aws:iam::111122223333:role/backend": [],
            "arn:aws:iam::111122223333:role/*": [],
            "*:role/backend": [ANY_ACCOUNT],
            "arn:aws:iam::1111*:role/backend": [ANY_ACCOUNT],
            "arn:aws:iam::111122223333*": [],
            "*111122223333:role/backend": [],
            "arn:aws:iam::*:role/backend": [ANY_ACCOUNT],
            "arn:aws:iam::*": [ANY_ACCOUNT],
            "*backend": [ANY_ACCOUNT, FEDERATED],
            "arn:aws:*:111122223333:*backend": [FEDERATED],
            "arn:aws:sts::111122223333:*": [FEDERATED],
            "arn:aws-cn:sts::111122223333:*": [FEDERATED],
            "arn:aws-us-gov:*:111122223333:*": [FEDERATED],
            "arn:aws:sts::111122223333:federated-user/backend": [],
            "arn:aws:iam::111122223333:root": [],
            "arn:aws:iam::111122223333:ro*": [],
            "arn:aws-cn:iam::111122223333:user/*": [],
            "arn:aws-us-gov:iam::111122223333:role/a+b": [],
            "arn:aws:iam::1111*3333:role/*": [ANY_ACCOUNT],
            "*user/backend": [ANY_ACCOUNT, FEDERATED],
            **{arn: [NO_CALLER] for arn in NO_CALLERS},
            "arn:aws:sts::111122223333:assumed-role/backend/*": [
                "matches no caller: sessions are matched by their role, arn:aws:iam::ACCOUNT:role/NAME"
            ],
            "arn:aws:iam::111122223333:role/service/backend": [
                "matches no session of the role: the ARN of a session's role has no path"
            ],
        }.items()
    ),
    # Rooms.
    ({**IN_NAMED_ROOMS, "rooms": ["user-{sub}", "tenant-{claim:org}-*", "{claim:a}-{claim:b}", "*-{sub}"]}, []),
    *(({"rooms": ["x", room]}, [("rules[0].rooms[1]", OPENS)]) for room in ("{sub}*", "*{claim:org}", "{sub}{sub}")),
    ({**IN_NAMED_ROOMS, "who": ["anyone"], "rooms": ["user-{sub}", "x"]}, [("rules[0].rooms[0]", JWT_ONLY)]),
    ({**IN_NAMED_ROOMS, "who": [{"group": "g"}, {"principal": "*"}], "rooms": ["user-{sub}", "x"]}, []),
    (
        {**IN_NAMED_ROOMS, "who": [{"principal": "*"}], "rooms": ["x", "t-{claim:org}-*"]},
        [("rules[0].rooms[1]", "matches no room: the callers in who have no user id and no claims")],
    ),
    *(
        ({"platforms": [name], "roles": ["*"], "rooms": ["class-*", *wrong]}, [("rules[0]", warning)])
        for name, wrong in {
            "100ms": ["6*-*", "0" * 25 + "*", "{sub}-x"],
            "videosdk": ["*-7", "a-*", "bmej-gdmc-dchc-*"],
            "agora-whiteboard": ["0*-*0-00", "*g*"],
        }.items()
        for warning in (f"never grants app tokens for {name}: {NO_SUCH_ROOM} {PLATFORMS[name].example['room_id']}",)
    ),
    *(
        ({"platforms": [name], "roles": ["*"], "rooms": ["class-*", room]}, [])
        for name, room in (
            *(("100ms", room) for room in ("6*", "*c4*b", "{sub}", "633fcdd84208780bf665346a", "*" * 9)),
            *(("videosdk", room) for room in ("bmej-*", "*-dchc", "*-0*-*", "{claim:org}-*")),
            *(("agora-whiteboard", room) for room in ("534c*", "*-*-*-*-*")),
        )
    ),
    # Lifetimes.
    ({"max_lifetime": 86400}, []),
    *(
        ({"platforms": ["jitsi"], "roles": ["moderator"], "rooms": [room]}, [("rules[0]", CAPITALS)])
        for room in ("Class-7", "Class-*")
    ),
    ({"platforms": ["jitsi"], "roles": ["moderator"], "rooms": ["Class-7", "class-*"]}, []),
    (
        {"who": ["signed-in"], "kinds": ["invite"], "max_lifetime": 299},
        [("rules[0].max_lifetime", "grants no invite: their lifetime is at least 300 s")],
    ),
    ({"who": ["signed-in"], "kinds": ["invite"], "max_lifetime": 300}, []),
    ({"max_lifetime": 86401}, [("rules[0].max_lifetime", "is more than the stack's MaxTokenLifetime (default 86400)")]),
    (
        {"platforms": ["agora"], "roles": ["publisher"], "services": ["rtc"], "max_lifetime": 119},
        [("rules[0].max_lifetime", "grants no app token for agora: their lifetime is at least 120 s")],
    ),
    # Entries that match nothing, or repeat another.
    *(
        ({"who": [{"user": user}]}, [("rules[0].who[0]", f"matches no caller: a user id {why}")])
        for user, why in {
            "guest-*": "must not begin with guest-: such ids are of guests",
            "Guest-7": "must not begin with guest-: such ids are of guests",
            " a": "must not begin or end with a space",
            "a* ": "must not begin or end with a space",
            "null": "must not be the text that a program prints for a missing value",
        }.items()
    ),
    *(({"who": [{"user": user}]}, []) for user in ("*", "guest*", "*-guest-*", "a b")),
    ({"who": [{"group": "a\u200b"}]}, [("rules[0].who[0]", "has a character that shows nothing")]),
    ({"roles": ["host", "Host\u200b*"]}, [("rules[0].roles[1]", "has a character that shows nothing")]),
    ({"who": [{"user": "a"}, "signed-in", {"user": "a"}]}, [("rules[0].who[2]", "is a duplicate")]),
    *(
        ({name: [entry, entry]}, [(f"rules[0].{name}[1]", "is a duplicate")])
        for name, entry in {"kinds": "app", "platforms": "100ms", "roles": "host", "rooms": "*"}.items()
    ),
    # Members for LiveKit's own endpoint, and rooms that a request can leave out.
    ({"platforms": ["livekit"], "roles": ["viewer"], "may_set": ["metadata"], "agents": ["a"]}, []),
    ({"may_set": ["metadata"], "agents": ["a"]}, [(f"rules[0].{name}", NO_ENDPOINT) for name in ("may_set", "agents")]),
    (
        {"platforms": ["livekit"], "kinds": ["invite"], "roles": ["viewer"], "agents": ["a"]},
        [("rules[0].agents", NO_ENDPOINT)],
    ),
    (
        {"platforms": ["stream"], "roles": ["user"], "rooms": ...},
        [("rules[0]", "never grants app tokens for stream: the rule has no rooms")],
    ),
    ({"platforms": ["twilio"], "services": ["video", "chat"], "roles": ..., "rooms": ...}, []),
]


@pytest.mark.parametrize(("fields", "warnings"), WARNINGS, ids=[str(fields) for fields, _ in WARNINGS])
def test_a_rule_that_is_probably_a_mistake_is_a_warning(
    file: Path, fields: dict[str, Any], warnings: list[tuple[str, str]]
) -> None:
    assert sorted(warnings_of(file, **fields)) == sorted(warnings)


def test_a_policy_that_denies_everything_or_nothing_is_a_warning(file: Path) -> None:
    assert run("check", write(file)) == (
        0,
        [
            f"{file}:1: warning: rules is empty: every request is denied",
            f"{file}: 0 rules, mode enforce, 41 bytes minified (standard tier)",
        ],
        "",
    )
    status, lines, _ = run("check", write(file, mode="audit"))
    assert (status, len(lines)) == (0, 2), "nothing is denied, with or without rules"
    assert lines[0] == f"{file}:1: warning: mode denies nothing: requests that no rule grants are minted, and recorded"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"version": 1, "mode": "enforced", "rules": []}', 'mode "enforced" is unknown: did you mean enforce?'),
        ('{"version": 1, "mod": "audit", "mode": "audit", "rules": []}', "mod is unknown: did you mean mode?"),
        ('{"rules": [{"kind": ["app"]}]}', "rules[0].kind is unknown: did you mean kinds?"),
        ('{"rules": [{"platforms": ["100sm"]}]}', 'rules[0].platforms[0] "100sm" is unknown: did you mean 100ms?'),
        ('{"rules": [{"services": ["rtcc"]}]}', 'rules[0].services[0] "rtcc" is unknown: did you mean rtc?'),
        ('{"rules": [{"kinds": ["zzz"]}]}', 'rules[0].kinds[0] "zzz" is unknown: it must be one of app, management'),
    ],
)
def test_a_wrong_word_is_named_with_the_right_one(file: Path, text: str, problem: str) -> None:
    file.write_text(text)

    assert any(line.startswith(f"{file}:1: {problem}") for line in run("check", file)[1])


def test_warnings_come_in_the_order_of_the_file(file: Path) -> None:
    rules = [{**RULE, "max_lifetime": 10**6}, {**RULE, "roles": ["x"], "services": ["rtc"], "platforms": ["videosdk"]}]
    file.write_text(json.dumps({"version": 1, "mode": "enforce", "rules": rules}, indent=1))

    _, lines, _ = run("check", file)

    numbers = [int(line.removeprefix(f"{file}:").partition(":")[0]) for line in lines[:-1]]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 4


# --- test ------------------------------------------------------------------------------------------------------------

CLASSROOM = POLICIES / "classroom.json"


def table(tmp_path: Path, *rows: str, header: str = "as,groups,kind,platform,room,role,lifetime,expect") -> Path:
    path = tmp_path / "cases.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_an_unexpected_decision_has_its_line_and_the_decision(tmp_path: Path) -> None:
    cases = table(
        tmp_path,
        "user:tess,teachers,app,100ms,r,host,,allow",
        "user:tess,teachers,app,100ms,r,host,,deny",
        "user:stu,students,app,100ms,r,host,,allow",
        "",
        "user:tess,teachers,app,100ms,r,host,14401,allow",
        "user:tess,teachers,app,100ms,r,host,,allow teachers moderate on VideoSDK",
        "user:stu,students,app,100ms,r,host,,deny teachers host on 100ms",
        "user:tess,teachers,management,100ms,,,,allow",
        "user:*,teachers,app,agora,class-1,publisher,,allow",
    )

    status, lines, errors = run("test", CLASSROOM, cases)

    assert (status, errors) == (1, "")
    by = '"teachers host on 100ms"'
    tess = "as=user:tess groups=teachers kind=app platform=100ms room=r role=host"
    assert lines[:2] == [f"{cases}:3: {tess}", f"  allowed, expected deny: by {by}, for at most 14400 s"]
    assert [line for line in lines if line.startswith("  ") and "expected" in line] == [
        f"  allowed, expected deny: by {by}, for at most 14400 s",
        "  denied, expected allow: no rule grants it",
        f"  denied, expected allow: {by} grants it for at most 14400 s",
        f"  allowed, expected allow teachers moderate on VideoSDK: by {by}, for at most 14400 s",
        "  denied, expected deny teachers host on 100ms: no rule grants it",
        "  denied, expected allow: a management token always needs an IAM principal",
        "  denied, expected allow: agora does not accept this user id",
    ]
    assert "      who: needs group teachers; stu is in students" in lines
    assert lines[-1] == "8 cases, 7 not as expected"


@pytest.mark.parametrize(("groups", "status"), [("Room Hosts,", 0), ("staff, Room Hosts", 0), ("Room Hosts", 1)])
def test_commas_separate_groups_with_spaces(tmp_path: Path, groups: str, status: int) -> None:
    policy = tmp_path / "policy.json"
    rule = {"who": [{"group": "Room Hosts"}], "kinds": ["app"], "platforms": ["turn"]}
    policy.write_text(json.dumps({"version": 1, "mode": "enforce", "rules": [rule]}))
    cases = tmp_path / "cases.csv"
    cases.write_text(f'as,groups,kind,platform,expect\nuser:ada,"{groups}",app,turn,allow\n')

    assert run("test", policy, cases)[0] == status


INVALID_CASES = {
    "user:tess,teachers,app,100ms,r,host,soon,deny": "lifetime must be a whole number of seconds",
    "user:tess,teachers,app,100ms,r,host,59,deny": "lifetime must be from 60 to 7775970 seconds",
    "user:tess,teachers,app,agora,r,publisher,86401,deny": "lifetime must be from 120 to 86400 seconds",
    "user:tess,teachers,app,agora,r,publsher,,deny": "role must be one of publisher, subscriber",
    "user:tess,teachers,app,100ms,,host,,deny": "room is missing",
    "user:tess,teachers,app,100ms,,,,deny": "room is missing; role is missing",
    "user:tess,teachers,app,agora-whiteboard,lobby,reader,,deny": (
        "room must be the room's uuid: 32 hexadecimal digits in lower case, with or without dashes"
    ),
    "user:tess,teachers,management,100ms,r,,,deny": "room is not a field of this request",
    "user:tess,teachers,app,zoom,r,host,,deny": f"platform must be one of {', '.join(PLATFORM_NAMES)}",
    "user:tess,teachers,App,100ms,r,host,,deny": "kind must be one of app, management, invite: did you mean app?",
    "user:tess,teachers,app,100sm,r,host,,deny": (
        f"platform must be one of {', '.join(PLATFORM_NAMES)}: did you mean 100ms?"
    ),
    "tess,teachers,app,100ms,r,host,,deny": "as must be user:ID if there are groups or claims",
    "anyone,teachers,app,100ms,r,host,,deny": "as must be user:ID if there are groups or claims",
    "anyone:x,,app,100ms,r,host,,deny": "as must be anyone, invite, user:ID or principal:ARN",
    "signed-in,,app,100ms,r,host,,deny": "as must be anyone, invite, user:ID or principal:ARN",
    ",,app,100ms,r,host,,deny": "as must be anyone, invite, user:ID or principal:ARN",
    "principal:backend,,app,100ms,r,host,,deny": "as must be anyone, invite, user:ID or principal:ARN",
    "principal:arn:aws:iam::1:role/path/x,,management,100ms,,,,deny": ("as must name a role without its path"),
    "user:,,app,100ms,r,host,,deny": "as has an invalid user id: it must not be empty",
    "user:a\x00b,,app,100ms,r,host,,deny": (
        "as has an invalid user id: it must not contain control or private characters"
    ),
    **dict.fromkeys(
        (f"user:tess,{groups},app,100ms,r,host,,deny" for groups in ("a  b", "[teachers]", '"a,,b"')),
        "groups must be names without brackets, separated by one space, or by commas",
    ),
}


@pytest.mark.parametrize("row", INVALID_CASES)
def test_an_invalid_case_fails_even_if_it_expects_a_denial(tmp_path: Path, row: str) -> None:
    cases = table(tmp_path, row)

    assert run("test", CLASSROOM, cases)[1][1:] == [
        f"  invalid case: {INVALID_CASES[row]}",
        "1 case, 1 not as expected",
    ]


@pytest.mark.parametrize("expect", ["", "yes", "Allow", "allowed", "deny,"])
def test_an_expectation_is_allow_or_deny(tmp_path: Path, expect: str) -> None:
    cases = table(tmp_path, f'user:tess,teachers,app,100ms,r,host,,"{expect}"')

    assert run("test", CLASSROOM, cases)[1][1] == "  expect must be allow or deny, optionally followed by a rule's name"


@pytest.mark.parametrize("claims", ["org", "=x", "org=a;org=b", "org=a;", ";"])
def test_claims_that_cannot_be_read_fail_the_case(tmp_path: Path, claims: str) -> None:
    cases = table(
        tmp_path,
        f"user:ada,{claims},app,agora,tenant-a-1,publisher,deny",
        header="as,claims,kind,platform,room,role,expect",
    )

    assert run("test", POLICIES / "tenants.json", cases)[1][1] == (
        "  invalid case: claims must be NAME=VALUE, separated by ; with each name once"
    )


def test_claims_are_separate_columns_with_their_text_unchanged(tmp_path: Path, file: Path) -> None:
    write(file, {**RULE, "rooms": ["{claim:a}/{claim:https://x/b}"]})
    cases = table(
        tmp_path,
        "user:ada,a=1;https://x/b=2=3 4,app,100ms,1/2=3 4,host,allow",
        "user:ada,a=1,app,100ms,1/,host,deny",
        header="as,claims,kind,platform,room,role,expect",
    )

    assert run("test", file, cases) == (0, ["2 cases, all as expected"], "")


def test_defaults_and_other_words_are_the_endpoints(tmp_path: Path, file: Path) -> None:
    write(
        file,
        {**RULE, "platforms": ["videosdk"], "roles": ["moderator"], "name": "video"},
        {**RULE, "platforms": ["agora"], "roles": ["publisher"], "services": ["rtc"], "name": "voice"},
        {"who": [{"principal": "*"}], "kinds": ["*"], "platforms": ["*"], "roles": ["admin"], "name": "boards"},
    )
    cases = table(
        tmp_path,
        "user:u,app,videosdk,r,,allow_mod allow_join,,allow video",
        "user:u,app,videosdk,r,,allow_join,,deny",
        "user:u,app,videosdk,r,moderator,,,allow video",
        "user:u,app,agora,r,publisher,,,allow voice",
        "user:u,app,agora,r,publisher,,rtc,allow voice",
        "user:u,app,agora,r,publisher,,chat rtc,deny",
        f"principal:{IAM_USER},management,agora-whiteboard,,,,,allow boards",
        f"principal:{IAM_USER},management,agora-whiteboard,,reader,,,deny",
        f"principal:{IAM_USER},app,agora,r,publisher,,,allow voice",
        header="as,kind,platform,room,role,permissions,services,expect",
    )

    assert run("test", file, cases) == (0, ["9 cases, all as expected"], "")


def test_invites_are_decided_twice(tmp_path: Path, file: Path) -> None:
    write(
        file,
        {
            **RULE,
            "who": [{"group": "hosts"}],
            "kinds": ["invite"],
            "roles": ["guest"],
            "max_lifetime": 2592000,
            "name": "make",
        },
        {**RULE, "who": ["invite"], "roles": ["guest"], "name": "redeem"},
    )
    cases = table(
        tmp_path,
        "user:ada,hosts,invite,100ms,r,guest,604800,allow make",
        "user:ada,hosts,invite,100ms,r,host,,deny",
        "user:ada,,invite,100ms,r,guest,,deny",
        "anyone,,invite,100ms,r,guest,,deny",
        "invite,,app,100ms,r,guest,,allow redeem",
        "invite,,app,100ms,r,host,,deny",
        "user:ada,hosts,app,100ms,r,guest,,deny",
    )

    assert run("check", file)[1][:-1] == []
    assert run("test", file, cases) == (0, ["7 cases, all as expected"], "")


def test_a_table_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    """A byte order mark, other line ends, another order of columns, quotes, spaces, and empty rows at the end."""
    cases = tmp_path / "cases.csv"
    rows = [
        "expect, platform ,kind,as,groups,role,room",
        '"allow","100ms","app","user:tess","staff teachers","host",r',
        "",
        ",,,,,,",
        " deny , 100ms ,app, user:stu ,students,host,r",
        ",,,,,,",
    ]
    cases.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())

    assert run("test", CLASSROOM, cases) == (0, ["2 cases, all as expected"], "")


HEADER = (
    ":1: needs a header with as, kind, platform, expect; optional: "
    "as, groups, claims, kind, platform, room, role, permissions, services, lifetime, sets, agent, expect"
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", HEADER),
        ("as,kind,platform\n", HEADER),
        ("as,kind,platform,expect,colour\n", ":1: unknown column colour"),
        ("as,kind,platform,expect,romm\n", ":1: unknown column romm: did you mean room?"),
        ("as,kind,platform,expect,as\n", HEADER),
        ("as;kind;platform;expect\n", ":1: unknown column as;kind;platform;expect"),
        ("as,kind,platform,expect\n", ": contains no cases"),
        ("as,kind,platform,expect\nanyone,app,100ms\n", ":2: has more or fewer cells than the header"),
        ("as,kind,platform,expect\n\nanyone,app,100ms,deny,x\n", ":3: has more or fewer cells than the header"),
        ('as,kind,platform,expect\n"anyone"x,app,100ms,deny\n', ": is not CSV in UTF-8"),
        ("as,kind,platform,expect\n\udcff,app,100ms,deny\n", ": is not CSV in UTF-8"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_an_invalid_table_is_wrong_usage(tmp_path: Path, text: str, why: str) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_bytes(text.encode(errors="surrogateescape"))

    assert run("test", CLASSROOM, cases) == (2, [], f"roomkey: {cases}{why}\n")


def test_cases_that_are_not_there_are_wrong_usage(tmp_path: Path) -> None:
    status, lines, errors = run("test", CLASSROOM, tmp_path / "none.csv")

    assert (status, lines, errors) == (2, [], f"roomkey: {tmp_path / 'none.csv'}: No such file or directory\n")


def test_a_policy_with_problems_is_not_tested_at_all(file: Path) -> None:
    file.write_text(BROKEN)

    commands: list[list[Any]] = [["test", file, POLICIES / "open.cases.csv"], ["explain", file, "--as", "anyone"]]
    for arguments in commands:
        more = ["--platform", "100ms"] if arguments[0] == "explain" else []
        assert run(*arguments, *more)[:2] == (2, [])
        assert f"\n  {file}:1: mode is missing\n" in run(*arguments, *more)[2]


# --- explain ---------------------------------------------------------------------------------------------------------

TESS = ("--as", "user:tess", "--groups", "staff teachers")
STU = ("--as", "user:stu", "--groups", "students")
IN_AGORA = ("--platform", "agora", "--room", "class-7b", "--role", "publisher")
IN_LIVEKIT = ("--platform", "livekit", "--room", "r", "--role", "viewer")


def test_explain_names_the_rule_that_grants_it() -> None:
    assert run("explain", CLASSROOM, *TESS, *IN_AGORA) == (
        0,
        ['allowed: by "teachers publish on Agora", for at most 14400 s'],
        "",
    )


def test_explain_shows_only_the_nearest_rules(file: Path) -> None:
    status, lines, _ = run("explain", CLASSROOM, *STU, *IN_AGORA)

    assert status == 1
    assert lines == [
        "denied: no rule grants it",
        '  rules[2] "teachers publish on Agora" does not grant it',
        "    who: needs group teachers; stu is in students",
        '  rules[6] "students watch on Agora" does not grant it',
        '    roles: no pattern matches "publisher"',
        "  (the nearest rules; --all shows every rule)",
    ]


def test_explain_shows_every_rule_on_request() -> None:
    _, lines, _ = run("explain", CLASSROOM, *STU, *IN_AGORA, "--services", "rtc rtm", "--kind", "app", "--all")

    assert lines[lines.index('  rules[6] "students watch on Agora" does not grant it') :] == [
        '  rules[6] "students watch on Agora" does not grant it',
        "    services: rtm is not in the list",
        '    roles: no pattern matches "publisher"',
        '  rules[7] "students read whiteboards" does not grant it',
        "    platforms: agora is not in the list",
        "    services: rtc and rtm are not in the list",
        '    roles: no pattern matches "publisher"',
        '  rules[8] "the backend manages" does not grant it',
        "    kinds: app is not in the list",
        "    services: rtc and rtm are not in the list",
        "    who: needs principal arn:aws:iam::111122223333:role/classroom-backend; stu is in students",
        '    roles: no pattern matches "publisher"',
        '    rooms: missing, and the room is "class-7b"',
    ]


def test_explain_reports_a_lifetime_that_is_too_long() -> None:
    status, lines, _ = run("explain", CLASSROOM, *TESS, *IN_AGORA, "--lifetime", "14401")

    assert (status, lines) == (1, ['denied: "teachers publish on Agora" grants it for at most 14400 s'])


def test_explain_reports_what_the_caller_lacks() -> None:
    room = ("--platform", "agora", "--room", "tenant-acme-1", "--role", "publisher")

    _, lines, _ = run("explain", POLICIES / "tenants.json", "--as", "user:ada", "--claims", "org=*", *room)
    assert lines[1:5] == [
        '  rules[0] "members join their tenant\'s rooms" does not grant it',
        '    rooms: no pattern matches "tenant-acme-1"; the caller has no value for {claim:org}',
        '  rules[1] "each user has a room" does not grant it',
        '    rooms: no pattern matches "tenant-acme-1"',
    ]
    _, lines, _ = run("explain", POLICIES / "tenants.json", "--as", "anyone", *room)
    assert lines[2] == "    who: needs signed-in; the caller is not signed in"
    _, lines, _ = run("explain", POLICIES / "tenants.json", "--as", f"principal:{IAM_USER}", *room, "--all")
    assert any(line.endswith(f"; the caller is {IAM_USER}") for line in lines)
    status, lines, _ = run("explain", POLICIES / "tenants.json", "--as", "user:ada", "--claims", "org=acme", *room)
    assert (status, lines[0]) == (0, 'allowed: by "members join their tenant\'s rooms", for at most 7200 s')


def test_explain_reports_a_request_that_no_policy_can_grant() -> None:
    manage = ("--kind", "management", "--platform", "agora-whiteboard")

    assert run("explain", POLICIES / "open.json", "--as", "anyone", *manage) == (
        1,
        ["denied: a management token always needs an IAM principal"],
        "",
    )
    assert run("explain", POLICIES / "open.json", "--as", "user:" + "1" * 21, *IN_AGORA) == (
        1,
        ["denied: agora does not accept this user id"],
        "",
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--sets", "metadata attributes"), "may_set: metadata is not in the list"),
        (("--agent", "recorder"), 'agents: no pattern matches "recorder"'),
    ],
)
def test_explain_reports_values_of_livekit_s_endpoint(options: tuple[str, ...], reason: str, file: Path) -> None:
    write(
        file, {**RULE, "platforms": ["livekit"], "roles": ["viewer"], "may_set": ["attributes"], "agents": ["tutor-*"]}
    )
    request = ("--as", "user:ada", "--platform", "livekit", "--room", "r", "--role", "viewer")

    status, lines, _ = run("explain", file, *request, *options)

    assert (status, lines[2]) == (1, f"    {reason}")
    assert run("explain", file, *request, "--sets", "attributes", "--agent", "tutor-maths")[0] == 0


def test_explain_reports_the_audit_mode(file: Path) -> None:
    write(file, RULE, mode="audit")
    request = ("--as", "user:ada", "--platform", "100ms", "--room", "r")

    status, lines, _ = run("explain", file, *request, "--role", "guest")

    assert status == 1
    assert lines == [
        "denied: no rule grants it",
        "The policy's mode is audit: the token is minted anyway, and the decision recorded.",
        "  rules[0] does not grant it",
        '    roles: no pattern matches "guest"',
    ]
    assert run("explain", file, *request, "--role", "host")[1] == ['allowed: by "rules[0]"']


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_explain_reports_a_lifetime_below_the_platforms_minimum(file: Path, mode: str) -> None:
    write(file, {**RULE, "platforms": ["livekit"], "roles": ["*"], "max_lifetime": 60}, mode=mode)

    assert run("explain", file, "--as", "user:ada", *IN_LIVEKIT) == (
        1,
        ['denied: "rules[0]" grants it for at most 60 s, less than the minimum'],
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--as", "invite", *IN_LIVEKIT, "--agent", "tutor"), "agent must be empty: an invite does not have it"),
        (("--as", "user:ada", *IN_LIVEKIT, "--agent", "\u200b"), "agent must not be blank"),
        (("--as", "ada", *IN_AGORA), "as must be anyone, invite, user:ID or principal:ARN"),
        (("--as", "user:ada", "--platform", "100ms", "--role", "host"), "room is missing"),
        (
            ("--as", "user:guest-ada", *IN_AGORA),
            "as has an invalid user id: it must not begin with guest-: such ids are of guests",
        ),
        (("--as", "anyone", "--groups", "g", *IN_AGORA), "as must be user:ID if there are groups or claims"),
        (("--as", "user:ada", *IN_AGORA, "--lifetime", "1h"), "lifetime must be a whole number of seconds"),
        (("--as", "user:ada", *IN_AGORA, "--sets", "metadata"), "sets must be empty: agora has no such app token"),
        (("--as", "user:ada", *IN_AGORA, "--agent", "tutor"), "agent must be empty: agora has no such app token"),
        (
            ("--as", "user:ada", *IN_LIVEKIT, "--sets", "role"),
            "sets must be of metadata, attributes, separated by spaces",
        ),
    ],
)
def test_explain_rejects_an_invalid_request(arguments: tuple[str, ...], why: str) -> None:
    assert run("explain", CLASSROOM, *arguments) == (2, [], f"roomkey: invalid request: --{why}\n")


# --- in a process ----------------------------------------------------------------------------------------------------


def test_test_as_json(file: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_text("as,kind,platform,room,role,expect\nanyone,app,100ms,r,host,deny\nanyone,app,100ms,r,host,allow\n")

    status, lines, _ = run("test", write(file, RULE), cases, "--json")

    assert status == 1
    document = json.loads(lines[0])
    assert (document["file"], document["cases"], document["good"]) == (str(file), 2, False)
    [failure] = document["failures"]
    assert failure["line"] in (2, 3)
    assert " expected " in failure["why"]
    assert failure["case"]["as"] == "anyone"


def test_explain_as_json(file: Path) -> None:
    status, lines, _ = run("explain", CLASSROOM, *TESS, *IN_AGORA, "--json")

    document = json.loads(lines[0])
    assert (status, document["allowed"]) == (1 - document["allowed"], status == 0)
    assert list(document) == ["allowed", "rule", "why", "mode", "rules"]
    words = run("explain", CLASSROOM, *TESS, *IN_AGORA, "--all")[1]
    assert words[0] == f"{'allowed' if document['allowed'] else 'denied'}: {document['why']}"
    assert [line for rule in document["rules"] for line in rule["reasons"]] == [line[2:] for line in words[1:]]


def test_it_is_a_command_of_roomkey(file: Path) -> None:
    file.write_text("{")
    start = "from roomkey_cli.main import main; main()"
    line = [sys.executable, "-W", "error", "-c", start, "policy", "check", str(file)]

    bad = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)

    assert (bad.returncode, bad.stderr) == (1, "")
    assert bad.stdout.startswith(f"{file}:1: policy is not JSON: ")


def test_the_size_limit_of_ssm_is_the_same_everywhere() -> None:
    assert MAX_POLICY_BYTES == 8192 == 2 * MAX_STANDARD_BYTES
    assert "8192" in json.loads((DATA / "policy.schema.json").read_text())["description"]


# --- docs/policy.md --------------------------------------------------------------------------------------------------

PAGE = (DOCS / "policy.md").read_text()
SCHEMA: dict[str, Any] = json.loads((DATA / "policy.schema.json").read_text())


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def rows(header: str) -> list[list[str]]:
    """Return the cells of the table that begins with this line."""
    table = PAGE.partition(f"\n{header}\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert table
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_the_first_policy_of_the_page_decides_as_the_page_describes(file: Path, tmp_path: Path) -> None:
    [example] = blocks("json")
    [cases] = blocks("csv")
    file.write_text(example)
    (tmp_path / "cases.csv").write_text(cases)

    assert run("check", file)[0] == 0
    assert len(run("check", file)[1]) == 1
    assert run("test", file, tmp_path / "cases.csv") == (0, ["4 cases, all as expected"], "")


def test_the_output_of_explain_on_the_page_is_real(file: Path) -> None:
    line = next(block for block in blocks("sh") if " explain " in block)
    file.write_text(blocks("json")[0])
    arguments = line.removeprefix("roomkey policy ").strip().replace("policy.json", str(file)).split()

    _, document, _ = run(*arguments)

    assert "\n".join(["```", *document, "```"]) in PAGE


@pytest.mark.parametrize(
    ("header", "of"),
    [
        ("| field | required | value |", SCHEMA),
        ("| field | required | value | if absent |", SCHEMA["$defs"]["rule"]),
    ],
    ids=["policy", "rule"],
)
def test_the_page_names_every_field_and_which_are_needed(header: str, of: dict[str, Any]) -> None:
    named = {cells[0].strip("`"): cells[1] for cells in rows(header)}

    assert named.keys() == of["properties"].keys()
    assert {name for name, needed in named.items() if needed == "yes"} == set(of["required"])


def test_the_page_names_every_column_of_a_table_of_cases() -> None:
    named = re.findall(r"`(\w+)`", " ".join(cells[0] for cells in rows("| column | value |")))

    assert sorted(named) == sorted([*simulate.COLUMNS, "expect"])


def test_the_page_shows_each_worked_policy() -> None:
    assert [re.findall(r"\[(.*?)\.json\]", cells[0]) for cells in rows("| | for | shows |")] == [
        [one] for one in WORKED
    ]
    assert {path.name for path in POLICIES.iterdir()} == {
        f"{name}.{ending}" for name in WORKED for ending in ("json", "cases.csv")
    }
