"""Recognize values that are not credentials: masked, wrapped, placeholders, of another service, not random."""

import base64
import re

from roomkey.platforms.credentials import CredentialField

MIN_KEY_BYTES = 32
"""RFC 7518, section 3.2: a key for HMAC-SHA256 must be at least as long as the hash."""

type _Rules = tuple[tuple[re.Pattern[str], str, bool], ...]


def _rules(*rules: tuple[str, str] | tuple[str, str, str]) -> _Rules:
    return tuple((re.compile(pattern), reason, bool(limit)) for pattern, reason, *limit in rules)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ISSUED = "only for values that a vendor issues"
"""A password of random printable ASCII can match such a rule."""
_ASSIGNMENT = "is an assignment: only what follows the = belongs here"
_NAME = "begins with a name: only the value belongs here"
_REFERENCE = "is a reference to a secret, or a URL"
_OTHER_SERVICE = "is a key or token of another service"
_PLACEHOLDER = "looks like a placeholder"
_PATTERNED = "follows a pattern: it is not random"

_REFUSED = _rules(
    (
        r"[\u2022\u25cf\u2219\u00b7\u2026]|[*]{4}|\.{4}|^[*]{3}|[*.]{3}$|^[\w+/=-]+\.{3}[\w+/=-]+$|[xX]{8}",
        "is masked or shortened, as a dashboard shows it",
    ),
    (r"[*]{3}", "is masked or shortened, as a dashboard shows it", _ISSUED),
    (r"""^(["'`])[\w+/=.:-]+\1$|^b'.*'$""", "is wrapped in quotes"),
    (r'^\{"\w+" ?:', "is JSON, not one value"),
    (r"^\$2[aby]\$", "is the hash of a password"),
    (r"""^["'`\u2018-\u201f\u00ab\u00bb]|["'`\u2018-\u201f\u00ab\u00bb]$""", "is wrapped in quotes", _ISSUED),
    (r"^\$|[<>{}]", _PLACEHOLDER, _ISSUED),
    (r"^[(\[]|[)\]]$", "is wrapped in brackets", _ISSUED),
    (r"(?i)^(authorization\s*[:=]\s*)?bearer\b", "begins with Bearer, which belongs to a header"),
    (r"^ey[\w-]{8,}\.", "is a token (JWT), not a value that the vendor issues for signing"),
    (r"^(007eJ|006[0-9A-Fa-f]{32}IA|NETLESS(ROOM|SDK|TASK)_|T1==|rki1\.)", "is a token, not a value for signing"),
    (r"^(-----BEGIN|LS0tLS1CRUdJTi|ssh-)", "is a key of another algorithm"),
    (r"^(export\s+)?[A-Za-z_][\w.-]*\s*=(?!=*$)", _ASSIGNMENT, _ISSUED),
    (r"(?i)^\w*(secret|key|certificate|token)\w*\s*[:=](?!=*$)", _NAME),
    (r"""["`\\]""", "contains a quote or a backslash", _ISSUED),
    (r"%[0-9A-Fa-f]{2}", "is URL-encoded", _ISSUED),
    (r"(?i)&(quot|apos|amp|lt|gt|#(34|38|39|60|62|x2[267]|x3[ce]));", "is HTML-encoded"),
    (r"^[,;:=]|[,;:.]$", "begins or ends with punctuation of the text around it", _ISSUED),
    (
        r"(?i)(?<![a-z0-9])(your|insert|paste)[-_]|[-_]here$|^(null|none|nan|nil|true|false)$"
        r"|^[<{(\[$]+[\w .:+/=-]+[>})\]]*$",
        _PLACEHOLDER,
    ),
    (r"(.)\1{7}", "repeats one character"),
)
"""Text that is not a credential: additions from pasting, tokens in place of keys, and placeholders."""

_ELSEWHERE = _rules(
    (r"^A(KI|SI|RO|ID)A[A-Z2-7]{16}\b|T3BlbkFJ", _OTHER_SERVICE),
    (r"^arn:|^[A-Za-z][A-Za-z0-9+.-]*://|^(projects|gopass)/", _REFERENCE),
    (r"^[A-Za-z][A-Za-z0-9+.-]*:[/@]|^!\w", _REFERENCE, _ISSUED),
    (r"^(www\.|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+/)", "is a URL", _ISSUED),
    (r"^[A-Za-z][\w.+/@-]*:", _NAME, _ISSUED),
)
"""Text that a field without a fixed format never contains: references and URLs."""

