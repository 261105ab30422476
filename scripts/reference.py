"""Write the generated parts of the documentation and of template.yaml.

Run `make docs`; `--check` only compares and exits with 1 if a file is out of date. A generated part stands between
`<!-- NAME -->` and `<!-- /NAME -->`. The infrastructure tests run the comparison.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import openapi

from infrastructure.template import EVERYTHING, source, stack
from roomkey.platforms import PLATFORM_NAMES, PLATFORMS, SERVICES
from roomkey.platforms.base import Platform, TokenKind
from roomkey.platforms.credential_values import MIN_KEY_BYTES
from roomkey.platforms.credentials import CredentialField
from roomkey.platforms.fields import Lifetime, RequestField, TokenSpec
from roomkey_cli import credential_file
from roomkey_cli.main import app
from roomkey_cli.reference import markdown

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
DATA = ROOT / "cli" / "roomkey_cli" / "data"


def parameters() -> str:
    """Return a table for each group of the template's parameters."""
    declared = source()["Parameters"]
    if missing := declared.keys() - {name for _, names in _parameter_groups() for name in names}:
        raise ValueError(f"parameters of template.yaml without a group: {missing}")
    return "\n\n".join(
        f"## {title[0].upper()}{title[1:]}\n\n"
        + _table(
            ("parameter", "default", "meaning"),
            ((f"`{name}`", _default(declared[name]), _meaning(declared[name])) for name in names),
        )
        for title, names in _parameter_groups()
    )


def _parameter_groups() -> Iterator[tuple[str, list[str]]]:
    """Yield the groups of parameters: the template's comments of the form `# ---- title`, and the names below."""
    text = (ROOT / "template.yaml").read_text()
    section = text[text.index("\nParameters:") : text.index("\nRules:")]
    for group in re.split(r"^  # ---- ", section, flags=re.MULTILINE)[1:]:
        title, _, body = group.partition("\n")
        yield title, re.findall(r"^  (\w+):$", body, re.MULTILINE)


def _default(declared: Mapping[str, Any]) -> str:
    return f"`{declared['Default']}`" if declared["Default"] != "" else "empty"


def _meaning(declared: Mapping[str, Any]) -> str:
    description = str(declared["Description"])
    if "AllowedValues" in declared and len(declared["AllowedValues"]) < 10:
        return f"{description} One of {', '.join(f'`{value}`' for value in declared['AllowedValues'])}."
    if "MaxValue" in declared:
        return f"{description} {declared['MinValue']} to {declared['MaxValue']}."
    return description


def alarms() -> str:
    """Return the table of the alarms of a stack with every resource."""
    properties = [alarm["Properties"] for alarm in stack(**EVERYTHING).of_type("AWS::CloudWatch::Alarm").values()]
    rows = []
    for alarm in properties:
        condition, _, runbook = alarm["AlarmDescription"].partition(" Runbook: ")
        anchor = runbook.partition("#")[2]
        rows.append((f"`{alarm['AlarmName']}`", condition, f"[{anchor}](#{anchor})"))
    return _table(("alarm", "fires when", "runbook"), rows)


def audit_fields() -> str:
    """Return the table of the audit line's fields, from its JSON Schema."""
    (path,) = [path for folder in ("docs", "cli") for path in (ROOT / folder).rglob("audit.schema.json")]
    schema = json.loads(path.read_text())
    return _table(("field", "meaning"), _fields(schema["properties"], ""))


