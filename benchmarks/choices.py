#!/usr/bin/env python
"""What each choice for speed buys: the built function as it is, and with that one choice taken back.

Each is a fresh interpreter that is given the function's package and the runtime's, and nothing else. The two are
started one after the other and asked in turn, and it is the ratio of their processor times that counts: of a start, of
the first request after it, or of the requests then, against the stand-in for Secrets Manager and SSM. With
`--publish`, docs/performance.md gets the tables.
"""

import argparse
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO, cast

from report import Figure, filled

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs/performance.md"

START, FIRST, WARM = "a start", "the first request", "a warm request"

_PROBE = """
import gc, json, os, sys, time

gc.disable()  # As the handler's first line does. Some preludes import parts of the function before it.
prelude, event, results = sys.argv[1:]
began = time.process_time()
exec(prelude)
from roomkey.handler import handler
took = time.process_time() - began
with open(event) as file:
    event = json.load(file)
with open(int(results), "w", buffering=1) as results:
    print(took, file=results)
    for line in sys.stdin:
        began = time.process_time()
        for _ in range(int(line)):
            if handler(event, None)["statusCode"] != 200:
                raise RuntimeError("no token")
        print(time.process_time() - began, file=results)
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that was decided for `figure`'s sake, and the code that takes it back before the function is loaded.

    `deployed` tells whether the function does it: a dead end does not, and its code puts it in.
    """

    name: str
    title: str
    figure: str
    prelude: str = ""
    bytecode: bool = True
    deployed: bool = True


_HS256 = "import json, jwt; from roomkey.platforms import hs256\n"
_OWN_SDK_DATA = "import botocore.loaders, roomkey.stores as stores; stores._SdkData = botocore.loaders.Loader\n"

