"""`roomkey env list`: the environments of this account and region."""

from roomkey_cli.aws import kill_switch, parameters
from roomkey_cli.aws.parameters import Parameter
from roomkey_cli.commands.options import known_environments
from roomkey_cli.commands.session import Session
from roomkey_cli.environment import Environment
from roomkey_cli.terminal import print_json, print_line


def list_environments(session: Session) -> None:
    """List the environments in this AWS account and region, and those that have a file in config/.

    Example: roomkey env list
    """
    aws = session.aws
    configured = known_environments()
    stored = parameters.environment_names(aws)
    rows = []
    for name in sorted({*configured, *stored}):
        found = parameters.read(aws, Environment.from_name(name)).kill_switch if name in stored else None
        rows.append((name, found, name in configured))
    if session.as_json:
        listed = [
            {
                "environment": name,
                "minting": kill_switch.as_json(found.kill_switch) if found else None,
                "config": has_file,
            }
            for name, found, has_file in rows
        ]
        print_json({"region": aws.region, "environments": listed})
        return
    if not rows:
        print_line(f"No environments in {aws.region}. roomkey up NAME creates one.")
    for name, found, has_file in rows:
        print_line(
            f"{_words(found):<36}  {f'config/{name}.yaml' if has_file else ''}", mark=f"{name:<16}  ", style="bold"
        )


def _words(found: Parameter | None) -> str:
    if found is None:
        return "not created (roomkey env init)"
    if found.kill_switch is None:
        return "INVALID kill switch: nothing is minted"
    return f"minting is {kill_switch.state_words(found.kill_switch)}"
