"""Bearer tokens as API Gateway's JWT authorizer verifies them, and their issuers."""

import base64
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from roomkey_cli.local import jwt_authorizer
from roomkey_cli.local.demo_issuer import DEMO_AUDIENCE, DemoIssuer
from roomkey_cli.local.jwt_authorizer import JwtAuthorizer, TokenRefused, go_text
from support.http import send, serve

NOW = 1_800_000_000
ISSUER = "https://login.example.com/"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "roomkey",
    "sub": "alice",
    "exp": NOW + 60,
    "nbf": NOW - 60,
    "iat": NOW - 60,
}


def jwk(key: rsa.RSAPrivateKey, kid: str, **changes: Any) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **changes}


PUBLISHED = {
    "k1": jwk(KEY, "k1"),
    "ec": {**ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": "ec"},
    "hs": {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "hs"},
    "rs512": jwk(KEY, "rs512", alg="RS512"),
}


def authorizer(**options: Any) -> JwtAuthorizer:
    def keys(kid: str) -> jwt.PyJWK | None:
        return jwt.PyJWK(PUBLISHED[kid]) if kid in PUBLISHED else None

    return JwtAuthorizer(ISSUER, options.pop("audience", ["roomkey"]), keys=keys, clock=lambda: NOW, **options)


def token(key: Any = KEY, kid: str | None = "k1", algorithm: str = "RS256", **changes: Any) -> str:
    """Return a valid token with `changes`; `...` removes a claim."""
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not ...}
    header = {"alg": algorithm, "typ": "JWT"} | ({"kid": kid} if kid is not None else {})
    return sign(header, json.dumps(claims).encode(), key)


def sign(header: dict[str, Any], payload: bytes, key: Any) -> str:
    """Return a JWS of any content: PyJWT's own encoder refuses some of it."""
    signing_input = b".".join(map(b64url, (json.dumps(header).encode(), payload)))
    if header["alg"] == "none":
        signature = b"x"
    elif header["alg"].startswith("HS"):
        signature = hmac.digest(key, signing_input, "sha256")
    else:
        signer = jwt.PyJWS().get_algorithm_by_name(header["alg"])
        signature = signer.sign(signing_input, key)
    return b".".join((signing_input, b64url(signature))).decode()


def b64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def refusal(judge: JwtAuthorizer, *authorization: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        judge.authorize(authorization)
    return caught.value


# Accepted tokens


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer ", "BEARER  ", ""])
def test_a_valid_token_is_accepted_with_or_without_its_prefix(prefix: str) -> None:
    assert authorizer().authorize([prefix + token()]) == {
        "claims": {
            "iss": ISSUER,
            "aud": "roomkey",
            "sub": "alice",
            "exp": "1800000060",
            "nbf": "1799999940",
            "iat": "1799999940",
        },
        "scopes": None,
    }


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": NOW + 1}, id="one second left"),
        pytest.param({"exp": NOW + 0.5}, id="half a second left"),
        pytest.param({"nbf": NOW, "iat": NOW}, id="issued now"),
        pytest.param({"nbf": ..., "iat": ...}, id="neither nbf nor iat"),
        pytest.param({"aud": ["other", "roomkey"]}, id="one of several audiences"),
        pytest.param({"aud": ..., "client_id": "roomkey"}, id="client_id, as Cognito's access tokens"),
        pytest.param({"aud": "roomkey", "client_id": "other"}, id="aud goes before client_id"),
        pytest.param({"sub": 7, "jti": 8}, id="claims that no one checks"),
    ],
)
def test_a_token_at_the_edge_is_accepted(changes: dict[str, Any]) -> None:
    assert authorizer().authorize([token(**changes)])["scopes"] is None


def test_one_of_several_audiences_is_enough() -> None:
    assert authorizer(audience=["first", "second"]).authorize([token(aud="second")])


# Refused tokens


@pytest.mark.parametrize("authorization", [[], [""], ["", ""]])
def test_no_token_is_401_with_a_bare_challenge(authorization: list[str]) -> None:
    refused = refusal(authorizer(), *authorization)
    assert (refused.status, refused.challenge) == (401, "Bearer")


