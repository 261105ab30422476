#!/usr/bin/env python3
"""Write certifi's certificate authorities for lookup by OpenSSL: one file per authority, named by subject hash.

Loading one bundle of all authorities takes a tenth of a cold start. From such a folder OpenSSL reads only the file that
a server's certificate leads to. Usage: scripts/authorities.py FOLDER. Needs the `openssl` command.
"""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)


def write(bundle: str, folder: Path) -> int:
    """Write each certificate of `bundle` (PEM) to `folder` and return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Counter[str]()
    for certificate in _CERTIFICATE.findall(bundle):
        command = ["openssl", "x509", "-noout", "-subject_hash"]
        subject = subprocess.run(command, input=certificate, capture_output=True, text=True, check=True).stdout.strip()
        # OpenSSL tries .0, .1 ... for authorities with the same subject.
        (folder / f"{subject}.{files[subject]}").write_text(certificate)
        files[subject] += 1
    return files.total()


if __name__ == "__main__":
    import certifi

    if not shutil.which("openssl"):
        sys.exit("scripts/authorities.py needs the openssl command")
    if not write(Path(certifi.where()).read_text(), Path(sys.argv[1])):
        sys.exit("certifi contains no certificates")