CHOICES = (
    Choice("bytecode", "The package has its bytecode (`make build`)", START, bytecode=False),
    Choice("botocore", "botocore, without boto3", START, "import boto3; boto3.Session()"),
    Choice("data", "botocore reads 27 KB of ours about services and endpoints, not 2.2 MB, and looks through no "
           "folders ([why](decisions/0011-a-part-of-the-sdk-s-data-of-our-own.md))", START, _OWN_SDK_DATA),
    Choice("folders", "of that, the look through the folders of all services", START,
           "import roomkey.stores as stores; del stores._SdkData.list_available_services"),
    Choice("handlers", "botocore's hooks for other services are not registered", START,
           "import botocore.session as sdk; plain = sdk.Session\n"
           "sdk.Session = lambda include_builtin_handlers: plain()"),
    Choice("garbage", "No garbage collection during a start: what it makes, stays", START,
           "gc.disable = gc.freeze = lambda: None; gc.enable()"),
    Choice("ready", "Clients and certificate authorities are made ready at init, and calls rehearsed, not by the first "
           "request ([why](decisions/0012-ready-before-the-first-request.md))", FIRST,
           "import roomkey.stores as stores; stores.AwsApi.prepare = lambda self: None"),
    Choice("metrics", "Powertools makes the form of a line of metrics once for each set of dimensions, not for each "
           "request", WARM,
           "import roomkey.observability as seen; seen._form = seen._form.__wrapped__"),
    Choice("jws", "PyJWT's HMAC signs below a header that is written once; PyJWT would write it, and look for PEM, SSH "
           "and JWK in the key, for each token ([why](decisions/0013-pyjwt-s-hmac-below-a-header-of-our-own.md))", WARM,
           _HS256 + """
signer = jwt.PyJWS(options={"enforce_minimum_key_length": True})
def sign(claims, key):
    payload = hs256._encoder.encode(claims)
    for hostile, escaped in hs256._FOR_ATOB.items():
        payload = payload.replace(hostile, escaped)
    return signer.encode(payload.encode(), key, algorithm="HS256")
hs256.sign = sign
"""),
    Choice("uuid", "A random UUID is written from its bytes, not by way of `uuid.UUID` "
           "([why](decisions/0014-a-uuid-written-from-its-bytes.md))", WARM, """
import uuid
from roomkey import dependencies
from roomkey.platforms.base import Randomness
dependencies.Randomness = lambda: Randomness(uuid=lambda: str(uuid.uuid4()))
"""),
    Choice("signature", "A signature is checked with `hmac.new`: for `hmac.digest` OpenSSL looks parts up each time",
           WARM, _HS256 + """
import hmac
class OneShot:
    compare_digest = hmac.compare_digest
    def __init__(self, *asked): self.asked = asked
    def digest(self): return hmac.digest(*self.asked)
    new = classmethod(lambda made, key, message, digest: made(key, message, "sha256"))
hs256.hmac = OneShot
"""),
    Choice("near", "Rules are sorted, when a policy is read, by what they are for and how long a life they grant", WARM,
           """
from roomkey import policy
def decide(self, request, caller):
    granting = [rule for rule in self.rules if rule.grants(request, caller)]
    if not granting: return policy.Decision(allowed=False)
    life = lambda rule: policy.math.inf if rule.longest_life is None else rule.longest_life
    rule = max(granting, key=life)
    return policy.Decision((request.expires_in or 0) <= life(rule), rule.name, rule.longest_life)
policy.Policy.decide = decide
"""),
    Choice("loops", "Whom a rule is for, and its patterns, are asked in loops, not by `any` of a generator", WARM, """
from roomkey import policy
policy.Rule._is_for = lambda rule, caller: any(subject.matches(caller) for subject in rule.who)
policy._named = lambda value, patterns, caller: (
    value is None or any(pattern.matches(value, caller) for pattern in patterns))
"""),
    Choice("rules", "Whether a rule grants is one expression, and not a generator of its fields", WARM, """
from roomkey import policy
def fields(rule, request, caller):
    yield "kinds", request.kind in rule.kinds
    yield "platforms", request.platform.name in rule.platforms
    yield "services", rule.services.issuperset(request.services)
    yield "who", rule._is_for(caller)
    yield "roles", policy._named(request.role, rule.roles, caller)
    yield "rooms", policy._named(request.room_id, rule.rooms, caller)
policy.Rule.grants = lambda *asked: all(named for _, named in fields(*asked))
"""),
    Choice("shape", "What a body may hold is put together once for each kind of token", WARM,
           "from roomkey import token_requests; token_requests._shape = token_requests._shape.__wrapped__"),
    Choice("values", "What every request makes is a `NamedTuple`, not a frozen dataclass", WARM, """
import dataclasses, types, typing
import aws_lambda_powertools.metrics, botocore.httpsession, botocore.session, jwt
class Frozen(type):
    def __new__(kind, name, bases, body):
        others = tuple(base for base in bases if base is not typing.NamedTuple)
        made = types.new_class(name, others, {}, lambda to: to.update(body))
        made._replace = dataclasses.replace
        return dataclasses.dataclass(frozen=True, slots=True)(made)
typing.NamedTuple = type.__new__(Frozen, "NamedTuple", (), {})
"""),
    Choice("coders", "JSON encoders and decoders with options are made once", WARM, _HS256 + """
from roomkey import strict_json
class Anew:
    def __init__(self, encode=None, decode=None): self.encode, self.decode = encode, decode
strict_json._ENCODER = Anew(lambda document: json.dumps(document, check_circular=False, allow_nan=False))
strict_json._DECODER = Anew(decode=lambda text: json.loads(text, object_pairs_hook=strict_json.without_repeats,
    parse_constant=strict_json._refused, parse_float=strict_json._finite))
hs256._encoder = Anew(lambda claims: json.dumps(claims, check_circular=False, separators=(",", ":")))
"""),
    Choice("circles", "JSON encoders do not look for documents that hold themselves: none of ours does", WARM,
           _HS256 + """
from roomkey import strict_json
strict_json._ENCODER.check_circular = hs256._encoder.check_circular = True
"""),
    Choice("minute", "The minute of an audit line's `ts` is written once for each minute", WARM,
           "from roomkey import audit; audit._minute = audit._minute.__wrapped__"),
    Choice("atob", "Characters that `atob` cannot take are looked for one by one, not with a pattern", WARM,
           _HS256 + """
import re
class Pattern:
    hostile = re.compile("[>?~]")
    def encode(self, claims):
        return self.hostile.sub(lambda found: f"\\\\u{ord(found[0]):04x}", encoder.encode(claims))
encoder, hs256._encoder, hs256._FOR_ATOB = hs256._encoder, Pattern(), {}
"""),
    Choice("header", "A token's header, the same in all, is read once", WARM,
           _HS256 + "hs256._header = hs256._header.__wrapped__"),
    Choice("variable", "`AWS_DATA_PATH` in the place of a loader", START,
           _OWN_SDK_DATA + "stores._SdkData = lambda: botocore.loaders.Loader([str(stores.SDK_DATA)])", deployed=False),
    Choice("no-sdk", "No SDK at all: the least that a signer of our own could take", START, """
import hashlib, hmac, http.client, ssl, types, urllib.parse, importlib.util
authorities = importlib.util.find_spec("botocore").submodule_search_locations[0] + "/cacert.pem"
class Nothing:
    def __init__(self, *_): pass
    def prepare(self): ssl.create_default_context(cafile=authorities)
stores = sys.modules["roomkey.stores"] = types.ModuleType("roomkey.stores")
stores.AwsApi = stores.ParameterStore = stores.SecretStore = stores.Secret = Nothing
""", deployed=False),
    Choice("no-powertools", "No Powertools at all: the most that loading it late could save", START, """
import types
class Nothing:
    def __init__(self, **_): pass
    def setLevel(self, level): pass
powertools, metrics = types.ModuleType("aws_lambda_powertools"), types.ModuleType("aws_lambda_powertools.metrics")
powertools.Logger = metrics.EphemeralMetrics = Nothing
metrics.MetricUnit = types.SimpleNamespace(Count="Count", Milliseconds="Milliseconds", Seconds="Seconds")
sys.modules |= {"aws_lambda_powertools": powertools, "aws_lambda_powertools.metrics": metrics}
""", deployed=False),
    Choice("threads", "The SDK imported on a thread, beside the rest", START,
           "import threading; threading.Thread(target=__import__, args=['botocore.session']).start()", deployed=False),
    Choice("authorities", "Certificate authorities handed to OpenSSL by Python, not read by it", START, """
import ssl
made = ssl.create_default_context
def handed(*, cafile):
    with open(cafile) as authorities: return made(cadata=authorities.read())
ssl.create_default_context = handed
""", deployed=False),
)  # fmt: skip
"""A dead end's title says what it does, another's what the function does."""