@pytest.mark.parametrize("kid", ["k1", "rs512"])
@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
def test_each_rsa_algorithm_is_accepted(algorithm: str, kid: str) -> None:
    claims: Any = authorizer().authorize([f"Bearer {token(kid=kid, algorithm=algorithm)}"])["claims"]
    assert claims["sub"] == "alice"


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        pytest.param({"iss": "https://login.example.com"}, "the issuer does not match", id="no slash at the end"),
        pytest.param({"iss": ...}, "the issuer does not match", id="no issuer"),
        pytest.param({"aud": "other"}, "the token does not have a valid audience", id="other audience"),
        pytest.param({"aud": ...}, "the token does not have a valid audience", id="no audience"),
        pytest.param({"aud": 7}, "the token does not have a valid audience", id="audience of another type"),
        pytest.param(
            {"aud": [], "client_id": "roomkey"},
            "the token does not have a valid audience",
            id="client_id beside no aud",
        ),
        pytest.param({"aud": [["roomkey"]]}, "the token does not have a valid audience", id="nested audience"),
        pytest.param(
            {"aud": "other", "client_id": "roomkey"},
            "the token does not have a valid audience",
            id="client_id beside aud",
        ),
        pytest.param({"exp": NOW}, "the token has expired", id="expires now"),
        pytest.param({"exp": ...}, "the token has expired", id="never expires"),
        pytest.param({"exp": str(NOW + 60)}, "the token has expired", id="expiry as text"),
        pytest.param({"exp": True}, "the token has expired", id="expiry as boolean"),
        pytest.param({"exp": float("nan")}, "the token has expired", id="expiry as NaN"),
        pytest.param({"nbf": NOW + 1}, "the token is not valid yet", id="not before a second from now"),
        pytest.param({"nbf": "0"}, "the token is not valid yet", id="nbf as text"),
        pytest.param({"nbf": True}, "the token is not valid yet", id="nbf as boolean"),
        pytest.param({"iat": NOW + 1}, "the token is not valid yet", id="issued a second from now"),
        pytest.param({"iat": float("nan")}, "the token is not valid yet", id="iat as NaN"),
        pytest.param({"kid": None}, "the token is not signed with RS256, RS384 or RS512 and a key id", id="no key id"),
        pytest.param({"kid": "k2"}, "the token's key id is not the issuer's", id="unknown key id"),
        pytest.param({"key": OTHER_KEY}, "the token is malformed or its signature is wrong", id="another's key"),
        pytest.param(
            {"algorithm": "PS256"}, "the token is not signed with RS256, RS384 or RS512 and a key id", id="PS256"
        ),
        pytest.param(
            {"algorithm": "none"}, "the token is not signed with RS256, RS384 or RS512 and a key id", id="alg none"
        ),
        pytest.param(
            {"algorithm": "HS256", "key": b"s" * 32, "kid": "hs"},
            "the token is not signed with RS256, RS384 or RS512 and a key id",
            id="HS256 with a published secret",
        ),
        pytest.param(
            {"algorithm": "ES256", "key": EC_KEY, "kid": "ec"},
            "the token is not signed with RS256, RS384 or RS512 and a key id",
            id="ES256",
        ),
        pytest.param({"kid": "ec"}, "the token is malformed or its signature is wrong", id="key of another kind"),
    ],
)
def test_an_invalid_token_is_401_and_the_challenge_has_the_reason(changes: dict[str, Any], description: str) -> None:
    refused = refusal(authorizer(), "Bearer " + token(**changes))
    assert refused.status == 401
    assert refused.challenge == f'Bearer scope="" error="invalid_token" error_description="{description}"'


def test_the_public_key_is_not_accepted_as_an_hmac_secret() -> None:
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert refusal(authorizer(), token(key=public, algorithm="HS256")).status == 401


@pytest.mark.parametrize(
    "mangle",
    [
        pytest.param(lambda t: f"{t}=", id="padding"),
        pytest.param(lambda t: f"{t},", id="comma"),
        pytest.param(lambda t: f"{t} ", id="blank"),
        pytest.param(lambda t: f"Basic {t}", id="another scheme"),
        pytest.param(lambda t: f"Bearer\t{t}", id="tab"),
        pytest.param(lambda t: "Bearer", id="the prefix alone"),
        pytest.param(lambda t: "Bearer null", id="null"),
        pytest.param(lambda t: t.rpartition(".")[0], id="two segments"),
        pytest.param(lambda t: t.rpartition(".")[0] + ".", id="no signature"),
        pytest.param(lambda t: f"{t}.{t}", id="six segments"),
        pytest.param(lambda t: t[:-4] + "AAAA", id="signature changed"),
        pytest.param(lambda t: t[:-4], id="signature cut"),
    ],
)
def test_a_malformed_token_is_401(mangle: Any) -> None:
    refused = refusal(authorizer(), mangle(token()))
    assert refused.status == 401
    assert 'error="invalid_token"' in refused.challenge


