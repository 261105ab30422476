"""`roomkey policy explain`: the decision on one request, and its reasons."""

import re
from collections.abc import Iterator
from typing import Annotated

import typer

from roomkey.policy import Policy
from roomkey_cli.commands import files
from roomkey_cli.commands.options import PolicyArgument, PolicyKindOption, RequiredPlatformOption
from roomkey_cli.commands.session import Output
from roomkey_cli.policy import simulate
from roomkey_cli.policy.simulate import Outcome, Question
from roomkey_cli.terminal import REFUSED, USAGE, fail, harmless, print_json


def explain(
    file: PolicyArgument,
    who: Annotated[
        str, typer.Option("--as", metavar="WHO", help="The caller: anyone, user:ID, principal:ARN or invite.")
    ],
    platform: RequiredPlatformOption,
    output: Output,
    kind: PolicyKindOption = "app",
    groups: Annotated[
        str, typer.Option(metavar="NAMES", help="The user's groups, separated by spaces or by commas.")
    ] = "",
    claims: Annotated[
        str, typer.Option(metavar="CLAIMS", help="The user's other claims: NAME=VALUE, separated by ;")
    ] = "",
    room: Annotated[str, typer.Option(metavar="ID", help="The room or channel.")] = "",
    role: Annotated[str, typer.Option(metavar="NAME", help="The role.")] = "",
    permissions: Annotated[
        str, typer.Option(metavar="NAMES", help="VideoSDK's permissions instead, separated by spaces.")
    ] = "",
    services: Annotated[str, typer.Option(metavar="NAMES", help="The services, separated by spaces.")] = "",
    lifetime: Annotated[str, typer.Option(metavar="SECONDS", help="The request's expires_in. Default: none.")] = "",
    sets: Annotated[
        str, typer.Option(metavar="NAMES", help="With livekit: metadata, attributes or both, if the request sets them.")
    ] = "",
    agent: Annotated[str, typer.Option(metavar="NAME", help="With livekit: the agent that the request sends.")] = "",
    every_rule: Annotated[bool, typer.Option("--all", help="Show every rule, not only the nearest.")] = False,
) -> None:
    """Explain a policy's decision on one request: the rule that grants it, or the rules that nearly do.

    Exit status: 0 allowed, 1 denied, 2 wrong usage, or an invalid policy or request.

    Example: roomkey policy explain policy.json --as user:ada --groups teachers --platform 100ms --room r1 --role host
    """
    policy = files.policy(file)
    columns = {
        "as": who,
        "groups": groups,
        "claims": claims,
        "kind": str(kind),
        "platform": str(platform),
        "room": room,
        "role": role,
        "permissions": permissions,
        "services": services,
        "lifetime": lifetime,
        "sets": sets,
        "agent": agent,
    }
    try:
        question = simulate.parse_question(columns)
    except ValueError as error:
        # Each reason begins with the name of a column, which is also an option.
        why = re.sub(rf"(^|; )(?=({'|'.join(columns)})\b)", r"\1--", str(error))
        fail(f"invalid request: {why}", USAGE)
    outcome = simulate.decide(policy, question)
    if output.as_json:
        print_json(simulate.as_json(policy, question, outcome))
    else:
        print("\n".join(map(harmless, _lines(policy, question, outcome, every_rule=every_rule))))
    if not outcome.allowed:
        raise typer.Exit(REFUSED)


def _lines(policy: Policy, question: Question, outcome: Outcome, *, every_rule: bool) -> Iterator[str]:
    yield f"{'allowed' if outcome.allowed else 'denied'}: {outcome.why}"
    if simulate.is_only_recorded(policy, question):
        yield "The policy's mode is audit: the token is minted anyway, and the decision recorded."
    if every_rule:
        for _, lines in simulate.rule_by_rule(policy, question):
            yield from (f"  {line}" for line in lines)
        return
    if not outcome.allowed:
        near = simulate.nearest(policy, question)
        yield from (f"  {line}" for line in near)
        if near and len(policy.rules) > 1:
            yield "  (the nearest rules; --all shows every rule)"
