"""Check a JWT issuer as API Gateway's authorizer will use it: discovery document and signing keys."""

from roomkey_cli.aws import endpoint


def problems(issuer: str) -> list[str]:
    """Return why API Gateway could not verify this issuer's tokens. Sends two requests."""
    discovery_url = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
    try:
        discovery = endpoint.send("GET", discovery_url, {})
    except endpoint.ConnectionFailed as error:
        return [f"{discovery_url} cannot be reached: {error}"]
    if discovery.status != 200 or not discovery.body:
        return [f"{discovery_url} returned {discovery.summary}, and must be a discovery document"]
    named = discovery.body.get("issuer")
    if named != issuer:
        return [f"the discovery document names the issuer {named!r}: JwtIssuer must be exactly that, with its slashes"]
    return _key_problems(str(discovery.body.get("jwks_uri", "")))


def _key_problems(jwks_url: str) -> list[str]:
    if not jwks_url.startswith("https://"):
        return ["the discovery document has no jwks_uri that begins with https://"]
    try:
        response = endpoint.send("GET", jwks_url, {})
    except endpoint.ConnectionFailed as error:
        return [f"{jwks_url} cannot be reached: {error}"]
    listed = response.body.get("keys")
    keys = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
    if response.status != 200 or not keys:
        return [f"{jwks_url} returned {response.summary}, and must list signing keys"]
    if not any(key.get("kty") == "RSA" and key.get("kid") for key in keys):
        return [f"{jwks_url} lists no RSA key with a kid: API Gateway accepts RS256, RS384 and RS512 only"]
    return []