@pytest.mark.threat("E7")
@pytest.mark.parametrize("second", ["", "Bearer x", None])
def test_two_authorization_headers_are_401(second: str | None) -> None:
    good = f"Bearer {token()}"
    assert refusal(authorizer(), good, good if second is None else second).status == 401


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        pytest.param({}, b"[]", id="payload is a list"),
        pytest.param({}, b"\xff", id="payload is not UTF-8"),
        pytest.param({}, b"{", id="payload is not JSON"),
        pytest.param({}, b"[" * 100_000, id="payload is too deep"),
        pytest.param({}, b'{"exp": ' + b"9" * 5000 + b"}", id="a number too long"),
        pytest.param({"kid": 7}, json.dumps(CLAIMS).encode(), id="key id is a number"),
        pytest.param({"crit": ["exp"]}, json.dumps(CLAIMS).encode(), id="critical header that is not understood"),
        pytest.param({"b64": False, "crit": ["b64"]}, json.dumps(CLAIMS).encode(), id="detached payload"),
    ],
)
def test_a_signed_token_with_an_odd_content_is_401(header: dict[str, Any], payload: bytes) -> None:
    odd = sign({"alg": "RS256", "kid": "k1"} | header, payload, KEY)
    assert refusal(authorizer(), odd).status == 401


@pytest.mark.parametrize(
    "changes", [{"kid": "sentinel"}, {"iss": "sentinel"}, {"aud": "sentinel"}, {"exp": "sentinel"}]
)
def test_a_refusal_quotes_nothing_from_the_token(changes: dict[str, Any]) -> None:
    refused = refusal(authorizer(), token(sub="sentinel", **changes))
    assert "sentinel" not in f"{refused} {refused.challenge}"


# Scopes


@pytest.mark.parametrize(
    ("changes", "granted"),
    [
        ({"scope": "rooms:join"}, ["rooms:join"]),
        ({"scope": "other rooms:host"}, ["other", "rooms:host"]),
        ({"scope": ["rooms:join", "other"]}, ["rooms:join", "other"]),
        ({"scp": "rooms:join"}, ["rooms:join"]),
        ({"scp": ["rooms:join"]}, ["rooms:join"]),
    ],
)
def test_one_of_the_scopes_is_enough_and_all_are_handed_on(changes: dict[str, Any], granted: list[str]) -> None:
    judge = authorizer(scopes=["rooms:join", "rooms:host"])
    assert judge.authorize([token(**changes)])["scopes"] == granted


@pytest.mark.parametrize(
    "changes",
    [{}, {"scope": ""}, {"scope": "rooms"}, {"scope": "rooms:joined"}, {"scope": 7}, {"scope": [["rooms:join"]]}],
)
def test_no_scope_is_403(changes: dict[str, Any]) -> None:
    refused = refusal(authorizer(scopes=["rooms:join", "rooms:host"]), token(**changes))
    assert refused.status == 403
    assert refused.challenge.startswith('Bearer scope="rooms:join rooms:host" error="insufficient_scope"')


def test_a_bad_token_without_the_scope_is_401_not_403() -> None:
    assert refusal(authorizer(scopes=["rooms:join"]), token(exp=NOW)).status == 401


@pytest.mark.parametrize("wrong", [{"audience": "roomkey"}, {"scopes": "rooms:join"}])
def test_a_string_is_not_a_collection(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="collections"):
        authorizer(**wrong)


# Claims as text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (1_787_996_002, "1787996002"),
        (1_787_996_002.0, "1787996002"),
        (1e21, "1000000000000000000000"),
        (1.5, "1.5"),
        (["teachers", "staff"], "[teachers staff]"),
        (["a b", "c"], "[a b c]"),
        (["one"], "[one]"),
        ([], "[]"),
        ([1, True, None, ["x"]], "[1 true <nil> [x]]"),
        ({"b": 1, "a": ["x", "y"]}, "map[a:[x y] b:1]"),
        ({}, "map[]"),
    ],
)
def test_claims_are_printed_as_go_prints_them(value: object, text: str) -> None:
    assert go_text(value) == text
    block = authorizer().authorize([token(claim=value)])
    assert block["claims"]["claim"] == text  # type: ignore[index]