def _fields(properties: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in properties.items():
        yield f"`{prefix}{name}`", str(field.get("description", ""))
        yield from _fields(field.get("properties", {}), f"{prefix}{name}.")


def platforms_pattern() -> str:
    """Return the two lines of the parameter Platforms that name every platform."""
    names = list(PLATFORMS)
    one_of = f"({'|'.join(names)})"
    pattern = f"^(?!(.*,)?([^,]+),(.*,)?\\\\2(,|$)){one_of}(,{one_of}){{0,{len(names) - 1}}}$"
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return "\n".join(
        [
            f'    AllowedPattern: "{pattern}"',
            f"    ConstraintDescription: any of {listed}, joined by commas, without spaces or repeats",
        ]
    )


def platforms() -> str:
    """Return the table of the platforms."""
    return _table(
        (
            "platform",
            "app token lives",
            "management token lives",
            "sent to the vendor's API as",
            "renewed",
            "`connect`",
        ),
        (_platform_row(platform) for platform in PLATFORMS.values()),
    )


def _platform_row(platform: Platform) -> tuple[str, ...]:
    header = platform.auth_header
    return (
        f"[`{platform.name}`](platforms/{platform.name}.md)",
        *(_lifetimes(platform.kinds[kind].lifetime) if kind in platform.kinds else "none" for kind in TokenKind),
        f"`{header.header}: {header.prefix}\u2026`" if header else "",
        "never" if platform.renew_before is None else f"{platform.renew_before} s before the end",
        ", ".join(f"`{name}`" for name in platform.public_fields),
    )


def _lifetimes(lifetime: Lifetime) -> str:
    default = "" if lifetime.default is None else f", by default {_span(lifetime.default)}"
    longest = "or more" if lifetime.maximum is None else f"to {_span(lifetime.maximum)}"
    return f"{_span(lifetime.minimum)} {longest}{default}"


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    days, rest = divmod(seconds, 86400)
    return f"{days + 1} d less {86400 - rest} s" if days else f"{seconds} s"


def request_fields() -> str:
    """Return the table of the fields of each kind of token."""
    return _table(
        ("platform", "token", "required", "optional"),
        (
            (f"[`{platform.name}`](platforms/{platform.name}.md)", kind, *_field_names(spec))
            for platform in PLATFORMS.values()
            for kind, spec in platform.kinds.items()
        ),
    )


def _field_names(spec: TokenSpec) -> tuple[str, str]:
    meanings = spec.by_meaning().values()
    names = [(fields[0].required, " or ".join(f"`{field.name}`" for field in fields)) for fields in meanings]
    return ", ".join(name for needed, name in names if needed), ", ".join(name for needed, name in names if not needed)


def policy_fields() -> str:
    """Return the table of what a policy sees of a request, by platform and kind."""
    rows = []
    for platform in PLATFORMS.values():
        for kind, spec in platform.kinds.items():
            role, services, room = map(spec.field, ("role", "services", "room_id"))
            if kind is TokenKind.APP or role or services or room:
                rows.append((f"`{platform.name}`", kind, _words(role), _words(services), _room(platform, room)))
    return _table(("platform", "kind", "role", "services", "room"), rows)


def _words(field: RequestField | None) -> str:
    if field is None:
        return ""
    schema: Any = field.check.schema
    default = field.default if isinstance(field.default, tuple) else (field.default,)
    words = schema.get("items", schema).get("enum", ())
    return ", ".join(f"`{word}`{' (default)' if word in default else ''}" for word in words) or "any"


def _room(platform: Platform, field: RequestField | None) -> str:
    if field is None:
        return ""
    return ("required" if field.required else "optional; **absent: every room**") + (
        ", compared in lower case" if platform.fold_room_case else ""
    )


def credentials() -> str:
    """Return the table of the values in each platform's secret."""
    return _table(
        ("platform", "value", "", "form"),
        (
            (f"`{platform.name}`", f"`{field.name}`", _credential_notes(platform, field), _form(field))
            for platform in PLATFORMS.values()
            for field in platform.credential_fields
        ),
    )


def demo_credentials() -> str:
    """Return the local stack's credentials as JSON, one platform on each line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(secret)}" for name, secret in credential_file.demo().items()]
    return "\n".join(["```json", "{", ",\n".join(lines), "}", "```"])


def _credential_notes(platform: Platform, field: CredentialField) -> str:
    notes = {
        "signs": field.signs,
        "a list": field.many,
        "optional": not field.required,
        "returned as `connect`": field.name in platform.public_fields,
    }
    return ", ".join(note for note, applies in notes.items() if applies)


def _form(field: CredentialField) -> str:
    if field.pattern == CredentialField("").pattern:
        return f"at least {MIN_KEY_BYTES} characters" if field.signs else ""
    return f"`{field.pattern}`" + ("" if field.form else ", usually")


def with_lists(text: str) -> str:
    """Return a schema's text with the platforms and services of the registry in its lists."""
    text = re.sub(r'\[\s*"100ms",[^\]]*\]', lambda match: _json_list(match[0], PLATFORM_NAMES), text)
    text = re.sub(r'\[\s*"rtc",[^\]]*\]', lambda match: _json_list(match[0], SERVICES), text)
    return re.sub(r"\[100ms, [^\]]*\]", f"[{', '.join(PLATFORM_NAMES)}]", text)


def _json_list(old: str, names: tuple[str, ...]) -> str:
    items = [f'"{name}"' for name in (*names, *(["*"] if '"*"' in old else []))]
    if "\n" not in old:
        return f"[{', '.join(items)}]"
    start, end = re.findall(r"\n *", old)[0], re.findall(r"\n *", old)[-1]
    return f"[{start}{f',{start}'.join(items)}{end}]"


def generated_openapi() -> str:
    """Return the OpenAPI document with the platforms of the registry."""
    text = with_lists((DOCS / "openapi.yaml").read_text())
    for name, produce in {"tags": openapi.tags, "paths": openapi.paths, "schemas": openapi.schemas}.items():
        parts = re.split(rf"( *# Generated: {name}\n| *# End of {name}\.\n)", text)
        if len(parts) != 5:
            raise ValueError(f"docs/openapi.yaml needs one part {name}")
        parts[2] = produce()
        text = "".join(parts)
    return text


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]] | Any) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def commands() -> str:
    """Return the reference of the commands."""
    return markdown(app)


