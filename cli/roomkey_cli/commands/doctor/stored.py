"""Checks of what operators store: kill switch, policy, block list and secrets."""

from collections.abc import Iterable, Iterator

from roomkey.platforms import PLATFORMS
from roomkey_cli.aws import block_list as block_lists
from roomkey_cli.aws import kill_switch as kill_switches
from roomkey_cli.aws import kms, secret_store
from roomkey_cli.aws.client import DENIED, AwsError
from roomkey_cli.aws.secret_store import SecretMetadata
from roomkey_cli.commands.doctor.examination import Examination, Finding
from roomkey_cli.environment import INVITES
from roomkey_cli.policy import lint
from roomkey_cli.terminal import FAIL, OK, WARN
from roomkey_cli.tokens import verify_secret


def kill_switch(examination: Examination) -> Iterator[Finding]:
    found, environment = examination.snapshot.kill_switch, examination.environment
    init = f"roomkey env init {environment}"
    if found is None:
        yield Finding("kill switch", FAIL, f"{environment.kill_switch_name} does not exist", init)
    elif found.type != "String":
        fix = f"delete it and run {init}: its type must be String"
        yield Finding("kill switch", FAIL, f"{found.name} is a {found.type}", fix)
    elif found.kill_switch is None:
        fix = f"roomkey env disable {environment}, or enable"
        yield Finding("kill switch", FAIL, f"{found.name} does not contain a valid kill switch", fix)
    else:
        yield Finding("kill switch", OK, f"minting is {kill_switches.state_words(found.kill_switch)}")


def policy(examination: Examination) -> Iterator[Finding]:
    found, environment = examination.snapshot.policy, examination.environment
    fix = f"roomkey policy put {environment} FILE"
    if found is None:
        yield Finding("policy", FAIL, f"{environment.policy_name} does not exist", f"roomkey env init {environment}")
        return
    if found.type != "String":
        yield Finding("policy", FAIL, f"{found.name} is a {found.type}", f"delete it: its type must be String: {fix}")
        return
    read = lint.parse(found.text.encode())
    if read.policy:
        yield Finding("policy", OK, lint.summary(read.policy))
        access = examination.access
        if access and read.policy.rules and not lint.grants_app_tokens(read.policy, access):
            message = f"grants no app token to any caller, since AppTokenAccess is {access}"
            yield Finding("policy", FAIL, message, f"name {' or '.join(lint.SUBJECTS[access])} in who: {fix}")
    for problem in read.problems:
        yield Finding("policy", FAIL, str(problem), fix)
    for warning in _once(read.warnings):
        yield Finding("policy", WARN, warning, fix)


def _once(warnings: Iterable[lint.PolicyFinding]) -> Iterator[str]:
    """Yield each warning once, with the names of the other rules that have it."""
    rules: dict[tuple[str, str], list[str]] = {}
    for warning in warnings:
        rule, dot, member = warning.where.partition(".")
        rules.setdefault((dot + member, warning.why), []).append(rule)
    for (member, why), (first, *others) in rules.items():
        yield f"{first}{member} {why}{f' (also {", ".join(others)})' if others else ''}"


def block_list(examination: Examination) -> Iterator[Finding]:
    found, environment = examination.snapshot.block_list, examination.environment
    if found is None:
        message = f"{environment.block_list_name} does not exist"
        yield Finding("block list", FAIL, message, f"roomkey env init {environment}")
        return
    stored = block_lists.examine(found.text)
    for problem in stored.problems:
        yield Finding("block list", FAIL, f"{found.name}: {problem}", stored.repair(environment))
    if not stored.problems:
        yield Finding("block list", OK, block_lists.summary(stored.valid))
    for warning in block_lists.warnings(stored.valid):
        yield Finding("block list", WARN, warning, f"remove it with roomkey unblock {environment}")


def secrets(examination: Examination) -> Iterator[Finding]:
    stored = 0
    for name in (*PLATFORMS, INVITES):
        secret = secret_store.find(examination.aws, examination.environment, name)
        stored += secret is not None
        yield from _secret(examination, name, secret)
    if not stored and not examination.served:
        fix = f"roomkey secret put {examination.environment} PLATFORM, for each platform that is served"
        yield Finding("secrets", WARN, "no secret is stored", fix)


def _secret(examination: Examination, part: str, secret: SecretMetadata | None) -> Iterator[Finding]:
    """Yield the findings of a platform's secret, or of the keys of invites."""
    name = examination.environment.secret_name(part)
    fix = f"roomkey secret put {examination.environment} {part}{' --generate' if part == INVITES else ''}"
    if secret is None:
        if why := _needed(examination, part):
            yield Finding("secrets", FAIL, f"{why}, and {name} does not exist", fix)
        return
    if secret.deleted:
        yield Finding("secrets", FAIL if _needed(examination, part) else WARN, f"{name} is marked for deletion", fix)
        return
    yield from _secret_key(examination, name, secret)
    try:
        problems = verify_secret.examined(examination.aws, examination.environment, part)["problems"]
    except AwsError as error:
        if error.code not in DENIED:
            raise
        fix = f"ask someone with access to run roomkey secret check {examination.environment}"
        yield Finding("secrets", WARN, f"{name} is stored; you are not allowed to read it", fix)
        return
    for problem in problems:
        yield Finding("secrets", FAIL, f"{name}: {problem}", fix)
    if not problems:
        proof = "an invite signed" if part == INVITES else "a token of each kind minted"
        yield Finding("secrets", OK, f"{name}: {proof} and verified")


def _needed(examination: Examination, part: str) -> str:
    """Return why the environment needs a secret, empty if it does not."""
    if part in examination.served:
        return f"{part} is served"
    return "the policy grants invites" if part == INVITES and examination.grants_invites else ""


def _secret_key(examination: Examination, name: str, secret: SecretMetadata) -> Iterator[Finding]:
    if examination.stack is None:
        return
    key = examination.stack.parameters.get("KmsKeyArn", "")
    if kms.same_key(examination.aws, secret.kms_key, None) or (
        key and kms.same_key(examination.aws, secret.kms_key, key)
    ):
        return
    message = f"{name} is encrypted with {secret.kms_key}, which the function must not use"
    yield Finding("secrets", FAIL, message, "deploy with that key as KmsKeyArn, or encrypt it with AWS's own")
