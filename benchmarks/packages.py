"""The contenders, each packaged as it would be deployed, and the runtime that Lambda puts beneath them."""

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
sys.path.append(str(ROOT / "scripts"))
import authorities  # noqa: E402

MADE = ROOT / ".tools/benchmark"
"""Everything built here, once per version of its sources."""

PYTHON = MADE / "python/bin/python"
"""An interpreter with no packages but pip."""

CERTIFICATE = MADE / "stand-in.pem"
PYTHON_RUNTIME = MADE / "python-runtime"
RIE = ROOT / ".tools/sam/lib"


@dataclass(frozen=True, slots=True)
class Contender:
    """A function that mints tokens. `folders` are deployed; `entry` is its handler, as in Lambda's configuration."""

    name: str
    title: str
    folders: tuple[Path, ...]
    entry: str = "handler.handler"
    language: str = "Python"

    @property
    def size(self) -> int:
        """Bytes, unzipped."""
        return sum(file.stat().st_size for folder in self.folders for file in folder.rglob("*") if file.is_file())

    def command(self, node: str) -> list[str]:
        """Return the command that starts it, as the runtime's bootstrap does."""
        if self.language == "Node":
            return [node, str(HERE / "runtime/node.mjs"), self.entry]
        return [str(PYTHON), "-m", "awslambdaric", self.entry]

    def environ(self) -> dict[str, str]:
        """Return the variables that only this language's runtime sets."""
        # As in Lambda, whose /var/task and /opt are read-only, nothing is compiled for the next start.
        path = os.pathsep.join(map(str, [*self.folders, PYTHON_RUNTIME]))
        python = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        node = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x", "NODE_EXTRA_CA_CERTS": str(CERTIFICATE)}
        return {"LAMBDA_TASK_ROOT": str(self.folders[0]), **(node if self.language == "Node" else python)}


def contenders(npm: str, before: Path | None) -> list[Contender]:
    """Return all contenders, packaged. `before` is a built checkout of the code that used the SDK."""
    _once(PYTHON.parent.parent, [HERE / "packages.py"], lambda to: venv.create(to, symlinks=True, with_pip=True))
    _once(PYTHON_RUNTIME, [HERE / "runtime/requirements.txt", HERE / "packages.py"], _python_runtime)
    made = {}
    for source in sorted((HERE / "contenders").iterdir()):
        made[source.name] = (MADE / source.name,)
        _once(MADE / source.name, [source, HERE / "packages.py"], lambda to, source=source: _package(source, to, npm))
    return [
        Contender("constant", "a constant (floor)", made["constant"]),
        Contender("hs256", "HS256, key in memory (floor)", made["hs256"]),
        Contender("roomkey", "Roomkey", _roomkey(ROOT, "roomkey"), "roomkey.handler.handler"),
        Contender("node", "Node, one ESM file", made["node"], "index.mjs", "Node"),
        Contender("boto3", "PyJWT + boto3, cached", made["boto3"]),
        Contender("powertools", "Powertools with validation", made["powertools"]),
        *(
            [Contender("before", "Roomkey with the SDK", _roomkey(before, "before"), "roomkey.handler.handler")]
            if before
            else []
        ),
    ]


def emulator() -> Path:
    """Return AWS's runtime interface emulator, which the SAM CLI contains."""
    machine = "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"
    return next(RIE.glob(f"python*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))


def _once(to: Path, sources: list[Path], make: Callable[[Path], None]) -> None:
    files = [file for source in sources for file in (sorted(source.rglob("*")) if source.is_dir() else [source])]
    made_from = hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()
    stamp = MADE / f"{to.name}.made-from"
    if to.exists() and stamp.exists() and stamp.read_text() == made_from:
        return
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    print(f"Making {to.relative_to(ROOT)} ...", flush=True)
    make(to)
    stamp.write_text(made_from)


def _roomkey(checkout: Path, name: str) -> tuple[Path, ...]:
    """Copy what `make build` left, and add the stand-in's authority to those that it trusts."""
    built, to = checkout / ".aws-sam/build", MADE / name
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(built / "Function", to / "Function")
    shutil.copytree(built / "Dependencies/python", to / "python")
    if (folder := to / "Function/roomkey/aws/authorities").exists():
        authorities.write(CERTIFICATE.read_text(), folder)
    return to / "Function", to / "python"


def _package(source: Path, to: Path, npm: str) -> None:
    """Package as a careful owner would: Python with bytecode, Node as one minified file of ECMAScript modules."""
    if not (source / "package.json").exists():
        shutil.copy(source / "handler.py", to)
        if (source / "requirements.txt").exists():
            _install(source / "requirements.txt", to)
            shutil.rmtree(to / "bin", ignore_errors=True)
        _compile(to)
        return
    work = to.with_name(f"{to.name}-work")
    shutil.copytree(source, work, dirs_exist_ok=True)
    subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=work, check=True)
    # Packages that are CommonJS call `require`, which a file of modules has to make for itself.
    require = "import { createRequire } from 'module'; const require = createRequire(import.meta.url);"
    options = [
        "--bundle",
        "--minify",
        "--platform=node",
        "--target=node20",
        "--format=esm",
        "--main-fields=module,main",
    ]
    esbuild = [str(work / "node_modules/.bin/esbuild"), "index.mjs", *options, f"--banner:js={require}"]
    subprocess.run([*esbuild, f"--outfile={to / 'index.mjs'}", "--log-level=warning"], cwd=work, check=True)
    shutil.rmtree(work)


def _python_runtime(to: Path) -> None:
    """Make the content of /var/runtime, with bytecode. Whether AWS's own has bytecode is not published."""
    _install(HERE / "runtime/requirements.txt", to)
    # It trusts the stand-in as it trusts AWS, and reads the other authorities as it would there.
    _make_certificate()
    with (to / "botocore/cacert.pem").open("a") as bundle:
        bundle.write(CERTIFICATE.read_text().partition("-----BEGIN PRIVATE KEY")[0])
    _compile(to)


def _compile(folder: Path) -> None:
    options = ["-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([sys.executable, "-m", "compileall", *options, str(folder)], check=True)


def _install(requirements: Path, to: Path) -> None:
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore"]
    options = ["--no-compile", "--require-hashes", "--only-binary=:all:", "--target", str(to)]
    subprocess.run([*pip, *options, "-r", str(requirements)], check=True)


def _make_certificate() -> None:
    """Write a certificate for this machine that signs itself, and its key, to one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS in the benchmark")])
    today = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *private)
    CERTIFICATE.write_bytes(pem)