def test_null_claims_are_left_out() -> None:
    assert "claim" not in authorizer().authorize([token(claim=None)])["claims"]  # type: ignore[operator]


# Remote issuers


@dataclass
class Elsewhere:
    """An OpenID Connect issuer whose pages a test can change; it counts the requests for each."""

    url: str = ""
    discovery: dict[str, Any] = field(default_factory=dict)
    discovery_status: int = 200
    keys: bytes = b""
    asked: list[str] = field(default_factory=list)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.keys = json.dumps({"keys": keys}).encode()

    def app(self, url: str) -> Starlette:
        self.url = url
        self.discovery = {"issuer": url, "jwks_uri": f"{url}/keys"}
        self.publish(jwk(KEY, "k1"))
        return Starlette(
            routes=[Route("/.well-known/openid-configuration", self.discover), Route("/keys", self.publish_keys)]
        )

    async def discover(self, _request: Request) -> Response:
        self.asked.append("discovery")
        return Response(json.dumps(self.discovery), self.discovery_status)

    async def publish_keys(self, _request: Request) -> Response:
        self.asked.append("keys")
        return Response(self.keys)

    def authorizer(self) -> JwtAuthorizer:
        return JwtAuthorizer(self.url, ["roomkey"], clock=lambda: NOW)

    def token(self, key: Any = KEY, kid: str = "k1") -> str:
        return token(key, kid, iss=self.url)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    issuer = Elsewhere()
    with serve(issuer.app):
        yield issuer


def description(judge: JwtAuthorizer, bearer: str) -> str:
    return refusal(judge, bearer).challenge.partition("error_description=")[2].strip('"')


def test_keys_are_found_through_discovery_and_kept(elsewhere: Elsewhere) -> None:
    judge = elsewhere.authorizer()
    assert elsewhere.asked == []
    for _ in range(3):
        assert judge.authorize([elsewhere.token()])
    assert elsewhere.asked == ["discovery", "keys"]


def test_unknown_key_ids_do_not_flood_the_issuer(elsewhere: Elsewhere) -> None:
    judge = elsewhere.authorizer()
    for number in range(5):
        assert description(judge, elsewhere.token(kid=f"k{number + 2}")) == "the token's key id is not the issuer's"
    assert elsewhere.asked == ["discovery", "keys"]


def test_a_new_key_is_fetched_when_a_token_names_it(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt_authorizer, "UNKNOWN_KEY_COOLDOWN_SECONDS", 0)
    judge = elsewhere.authorizer()
    assert judge.authorize([elsewhere.token()])
    elsewhere.publish(jwk(OTHER_KEY, "k2"))
    assert judge.authorize([elsewhere.token(OTHER_KEY, "k2")])
    assert refusal(judge, elsewhere.token()).status == 401


def test_an_issuer_that_recovers_is_asked_again(elsewhere: Elsewhere) -> None:
    judge = elsewhere.authorizer()
    elsewhere.discovery_status = 500
    assert description(judge, elsewhere.token()) == "OIDC discovery endpoint communication error"
    elsewhere.discovery_status = 200
    assert judge.authorize([elsewhere.token()])


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"issuer": "https://elsewhere.example.com"}, id="another issuer's"),
        pytest.param({"issuer": ...}, id="without an issuer"),
        pytest.param({"jwks_uri": "file:///etc/passwd"}, id="keys in a file"),
        pytest.param({"jwks_uri": ...}, id="no keys"),
    ],
)
def test_a_discovery_document_must_be_the_issuers(elsewhere: Elsewhere, page: dict[str, Any]) -> None:
    changed = elsewhere.discovery | page
    elsewhere.discovery = {name: value for name, value in changed.items() if value is not ...}
    assert description(elsewhere.authorizer(), elsewhere.token()) == "OIDC discovery endpoint communication error"


@pytest.mark.parametrize("keys", [b"<html>", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "?"}]}', b"\xff"])
def test_unreadable_keys_admit_no_caller(elsewhere: Elsewhere, keys: bytes) -> None:
    elsewhere.keys = keys
    assert refusal(elsewhere.authorizer(), elsewhere.token()).status == 401


def test_unreachable_keys_admit_no_caller(elsewhere: Elsewhere) -> None:
    elsewhere.discovery["jwks_uri"] = f"{elsewhere.url}/nowhere"
    assert description(elsewhere.authorizer(), elsewhere.token()) == "JWKS communication error"