class _Started:
    """An interpreter that has loaded the function, and does as many requests as it is told."""

    def __init__(self, requests: TextIO, results: TextIO) -> None:
        self._requests, self._results = requests, results
        self.start = float(results.readline())
        """Processor time, in seconds, as all here."""

    def ask(self, count: int) -> float:
        """Does so many requests, and returns what they took."""
        print(count, file=self._requests, flush=True)
        return float(self._results.readline())

    @classmethod
    @contextmanager
    def probe(
        cls, environment: Mapping[str, str], event: Path, python: Path, prelude: str, packages: Sequence[Path]
    ) -> Iterator[Self]:
        readable, writable = os.pipe()
        lambdas = {"AWS_LAMBDA_RUNTIME_API": "nowhere", "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            [python, "-c", _PROBE, prelude, event, str(writable)],
            env={**environment, **lambdas, "PYTHONPATH": ":".join(map(str, packages))},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[writable],
            text=True,
        )
        os.close(writable)
        # Both on the same processor, where there is a choice: one may be slower than the other for a while.
        os.sched_setaffinity(process.pid, [max(os.sched_getaffinity(0))])
        with process, os.fdopen(readable) as results:
            yield cls(cast("TextIO", process.stdin), results)
            process.communicate()


def _ratio(figure: str, without: _Started, as_it_is: _Started) -> float:
    """What the one takes, of what the other does. They are asked in turn: a slow moment strikes both."""
    if figure == START:
        return without.start / as_it_is.start
    first = without.ask(1) / as_it_is.ask(1)
    if figure == FIRST:
        return first
    for one in (without, as_it_is):
        one.ask(300)
    return statistics.median(without.ask(50) / as_it_is.ask(50) for _ in range(24))


def main() -> None:
    from bench import EVENT, environ, stand_in
    from packages import PYTHON, PYTHON_RUNTIME, contenders

    arguments = _arguments()
    npm = shutil.which("npm")
    if not npm:
        sys.exit("The packages are made with those of `make bench`: install Node.js 20 or later, with npm.")
    [roomkey] = [one for one in contenders(npm) if one.name == "roomkey"]
    chosen = [one for one in CHOICES if not arguments.only or one.name in arguments.only]
    # A start is one moment, and a slow one strikes it alone: it takes more of them.
    starts = tuple(one for one in chosen if one.figure == START)
    ratios: dict[str, list[float]] = {one.name: [] for one in chosen}
    with tempfile.TemporaryDirectory() as folder, stand_in() as aws:
        bare = [Path(folder) / part.name for part in roomkey.folders]
        for part, to in zip(roomkey.folders, bare, strict=True):
            shutil.copytree(part, to, ignore=shutil.ignore_patterns("__pycache__"))
        started = functools.partial(_Started.probe, environ(aws), EVENT)
        packages = {True: [*roomkey.folders, PYTHON_RUNTIME], False: [*bare, PYTHON_RUNTIME]}
        for number in range(1, arguments.rounds + 1):
            print(f"round {number} of {arguments.rounds}", flush=True)
            for one in (*chosen, *2 * starts):
                with (
                    started(PYTHON, "", packages[True]) as as_it_is,
                    started(PYTHON, one.prelude, packages[one.bytecode]) as without,
                ):
                    ratios[one.name].append(_ratio(one.figure, without, as_it_is))
    measured = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    measured |= {name: [round(ratio, 3) for ratio in found] for name, found in ratios.items()}
    measured = {one.name: measured[one.name] for one in CHOICES}
    print("\n\n".join(tables(measured).values()))
    if arguments.publish:
        RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
        PAGE.write_text(filled(PAGE.read_text(), tables(measured)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each is started")
    parser.add_argument(
        "--only", action="append", choices=[one.name for one in CHOICES],
        help="this one (may be given more than once); the others stay as they were measured last",
    )  # fmt: skip
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md and benchmarks/choices.json")
    return parser.parse_args()


def tables(measured: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """The parts of the page, by the names of their markers, from each choice's ratios."""
    deployed = [one for one in CHOICES if one.deployed]
    return {
        "choices": _table("without it, of what it takes", deployed, measured),
        "dead-ends": _table("with it, of what it takes", [one for one in CHOICES if not one.deployed], measured),
    }


def _table(head: str, choices: Sequence[Choice], measured: Mapping[str, Sequence[float]]) -> str:
    rows = [("", "of", head), ("---", "---", "---:")]
    rows += [(one.title, one.figure, Figure.of(measured[one.name]).text(2)) for one in choices]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
