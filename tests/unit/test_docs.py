"""The pages for those who write clients, docs/api.md, docs/tokens.md and docs/clients, held against the code."""

import inspect
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from infrastructure.template import accepts, default_parameters
from roomkey import bodies
from roomkey.api import CORS_EXPOSED, CORS_HEADERS, HEALTH_ROUTE, MINTING_ROUTES, STATUS
from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Credentials, Grant, Imprint, Platform, Randomness, RequestField, TokenKind
from roomkey.settings import SHORTEST_LIFE, STANDARD_LIVES
from roomkey_cli import credential_files

DOCS = Path(__file__).parents[2] / "docs"
API = (DOCS / "api.md").read_text()
CLIENTS = (DOCS / "clients" / "README.md").read_text()
TOKENS = (DOCS / "tokens.md").read_text()

every_platform = pytest.mark.parametrize("platform", PLATFORMS.values(), ids=PLATFORMS)

Table = list[dict[str, str]]


def under(text: str, *headings: str) -> str:
    """What stands under the last of `headings`, each of which stands under the one before it."""
    for heading in headings:
        level = heading.index(" ")
        found = re.search(
            rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", without_code(text), re.DOTALL | re.MULTILINE
        )
        assert found, f"there is no {heading!r}"
        text = found[1]
    return text


def without_code(text: str) -> str:
    """`text` without its blocks of code, in which # and | mean something else."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def tables(text: str) -> list[Table]:
    """The tables in `text`: a row is its cells by the words above them."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE)
    return [_table(block.splitlines()) for block in blocks]


def _table(lines: list[str]) -> Table:
    head, line, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in lines]
    assert set(line) == {"---"}
    return [dict(zip(head, row, strict=True)) for row in rows]


def code(cell: str) -> list[str]:
    """What a cell shows as code."""
    return re.findall(r"`([^`]+)`", cell)


# --- docs/api.md ---------------------------------------------------------------------------------------------------


def test_the_routes_are_those_of_the_code() -> None:
    (routes,) = tables(under(API, "## Routes").split("\n### ")[0])

    assert [code(row["route"])[0] for row in routes] == [*MINTING_ROUTES, HEALTH_ROUTE]


def test_every_code_is_in_the_table_once_with_its_status() -> None:
    (table,) = tables(under(API, "## Codes"))

    assert [(code(row["code"]), int(row["status"])) for row in table] == [([name], STATUS[name]) for name in STATUS]
    assert all(row["why"] for row in table)


def test_there_is_something_to_do_for_every_refusal() -> None:
    """Whoever repeats what was refused gets the same refusal; whoever gives up at a fault gives up too early."""
    (table,) = tables(under(CLIENTS, "## Refusals"))
    ours = [row for row in table if code(row["says"])[:1] and code(row["says"])[0] in STATUS]
    gateways = [row for row in table if code(row["says"])[:1] and code(row["says"])[0].startswith("{")]

    assert [(code(row["says"]), int(row["status"])) for row in ours] == [([name], STATUS[name]) for name in STATUS]
    assert {row["status"] for row in gateways} == {"401", "403", "413", "429", "500", "503"}
    for row in (*ours, *gateways):
        assert list(json.loads(code(row["says"])[0])) == ["message"] if row in gateways else True
        assert row["again?"] == ("again" if int(row["status"]) >= 500 or row["status"] == "429" else "never")
        assert row["what to do"]


def test_the_platforms_are_those_of_the_code_in_their_order() -> None:
    headings = re.findall(r"^### (.*)$", under(API, "## Requests"), flags=re.MULTILINE)

    assert headings[: len(PLATFORMS)] == list(PLATFORMS)


@every_platform
def test_every_field_of_a_request_is_in_the_table_and_no_other(platform: Platform) -> None:
    (table,) = tables(under(API, "## Requests", f"### {platform.name}"))

    for kind in TokenKind:
        said = {code(row["field"])[0]: row[f"{kind} token"] for row in table}
        assert {name: word for name, word in said.items() if word != "no"} == dict(_words(platform, kind))


def _words(platform: Platform, kind: TokenKind) -> Iterator[tuple[str, str]]:
    """The fields of a request, each with the word for whether it must be sent."""
    fields = (*platform.request_fields[kind], RequestField("expires_in", check=int))
    alternatives = Counter(field.target for field in fields)
    for field in fields:
        if alternatives[field.target] > 1:
            yield field.name, "one of the two"
        else:
            yield field.name, "required" if field.required else "optional"


def test_the_lives_are_those_of_the_code_and_of_the_template() -> None:
    (table,) = tables(under(API, "## Requests", "### Life"))
    parameters = default_parameters()
    rows = {row.pop(""): row for row in table}

    for kind, name in ((TokenKind.APP, "AppTokenLife"), (TokenKind.MANAGEMENT, "ManagementTokenLife")):
        said = rows["without `expires_in`"][f"{kind} token"]
        assert said == f"{STANDARD_LIVES.default[kind]} s (`{name}`)" == f"{parameters[name]} s (`{name}`)"
        assert rows["least"][f"{kind} token"] == f"{SHORTEST_LIFE} s"
    longest = rows["most"]["app token"]
    assert longest == f"{STANDARD_LIVES.longest} s (`LongestTokenLife`)"
    assert parameters["LongestTokenLife"] == str(STANDARD_LIVES.longest)
    vendors = [
        f"{platform.title} {_span(platform.longest_life)}" for platform in PLATFORMS.values() if platform.longest_life
    ]
    assert rows["most, by the vendor"]["app token"] == ", ".join(vendors)


def _span(seconds: int) -> str:
    return f"{seconds // 3600} hours" if seconds <= 86400 else f"{seconds // 86400} days"


