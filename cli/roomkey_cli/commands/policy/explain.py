"""`roomkey policy explain`: the decision on one request, and its reasons."""

from collections.abc import Iterator
from typing import Annotated

import typer

from roomkey.platforms.base import TokenKind
from roomkey.policy import Mode, Policy
from roomkey_cli.commands import files
from roomkey_cli.commands.options import AsJson, KindOption, NeededPlatformOption, PolicyArgument
from roomkey_cli.policy import simulate
from roomkey_cli.policy.simulate import Question, Verdict
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless, say_json


def explain(
    file: PolicyArgument,
    who: Annotated[str, typer.Option("--as", metavar="WHO", help="anyone, user:ID or principal:ARN.")],
    platform: NeededPlatformOption,
    kind: KindOption = TokenKind.APP,
    groups: Annotated[str, typer.Option(metavar="NAMES", help="The user's groups, with a space between them.")] = "",
    claims: Annotated[
        str, typer.Option(metavar="CLAIMS", help="The user's other claims: NAME=VALUE, joined by ;")
    ] = "",
    room: Annotated[str, typer.Option(metavar="ID", help="The room or channel.")] = "",
    role: Annotated[str, typer.Option(metavar="NAME", help="The role.")] = "",
    permissions: Annotated[
        str, typer.Option(metavar="NAMES", help="VideoSDK's permissions instead, with a space between them.")
    ] = "",
    services: Annotated[str, typer.Option(metavar="NAMES", help="Agora's services, with a space between them.")] = "",
    lifetime: Annotated[str, typer.Option(metavar="SECONDS", help="expires_in, if the request says so.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say what a policy decides for one request, which rule decided, and why each other one does not grant it.

    Exit status: 0 allowed, 1 refused, 2 wrong usage, or a policy or request that is none.

    Example: roomkey policy explain policy.json --as user:ada --groups teachers --platform 100ms --room r1 --role host
    """
    policy = files.policy(file)
    columns = {
        "as": who,
        "groups": groups,
        "claims": claims,
        "kind": kind,
        "platform": platform.name,
        "room": room,
        "role": role,
        "permissions": permissions,
        "services": services,
        "lifetime": lifetime,
    }
    try:
        question = simulate.ask(columns)
    except ValueError as error:
        fail(f"nobody can ask this: {error}", USAGE)
    verdict = simulate.decide(policy, question)
    if as_json:
        say_json(simulate.as_json(policy, question, verdict))
    else:
        print("\n".join(map(harmless, _in_words(policy, question, verdict))))
    if not verdict.allowed:
        raise typer.Exit(REFUSED)


def _in_words(policy: Policy, question: Question, verdict: Verdict) -> Iterator[str]:
    yield f"{'allowed' if verdict.allowed else 'refused'}: {verdict.why}"
    if not verdict.allowed and not question.barred and policy.mode is Mode.AUDIT:
        yield "The policy's mode is audit: the token is minted all the same, and recorded."
    for _, says in simulate.rule_by_rule(policy, question):
        yield from (f"  {line}" for line in says)