_PREFIXES = (
    "ghp_ gho_ ghr_ ghs_ ghu_ github_pat_ glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glsa_ "
    "xoxa- xoxb- xoxc- xoxd- xoxe- xoxp- xoxr- xoxs- xapp- IQoJb3JpZ2lu FwoGZXIvYXdz AQICAH AQECAH "
    "AIza ya29. 1//0 GOCSPX- pk_live_ pk_test_ rk_live_ rk_test_ sk_live_ sk_test_ whsec_ sk-proj- sk-ant- sk-or- "
    "sk-admin- sk-svcacct- SG. sl. npm_ pypi-A doo_v1_ dop_v1_ dor_v1_ shpat_ shpca_ shppa_ shpss_ hvb. hvr. hvs. "
    "dckr_pat_ sntrys_ sntryu_ figd_ lin_api_ phc_ PMAK- NRAK- ATATT3 sq0atp- sq0csp- sq0idp- AGE-SECRET-KEY- "
    "PuTTY- ops_ey sha256~ v1.local. v2.local. v2.public. v3.local. v4.local. v4.public. gsk_ sb_secret_ sbp_ "
    "nvapi- tskey-auth- tskey-api- dp.st. dp.pt. "
    "pplx- gAAAAAB U2FsdGVkX1 vpaas-magic-cookie- rubygems_ pscale_ glagent- pcsk_ lsv2_ lin_oauth_ xoxe."
)
"""How keys and tokens of other services begin. None is likely at the start of a random key."""
_OTHER_SERVICES = _words(_PREFIXES)
_LENGTHS = {"hf_": 37, "r8_": 40, "ntn_": 50, "secret_": 50, "xai-": 84}
"""Lengths of keys of other services whose prefixes are likely enough in a random key."""

_WORDS = _words("changeme changeit replaceme placeholder undefined redacted process.env os.env")
"""Words of placeholders, in lower case and without - and _, as in the next tables."""
_WEAK_WORDS = _words(
    "example password passw0rd loremipsum 0123456789 1234567890 abcdefghij qwertyuiop thisisa thisismy appsecret "
    "apisecret authsecret clientsecret mysecret sharedsecret staticsecret stringsecret supersecret yoursecret "
    "secretkey secretstring randomstring atleast notuse insecure verylong"
)
"""Words of invented signing keys. No random key of a vendor contains one."""
_WEAK_IDS = _words(
    "key id sid apikey accesskey appkey appid sdkkey appaccesskey yourkey yourapikey mykey todo tbd na test string "
    "hidden masked filtered dummy sample"
)
"""Placeholders for ids."""
_WEAK = re.compile(
    r"^%\w+%$|^@+\w+@+$|^__\w+__$|^(secrets?|env|vars?|config|import|settings)\.[a-z]"
    r"|(?-i:^[A-Z]{2,}[A-Z0-9]*(_[A-Z0-9]+){2,}$)"  # The name of an environment variable.
    r"|(^|[-_.])(todo|fixme|tbd|dummy|fake|sample|test|none|unset|hidden|fill)[-_.]|(^|[-_.])(to|must)[-_]be[-_]",
    re.IGNORECASE,
)
"""Other forms of placeholders for signing keys."""
_ID = re.compile(r"[A-Za-z0-9_.-]{1,48}")
"""The id of a key: those of all vendors are shorter than their secrets."""
_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
"""The id of something at Twilio, which is public."""
_KNOWN_HASHES = _words(
    "d41d8cd98f00b204e9800998ecf8427e da39a3ee5e6b4b0d3255bfef95601890afd80709 "
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 5f4dcc3b5aa765d61d8327deb882cf99 "
    "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8 "
    "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
)
"""MD5, SHA-1 and SHA-256 of an empty text and of `password`."""
_MIN_DISTINCT = 7
"""A random key of 32 hexadecimal digits has fewer different characters once in a billion."""


def value_problems(field: CredentialField, value: object) -> list[str]:
    """Return why `value` cannot be a value of `field`. No reason repeats it."""
    if not isinstance(value, str) or not value:
        return ["must be a string with something in it"]
    placeholder = _PLACEHOLDER if _has_word(value, _WORDS) else None
    if reason := _first(_REFUSED, value, field) or placeholder:
        return [reason]
    if field.form and field.matches_format(value):
        if field.signs:
            return _key_problems(value)
        is_id = len(value) >= MIN_KEY_BYTES and not field.many
        return [_PATTERNED] if is_id and _is_patterned(value) else []
    if not field.form:
        if value.startswith(_OTHER_SERVICES) or any(
            value.startswith(prefix) and len(value) == length for prefix, length in _LENGTHS.items()
        ):
            return [_OTHER_SERVICE]
        if reason := _first(_ELSEWHERE, value, field):
            return [reason]
    if not (value.isascii() and value.isprintable()) or " " in value:
        return ["contains a space, a line break or a character outside ASCII"]
    if field.form:
        return [f"must be {field.form}"]
    return _key_problems(value) if field.signs else _id_problems(value)