def test_a_silent_issuer_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt_authorizer, "ISSUER_TIMEOUT_SECONDS", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:  # It accepts connections and never answers.
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = time.monotonic()
        judge = JwtAuthorizer(url, ["roomkey"])
        assert description(judge, token(iss=url)) == "OIDC discovery endpoint communication error"
    assert time.monotonic() - started < 2


def test_an_unreachable_issuer_admits_no_caller() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert description(JwtAuthorizer(url, ["roomkey"]), token(iss=url)).startswith("OIDC discovery")


def test_an_issuer_without_http_admits_no_caller() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def babble() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"nonsense\r\n\r\n")

        talker = threading.Thread(target=babble)
        talker.start()
        assert description(JwtAuthorizer(url, ["roomkey"]), token(iss=url)).startswith("OIDC discovery")
        talker.join(timeout=10)


@pytest.mark.parametrize("url", ["file:///etc", "login.example.com", ""])
def test_an_issuer_is_an_http_url(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        JwtAuthorizer(url, ["roomkey"])


# The demo issuer


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoIssuer]:
    issuers = []

    def app(url: str) -> Starlette:
        issuers.append(DemoIssuer(url))
        return Starlette(routes=issuers[0].routes())

    with serve(app):
        yield issuers[0]


def ask_demo(demo: DemoIssuer, body: bytes) -> Any:
    base_url = demo.issuer.removesuffix("/demo")
    return send(base_url, "POST", "/demo/token", body=body)


@pytest.mark.parametrize(("user", "groups"), [("teacher", "[teachers]"), ("student", "[students]")])
def test_a_demo_token_is_accepted_directly_and_through_discovery(demo: DemoIssuer, user: str, groups: str) -> None:
    reply = ask_demo(demo, json.dumps({"user": user}).encode())
    assert (reply.status, reply.header("cache-control")) == (200, "no-store")
    answer = json.loads(reply.body)
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)

    for judge in (demo.authorizer(), JwtAuthorizer(demo.issuer, [DEMO_AUDIENCE])):
        claims: Any = judge.authorize([f"Bearer {answer['access_token']}"])["claims"]
        assert (claims["sub"], claims["groups"], claims["iss"]) == (user, groups, demo.issuer)
        assert int(claims["exp"]) - int(claims["iat"]) == 3600
        assert abs(int(claims["iat"]) - time.time()) < 60


def test_demo_tokens_differ(demo: DemoIssuer) -> None:
    assert demo.token("teacher") != demo.token("teacher")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'"teacher"', b'{"user": "admin"}', b'{"user": ["teacher"]}', b"[" * 100_000, b"\xff"],
)
def test_the_demo_issuer_refuses_other_users(demo: DemoIssuer, body: bytes) -> None:
    reply = ask_demo(demo, body)
    assert (reply.status, json.loads(reply.body)["error"]) == (400, "invalid_request")


def test_the_demo_issuer_keeps_its_private_key(demo: DemoIssuer) -> None:
    base_url = demo.issuer.removesuffix("/demo")
    document = json.loads(send(base_url, "GET", "/demo/.well-known/openid-configuration").body)
    assert (document["issuer"], document["jwks_uri"]) == (demo.issuer, f"{demo.issuer}/jwks.json")
    (key,) = json.loads(send(base_url, "GET", "/demo/jwks.json").body)["keys"]
    assert set(key) == {"kty", "n", "e", "alg", "use", "kid"}


def test_a_token_of_an_earlier_run_is_refused() -> None:
    earlier, later = DemoIssuer("http://localhost:8000/"), DemoIssuer("http://localhost:8000")
    assert earlier.issuer == later.issuer == "http://localhost:8000/demo"
    assert description(later.authorizer(), earlier.token("teacher")) == "the token's key id is not the issuer's"


def test_a_demo_token_expires_after_an_hour() -> None:
    now = [NOW]
    demo = DemoIssuer("http://localhost:8000", clock=lambda: now[0])
    bearer = demo.token("student")
    now[0] += 3599
    assert demo.authorizer().authorize([bearer])
    now[0] += 1
    assert description(demo.authorizer(), bearer) == "the token has expired"


def test_the_demo_issuer_can_demand_scopes_it_does_not_grant() -> None:
    demo = DemoIssuer("http://localhost:8000")
    assert refusal(demo.authorizer(scopes=["rooms:join"]), demo.token("teacher")).status == 403
