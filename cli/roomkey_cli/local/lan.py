"""Serve the local stack to phones in the same network: TLS with a certificate made for the run, and a QR code."""

import io
import ssl

import segno
import trustme

CA_PATH = "/ca.pem"
CA_MEDIA_TYPE = "application/x-x509-ca-cert"


class LanCertificate:
    """A certificate for one address of this machine. Its private key and its authority's never leave the process."""

    def __init__(self, address: str) -> None:
        authority = trustme.CA(organization_name="Roomkey local stack")
        self._leaf = authority.issue_cert(address, "localhost")
        self.authority_pem = authority.cert_pem.bytes()

    def server_context(self) -> ssl.SSLContext:
        """Return a TLS context that presents the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._leaf.configure_cert(context)
        return context


def qr_code(url: str) -> str:
    """Return a QR code of `url` for a terminal."""
    drawn = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue().rstrip("\n")