def _first(rules: _Rules, value: str, field: CredentialField) -> str | None:
    return next(
        (why for pattern, why, issued in rules if not (issued and field.chosen) and pattern.search(value)), None
    )


def _flat(value: str) -> str:
    return value.lower().replace("-", "").replace("_", "")


def _has_word(value: str, words: tuple[str, ...]) -> bool:
    flat = _flat(value)
    return any(word in flat for word in words)


def _is_weak(key: str) -> bool:
    return _has_word(key, _WEAK_WORDS) or _WEAK.search(key) is not None


def _id_problems(value: str) -> list[str]:
    """Return why `value` is not the id of a key. It is public: each token can contain it."""
    flat = _flat(value).replace(".", "")
    if flat in _WEAK_IDS or set(flat) <= {"x"}:
        return [_PLACEHOLDER]
    return [] if _ID.fullmatch(value) else ["must be at most 48 letters, digits, _, . and -"]


def _key_problems(key: str) -> list[str]:
    """Return why `key` is not a random key."""
    if len(key) < MIN_KEY_BYTES:
        return [f"is shorter than {MIN_KEY_BYTES} bytes (another value in its place?)"]
    if _SID.fullmatch(key):
        return ["is an identifier (SID), not a secret"]
    if key.lower() in _KNOWN_HASHES:
        return ["is the hash of a known text"]
    if _is_weak(key):
        return [_PLACEHOLDER]
    if len(set(key)) < _MIN_DISTINCT:
        return ["repeats few characters"]
    if _is_patterned(key):
        return [_PATTERNED]
    return [problem] if (problem := _encoded_problem(key)) else []


def _is_patterned(key: str) -> bool:
    """Return whether `key` repeats a piece, or counts up or down, also with every second character.

    A random key of 32 characters or more almost never repeats four of them, nor the same step for half its length.
    """
    pieces = {key[at : at + 4] for at in range(len(key) - 3)}
    steps = ([ord(b) - ord(a) for a, b in zip(key, key[gap:], strict=False)] for gap in (1, 2))
    return len(pieces) < 0.6 * len(key) or any(2 * taken.count(step) > len(key) for taken in steps for step in {*taken})


def _encoded_problem(key: str) -> str | None:
    """Return what `key` is if it is base64 of something else than random bytes."""
    text = key.rstrip("=").translate(_STANDARD_ALPHABET)
    text = text[: len(text) - (len(text) % 4 == 1)]  # One that is cut short.
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).lstrip()
    except ValueError:
        return None
    if content.startswith((b"-----BEGIN", *_SSH_BLOBS)) or _is_der(content):
        return "is a key of another algorithm"
    if re.match(rb'\{\s*"\w+"\s*:', content):
        return "is JSON in base64"
    if content.isascii() and _is_weak(content.decode()):
        return _PLACEHOLDER
    return "is a token (JWT) in base64" if content.startswith(b"eyJ") else None


_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_SSH_BLOBS = (b"\0\0\0\7ssh-", b"\0\0\0\x0bssh-", b"\0\0\0\x13ecdsa-", b"openssh-key")


def _is_der(content: bytes) -> bool:
    """Return whether `content` is an ASN.1 sequence, the form of RSA and EC keys, or begins as one that is cut short.

    Sources: X.690 section 8.1.3, RFC 5915, RFC 5958.
    """
    if len(content) < 8 or content[0] != 0x30:
        return False
    size = content[1] & 0x7F if content[1] & 0x80 else 0
    length = int.from_bytes(content[2 : 2 + size]) if size else content[1]
    whole = 2 + size + length == len(content) or content[1] == 0x82  # A long one can be cut short.
    version = content[2 + size : 5 + size] in (b"\2\1\0", b"\2\1\1")
    return version or _OID in content[:40] or (whole and content[2 + size : 3 + size] in (b"\x02", b"\x30"))


_OID = b"\x2a\x86\x48"
"""How the identifiers of RSA and EC keys begin: 1.2.840."""