def test_the_largest_body_is_that_of_the_code() -> None:
    (table,) = tables(under(API, "## Requests", "### Limits"))

    assert table[0]["what"] == "body"
    assert table[0]["limit"].startswith(f"{bodies.LARGEST_BODY // 1024} KiB")


def test_cors_is_that_of_the_code() -> None:
    (table,) = tables(under(API, "## Web pages (CORS)"))
    said = {row["what"]: row["is"] for row in table}

    assert said["methods"] == CORS_HEADERS["access-control-allow-methods"].replace(",", ", ")
    assert said["request headers"] == CORS_HEADERS["access-control-allow-headers"].replace(",", ", ")
    assert said["headers that a page can read"] == CORS_EXPOSED.replace(",", ", ")
    assert said["how long a browser keeps the preflight"] == f"{CORS_HEADERS['access-control-max-age']} s"


def test_an_app_in_a_web_view_has_an_origin_that_the_template_takes_or_that_is_said_not_to_be_possible() -> None:
    (table,) = tables(under((DOCS / "clients" / "web.md").read_text(), "## Hybrid apps"))
    origins = {origin: row for row in table for origin in code(row["origin"]) if "://" in origin or origin == "null"}

    assert len(origins) == 5
    for origin, row in origins.items():
        possible = not row["in `AllowedOrigins`"].startswith("not possible")
        assert accepts("AllowedOrigins", origin) is possible, origin


def test_every_json_block_is_an_answer_of_the_contract() -> None:
    document = yaml.safe_load((DOCS / "openapi.yaml").read_text())
    shapes = Draft202012Validator(
        {
            "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Token", "Failure", "Health")],
            "components": document["components"],
        }
    )
    blocks = json_blocks(API)

    assert len(blocks) == 3
    for block in blocks:
        shapes.validate(block)


def json_blocks(text: str) -> list[Any]:
    return [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)]


# --- docs/tokens.md ------------------------------------------------------------------------------------------------


def test_there_is_a_page_for_every_platform_with_the_same_headings() -> None:
    titles = re.findall(r"^## (.*)$", without_code(TOKENS), flags=re.MULTILINE)

    assert titles[-len(PLATFORMS) :] == [platform.title for platform in PLATFORMS.values()]
    for title in titles[-len(PLATFORMS) :]:
        parts = re.findall(r"^### (.*)$", under(TOKENS, f"## {title}"), flags=re.MULTILINE)
        held, refused, checked = (part for part in parts if part != "Roles")
        assert held == "What the token holds"
        assert refused.startswith("When ")
        assert refused.endswith(" refuses it")
        assert checked.startswith("Check it with ")


def test_the_table_of_all_platforms_says_how_a_management_token_is_sent() -> None:
    (table,) = tables(under(TOKENS, "## What holds for all"))

    assert [code(row["platform"])[0] for row in table] == list(PLATFORMS)
    for row, platform in zip(table, PLATFORMS.values(), strict=True):
        header, separator, prefix = code(row["sent to the vendor's API as"])[0].partition(": ")
        assert (header, separator, prefix) == (platform.send.header, ": ", platform.send.prefix + "…")


def test_the_credentials_are_those_of_the_local_stack() -> None:
    (keys,) = json_blocks(TOKENS)

    assert keys == credential_files.demo()


@every_platform
def test_a_secret_is_shown_with_the_names_of_its_values(platform: Platform) -> None:
    shown = re.search(r"The secret is `(\{.*?\})`", under(TOKENS, f"## {platform.title}"))

    assert shown
    assert list(json.loads(shown[1])) == [field.name for field in platform.credential_fields]


@pytest.mark.parametrize(
    ("name", "column", "unsaid"),
    [("100ms", "claim", set()), ("videosdk", "claim", set()), ("agora-whiteboard", "field", {"sig"})],
)
@pytest.mark.parametrize("kind", TokenKind)
def test_the_table_names_what_a_token_holds(name: str, column: str, unsaid: set[str], kind: TokenKind) -> None:
    """`unsaid`: what `explain` leaves out of the facts, since it says it in another way."""
    platform = PLATFORMS[name]
    (table,) = tables(under(TOKENS, f"## {platform.title}", "### What the token holds"))

    said = {word for row in table if row[str(kind)] for word in code(row[column])}

    assert said == facts(platform, kind).keys() | unsaid


def facts(platform: Platform, kind: TokenKind) -> Mapping[str, object]:
    """What a token of this kind holds."""
    keys = Credentials({name: str(value) for name, value in credential_files.demo()[platform.name].items()})
    imprint = Imprint(minted_at=1_800_000_000.5, randomness=Randomness())
    roles = {"100ms": "host", "videosdk": "guest", "agora-whiteboard": "reader"}
    grant = Grant(kind, expires_at=1_800_003_600, room_id="0" * 32, role=roles[platform.name], user_id="u")
    make = platform.app_token if kind is TokenKind.APP else platform.management_token
    explanation = platform.explain(make(keys, grant, imprint), keys, at=1_800_000_001)
    assert explanation
    assert not explanation.problems
    return explanation.facts


_VENDORS_CODE = re.compile(r"(?<![\w.%-])(-?[0-9]{3,5}) [A-Z][A-Za-z_]{3,}")


@every_platform
def test_every_error_that_explain_names_is_in_the_table(platform: Platform) -> None:
    source = inspect.getsource(sys.modules[type(platform).__module__])
    named = set(_VENDORS_CODE.findall(source))
    section = under(TOKENS, f"## {platform.title}")
    (table,) = tables(under(section, next(line for line in section.splitlines() if line.startswith("### When "))))
    said = {number for row in table for cell in list(row.values())[:2] for number in re.findall(r"-?\d+", cell)}

    assert named
    assert named <= said
