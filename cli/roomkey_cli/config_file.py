"""`config/ENV.yaml`: the stack parameters of an environment, which `make deploy` passes to CloudFormation."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from roomkey.settings import Access, Settings, SettingsError
from roomkey_cli.aws.endpoint import is_url
from roomkey_cli.environment import Environment

DIRECTORY = Path("config")
TEMPLATE = Path("template.yaml")
DEFAULT_ACCESS = Access.JWT

_VARIABLES = {
    "Platforms": "PLATFORMS",
    "AllowedOrigins": "ALLOWED_ORIGINS",
    "UserIdClaim": "USER_ID_CLAIM",
    "GroupsClaim": "GROUPS_CLAIM",
    "GroupsFormat": "GROUPS_FORMAT",
    "InviteUrl": "INVITE_URL",
    "AppTokenLifetime": "APP_TOKEN_LIFETIME",
    "ManagementTokenLifetime": "MANAGEMENT_TOKEN_LIFETIME",
    "MaxTokenLifetime": "MAX_TOKEN_LIFETIME",
    "LogLevel": "LOG_LEVEL",
}
"""The function's environment variable, by the stack parameter that sets it."""


class InvalidConfig(ValueError):
    """The file cannot be read. The message begins with its path."""


def path(environment: Environment) -> Path:
    """Return the path of an environment's file, relative to the repository."""
    return DIRECTORY / f"{environment}.yaml"


def read(environment: Environment) -> dict[str, str] | None:
    """Return the stack parameters in the file, or None if there is no file. Raises `InvalidConfig`."""
    file = path(environment)
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidConfig(f"{file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise InvalidConfig(f"{file}{f':{line + 1}' if line is not None else ''}: is not YAML") from None
    if not isinstance(document, dict):
        raise InvalidConfig(f"{file}: must be a list of lines NAME: VALUE")
    return {str(name): _text(value) for name, value in document.items()}


def read_valid(environment: Environment) -> dict[str, str]:
    """Return the stack parameters in the file, empty without a valid file."""
    try:
        return read(environment) or {}
    except InvalidConfig:
        return {}


def _text(value: Any) -> str:
    if isinstance(value, bool):  # YAML reads `Tracing: on` as true.
        return "on" if value else "off"
    return "" if value is None else str(value)


def write(environment: Environment, values: Mapping[str, str]) -> Path:
    """Write the file and return its path. Lines whose values do not change, and comments, stay. Raises `OSError`."""
    file = path(environment)
    file.parent.mkdir(exist_ok=True)
    stored = read(environment)
    text = f"# Stack parameters of the environment `{environment}`, as template.yaml describes them.\n"
    if stored is not None:
        text = f"{file.read_text(encoding='utf-8').rstrip()}\n"
    for name in [name for name in values if (stored or {}).get(name) != values[name]]:
        line = yaml.safe_dump({name: values[name]}, width=1000)
        present = re.search(rf"^{name}[ \t]*:.*\n(?:[ \t].*\n)*", text, re.MULTILINE)
        text = f"{text[: present.start()]}{line}{text[present.end() :]}" if present else text + line
    file.write_text(text, encoding="utf-8")
    return file


def access(values: Mapping[str, str]) -> Access:
    """Return who may request app tokens. Raises `ValueError` for an unknown word."""
    return Access(values.get("AppTokenAccess") or DEFAULT_ACCESS)


def problems(environment: Environment, values: Mapping[str, str]) -> list[str]:
    """Return the problems for which CloudFormation or the function would reject the parameters."""
    found = []
    if values.get("Environment") != environment.name:
        found.append(f"Environment must be {environment}, else the deploy overwrites another environment")
    try:
        if access(values) is Access.JWT:
            if not is_url(values.get("JwtIssuer", "")) or not values["JwtIssuer"].startswith("https://"):
                found.append("JwtIssuer must be the issuer's https:// URL, since AppTokenAccess is jwt")
            if not values.get("JwtAudience"):
                found.append("JwtAudience must name the audience of your access tokens, since AppTokenAccess is jwt")
    except ValueError:
        found.append("AppTokenAccess must be jwt, iam or open")
    variables = {"ENVIRONMENT": environment.name}
    variables |= {variable: values[name] for name, variable in _VARIABLES.items() if name in values}
    try:
        Settings.from_environment(variables)
    except SettingsError as error:
        text = str(error)
        for name, variable in _VARIABLES.items():
            text = re.sub(rf"\b{variable}\b", name, text)
        found.append(text)
    if TEMPLATE.is_file():
        found += _template_problems(values)
    return found


_CHECKED_ABOVE = {"Environment", "AppTokenAccess", "JwtIssuer", *_VARIABLES}


def _template_problems(values: Mapping[str, str]) -> list[str]:
    declared = template_parameters()
    found = [f"{name} is not a parameter of template.yaml" for name in sorted(values.keys() - declared.keys())]
    known = sorted(values.keys() & declared.keys() - _CHECKED_ABOVE)
    found += [f"{name} {why}" for name in known if (why := _rejection(values[name], declared[name]))]
    if values.get("DomainName") and not values.get("CertificateArn"):
        found.append("CertificateArn must name the certificate for DomainName")
    if values.get("DefaultEndpoint") == "off" and not values.get("DomainName"):
        found.append("DefaultEndpoint is off, so DomainName must give the API another address")
    return found


def _rejection(value: str, declared: Mapping[str, Any]) -> str | None:
    """Return why CloudFormation rejects `value` for a parameter, None if it accepts it."""
    allowed = list(map(str, declared.get("AllowedValues", ())))
    if allowed and value not in allowed:
        return f"must be one of {', '.join(allowed)}"
    pattern = declared.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        return f"must be {declared['ConstraintDescription']}"
    if declared.get("Type") == "Number":
        lowest, highest = int(declared.get("MinValue", 0)), int(declared.get("MaxValue", 10**9))
        if not (value.isascii() and value.isdecimal() and lowest <= int(value) <= highest):
            return f"must be a whole number from {lowest} to {highest}"
    return None


def template_parameters() -> dict[str, Mapping[str, Any]]:
    """Return the parameters that template.yaml in this directory declares."""
    document = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader=_TemplateLoader)  # noqa: S506 - a SafeLoader
    return dict(document["Parameters"])


class _TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (`!Ref`) as None."""


_TemplateLoader.add_multi_constructor("!", lambda *_: None)