PARTS: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    REFERENCE / "parameters.md": {"parameters": parameters},
    REFERENCE / "alarms.md": {"alarms": alarms},
    REFERENCE / "audit-log.md": {"fields": audit_fields},
    DOCS / "cli.md": {"commands": commands},
    DOCS / "api.md": {"fields": request_fields},
    DOCS / "policy.md": {"fields": policy_fields},
    DOCS / "tokens.md": {"platforms": platforms, "credentials": credentials, "demo_credentials": demo_credentials},
}
"""The generated parts of each page."""


def generated(path: Path) -> str:
    """Return the text of a page with its generated parts up to date."""
    text = path.read_text()
    for name, produce in PARTS[path].items():
        parts = re.split(rf"(<!-- /?{name} -->\n?)", text)
        if len(parts) != 5:
            raise ValueError(f"{path} needs one part {name}")
        parts[2] = f"{produce()}\n"
        text = "".join(parts)
    return text


def generated_template() -> str:
    """Return template.yaml with the platforms of the registry."""
    text, found = re.subn(
        r"(registry\..*\n)    AllowedPattern: (?:.|\n)*?    ConstraintDescription: .*\n",
        lambda match: f"{match[1]}{platforms_pattern()}\n",
        (ROOT / "template.yaml").read_text(),
    )
    if found != 1:
        raise ValueError("template.yaml needs one generated AllowedPattern")
    return text


def main(arguments: list[str]) -> int:
    """Write every generated part, or with `--check` report those that are out of date."""
    wanted = {
        ROOT / "template.yaml": generated_template(),
        DOCS / "openapi.yaml": generated_openapi(),
        **{path: with_lists(path.read_text()) for path in sorted(DATA.glob("*.schema.json"))},
        **{path: generated(path) for path in PARTS},
    }
    outdated = [path for path, text in wanted.items() if path.read_text() != text]
    if "--check" not in arguments:
        for path in outdated:
            path.write_text(wanted[path])
        return 0
    for path in outdated:
        print(f"{path.relative_to(ROOT)} is out of date: run `make docs`.")
    return 1 if outdated else 0


if __name__ == "__main__":
    logging.disable()  # The translator's remarks about its feature toggles.
    sys.exit(main(sys.argv[1:]))
