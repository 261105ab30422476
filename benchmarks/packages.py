"""The contenders, each packaged as it would be deployed, and the runtime that Lambda would put beneath it."""

import datetime as dt
import hashlib
import ipaddress
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = Path(__file__).parent
ROOT = HERE.parent
MADE = ROOT / ".tools/benchmark"
"""What is made here, once for each version of what it is made from."""

PYTHON = MADE / "python/bin/python"
"""An interpreter that has no packages but those that a contender brings."""

CERTIFICATE = MADE / "stand-in.pem"
PYTHON_RUNTIME = MADE / "python-runtime"
BUILT = ROOT / ".aws-sam/build"
RIE = ROOT / ".tools/sam/lib"


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that mints tokens. `folders` are what is deployed; `entry` is its handler, as Lambda is told it."""

    name: str
    title: str
    folders: tuple[Path, ...]
    entry: str
    language: str = "Python"
    asks_aws_always: bool = False

    @property
    def size(self) -> int:
        """Bytes, unzipped."""
        return sum(file.stat().st_size for folder in self.folders for file in folder.rglob("*") if file.is_file())

    @property
    def bytecode(self) -> str:
        """Whether every module has its bytecode with it."""
        if self.language != "Python":
            return "none"
        count = {
            suffix: sum(1 for folder in self.folders for _ in folder.rglob(suffix)) for suffix in ("*.py", "*.pyc")
        }
        return "yes" if count["*.pyc"] >= count["*.py"] else "no"

    def command(self, node: str) -> list[str]:
        """What starts it, as the runtime's bootstrap does."""
        if self.language == "Node":
            return [node, str(HERE / "runtime/node.mjs"), self.entry]
        return [str(PYTHON), "-m", "awslambdaric", self.entry]

    def environ(self) -> dict[str, str]:
        """What its process finds in its environment beside what all do."""
        # As in Lambda, whose /var/task and /opt are read-only: nothing is compiled for the next time.
        path = os.pathsep.join(map(str, [*self.folders, PYTHON_RUNTIME]))
        python = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        node = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x", "NODE_EXTRA_CA_CERTS": str(CERTIFICATE)}
        return {"LAMBDA_TASK_ROOT": str(self.folders[0]), **(node if self.language == "Node" else python)}


def contenders(npm: str) -> list[Contender]:
    """All of them, made where they are not made yet. Roomkey is what `make build` left."""
    _once(PYTHON.parent.parent, HERE / "packages.py", lambda to: venv.create(to, symlinks=True))
    _once(PYTHON_RUNTIME, HERE / "runtime/requirements.txt", _python_runtime)
    made = {}
    for folder in sorted((HERE / "contenders").iterdir()):
        made[folder.name] = MADE / folder.name
        _once(made[folder.name], folder, lambda to, folder=folder: _package(folder, to, npm))
    return [
        Contender("constant", "a constant (floor)", (made["constant"],), "handler.handler"),
        Contender("hs256", "HS256, key in memory (floor)", (made["hs256"],), "handler.handler"),
        Contender("roomkey", "Roomkey", (BUILT / "Function", BUILT / "Dependencies/python"),
                  "roomkey.handler.handler"),
        Contender("node", "Node, jsonwebtoken + AWS SDK v3", (made["node"],), "index.mjs", "Node"),
        Contender("powertools", "Powertools with validation", (made["powertools"],), "handler.handler"),
        Contender("simple", "PyJWT + boto3, nothing kept", (made["simple"],), "handler.handler", asks_aws_always=True),
    ]  # fmt: skip


def emulator() -> Path:
    """AWS's runtime interface emulator, which the SAM CLI carries."""
    machine = "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"
    return next(RIE.glob(f"python*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))


def _once(to: Path, source: Path, make: Callable[[Path], None]) -> None:
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    made_from = hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()
    stamp = MADE / f"{to.name}.made-from"
    if to.exists() and stamp.exists() and stamp.read_text() == made_from:
        return
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    print(f"Making {to.relative_to(ROOT)} ...", flush=True)
    make(to)
    stamp.write_text(made_from)


def _package(source: Path, to: Path, npm: str) -> None:
    """As `sam build` makes it: the sources and what they require, without bytecode."""
    for file in source.iterdir():
        if file.is_file() and file.suffix in (".py", ".mjs", ".json"):
            shutil.copy(file, to)
    if (source / "requirements.txt").exists():
        _install(source / "requirements.txt", to)
        for cache in [*to.rglob("__pycache__"), to / "bin"]:
            shutil.rmtree(cache, ignore_errors=True)
    if (source / "package-lock.json").exists():
        subprocess.run([npm, "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"], cwd=to, check=True)


def _python_runtime(to: Path) -> None:
    """What is in /var/runtime, with bytecode (whether AWS's own has it cannot be seen from outside)."""
    _install(HERE / "runtime/requirements.txt", to)
    # It trusts the stand-in as it trusts AWS, and reads the other authorities as it would there.
    _make_certificate()
    with (to / "botocore/cacert.pem").open("a") as authorities:
        authorities.write(CERTIFICATE.read_text().partition("-----BEGIN PRIVATE KEY")[0])
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(to)], check=True
    )


def _install(requirements: Path, to: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore"]
    options = ["--no-compile", "--require-hashes", "--only-binary=:all:", "--target", str(to)]
    subprocess.run([*pip, *options, "-r", str(requirements)], check=True)


def _make_certificate() -> None:
    """A certificate for this machine that signs itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS, as the benchmark plays it")])
    today = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    CERTIFICATE.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
