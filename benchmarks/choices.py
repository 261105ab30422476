#!/usr/bin/env python
"""What each choice for speed buys: the built function as it is, and with that one choice taken back.

Each is a fresh interpreter that is given the function's package and the runtime's, and nothing else; they are started
in turn. It is processor time that is measured, of a start, of the first request after it and of the requests then,
against the stand-in for Secrets Manager and SSM. With `--publish`, docs/performance.md gets the tables.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from report import filled

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs/performance.md"

START, FIRST, WARM = "a start", "the first request", "a warm request"

_PROBE = """
import gc, json, sys, time

gc.disable()  # As the handler's first line does. Some preludes import parts of the function before it.
prelude, event, requests, results = sys.argv[1:]
began = time.process_time()
exec(prelude)
from roomkey.handler import handler
measured = {"a start": time.process_time() - began}
if int(requests):
    with open(event) as file:
        event = json.load(file)

    def ask(count):
        began = time.process_time()
        for _ in range(count):
            if handler(event, None)["statusCode"] != 200:
                raise RuntimeError("no token")
        return (time.process_time() - began) / count

    measured |= {"the first request": ask(1), "a warm request": ask(int(requests))}
with open(results, "w") as file:
    json.dump(measured, file)
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
    starts_only: bool = False
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
    Choice("garbage", "No garbage collection during a start: what it makes, stays", START,
           "gc.disable = gc.freeze = lambda: None; gc.enable()"),
    Choice("ready", "Clients and certificate authorities are made ready at init, not by the first request "
           "([why](decisions/0012-ready-before-the-first-request.md))", FIRST,
           "import roomkey.stores as stores; stores.AwsApi.prepare = lambda self: None"),
    Choice("metrics", "Powertools makes the form of a line of metrics once for each set of dimensions, not for each "
           "request", WARM,
           "import roomkey.observability as seen; seen._form = seen._form.__wrapped__"),
    Choice("key", "PyJWT looks for PEM, SSH and JWK in a key once, when it is loaded, and not for each token that it "
           "signs", WARM, _HS256 + "hs256._signer = jwt.PyJWS(options={'enforce_minimum_key_length': True})"),
    Choice("coders", "JSON encoders and decoders with options are made once", WARM, _HS256 + """
from roomkey import strict_json
class Anew:
    def __init__(self, encode=None, decode=None): self.encode, self.decode = encode, decode
strict_json._ENCODER = Anew(lambda document: json.dumps(document, ensure_ascii=True, allow_nan=False))
strict_json._DECODER = Anew(decode=lambda text: json.loads(text, object_pairs_hook=strict_json.without_repeats,
    parse_constant=strict_json._refused, parse_float=strict_json._finite))
hs256._encoder = Anew(lambda claims: json.dumps(claims, separators=(",", ":")))
"""),
    Choice("atob", "Characters that `atob` cannot take are looked for with one pattern, not replaced one by one", WARM,
           _HS256 + """
class OneByOne:
    hostile = {ord(one): f"\\\\u{ord(one):04x}" for one in ">?~\\x7f"}
    def sub(self, _, text): return text.translate(self.hostile)
hs256._ATOB_HOSTILE = OneByOne()
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
""", starts_only=True, deployed=False),
    Choice("by-hand", "Tokens put together by hand, with PyJWT's algorithm alone", WARM, _HS256 + """
algorithm, encoded = jwt.get_algorithm_by_name("HS256"), hs256._encoded
def sign(claims, key):
    payload = hs256._ATOB_HOSTILE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", hs256._encoder.encode(claims))
    signed = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + encoded(payload.encode())
    return signed + "." + encoded(algorithm.sign(signed.encode(), key.encode()))
hs256.sign = sign
""", deployed=False),
)  # fmt: skip
"""A dead end's title says what it does, another's what the function does."""

_AS_IT_IS = Choice("as-it-is", "", "")


def main() -> None:
    from bench import EVENT, environ, stand_in
    from packages import PYTHON, PYTHON_RUNTIME, contenders

    arguments = _arguments()
    npm = shutil.which("npm")
    if not npm:
        sys.exit("The packages are made with those of `make bench`: install Node.js 20 or later, with npm.")
    [roomkey] = [one for one in contenders(npm) if one.name == "roomkey"]
    measured: dict[str, list[Mapping[str, float]]] = {one.name: [] for one in (_AS_IT_IS, *CHOICES)}
    with tempfile.TemporaryDirectory() as folder, stand_in() as aws:
        bare = [Path(folder) / part.name for part in roomkey.folders]
        for part, to in zip(roomkey.folders, bare, strict=True):
            shutil.copytree(part, to, ignore=shutil.ignore_patterns("__pycache__"))
        for number in range(1, arguments.rounds + 1):
            print(f"round {number} of {arguments.rounds}", flush=True)
            for one in (_AS_IT_IS, *CHOICES):
                path = ":".join(map(str, [*(roomkey.folders if one.bytecode else bare), PYTHON_RUNTIME]))
                lambdas = {"AWS_LAMBDA_RUNTIME_API": "nowhere", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
                results = Path(folder) / "results.json"
                requests = 0 if one.starts_only else arguments.warm
                subprocess.run(
                    [PYTHON, "-c", _PROBE, one.prelude, EVENT, str(requests), results],
                    env=environ(aws) | lambdas,
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                measured[one.name].append(json.loads(results.read_text()))
    # Whatever else the machine does only adds to processor time: the least is what it takes.
    least = {
        name: {figure: round(1000 * min(one[figure] for one in runs), 4) for figure in runs[0]}
        for name, runs in measured.items()
    }
    print("\n\n".join(tables(least).values()))
    if arguments.publish:
        RESULTS.write_text(json.dumps(least, indent=1) + "\n")
        PAGE.write_text(filled(PAGE.read_text(), tables(least)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each is started")
    parser.add_argument("--warm", type=int, default=1000, help="requests after the first, in each round")
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md and benchmarks/choices.json")
    return parser.parse_args()


def tables(least: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """The parts of the page, by the names of their markers: milliseconds of processor time."""
    deployed = [one for one in CHOICES if one.deployed]
    return {
        "choices": _table(("", "of", "with it", "without it"), deployed, least),
        "dead-ends": _table(("", "of", "as it is", "with it"), [one for one in CHOICES if not one.deployed], least),
    }


def _table(head: Sequence[str], choices: Sequence[Choice], least: Mapping[str, Mapping[str, float]]) -> str:
    rows = [head, ("---", "---", "---:", "---:")]
    for one in choices:
        digits = 3 if one.figure == WARM else 0
        both = (f"{least[name][one.figure]:.{digits}f} ms" for name in (_AS_IT_IS.name, one.name))
        rows.append((one.title, one.figure, *both))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
