"""Which credentials can sign, and how others are refused: by field and reason, without a value."""

import base64
import json
import random
import string
import traceback
from collections.abc import Mapping

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from roomkey.platforms import PLATFORMS
from roomkey.platforms.base import Platform
from roomkey.platforms.credential_checks import check_credentials
from roomkey.platforms.credentials import CredentialField, Credentials, InvalidCredentials
from roomkey.platforms.hms import Hms
from roomkey_cli import credential_file

KEY_ID = "5f1e3a7c9d2b4860af13c5e7"
SECRET = "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp"
GOOD = {"app_access_key": KEY_ID, "app_secret": SECRET}


def refused(values: Mapping[str, object]) -> tuple[str, ...]:
    """Return the problems of 100ms credentials, which must not repeat a value."""
    with pytest.raises(InvalidCredentials) as caught:
        Hms().check_credentials(values)
    _repeats_nothing(caught.value, values.values())
    return caught.value.problems


def _repeats_nothing(problem: InvalidCredentials, values: object) -> None:
    assert problem.problems
    said = f"{problem} {problem!r} {problem.args} {problem.problems}"
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, str) and len(value) > 3:
            assert value not in said
    assert "Sentinel" not in said
    for one in problem.problems:
        field, colon, reason = one.partition(": ")
        assert field in ("app_access_key", "app_secret", "all")
        assert colon
        assert reason


# --- valid credentials ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        GOOD,
        pytest.param({**GOOD, "app_secret": SECRET[:32]}, id="A14-32-bytes"),
        pytest.param({**GOOD, "app_secret": base64.b64encode(bytes(range(48))).decode()}, id="base64"),
        pytest.param({**GOOD, "app_secret": base64.urlsafe_b64encode(bytes(range(200, 248))).decode()}, id="base64url"),
        pytest.param({**GOOD, "app_secret": bytes(range(32)).hex()}, id="hex"),
        pytest.param({**GOOD, "app_secret": SECRET + "!#$%&()*+,-./:;=?@^_|~"}, id="punctuation"),
        pytest.param({**GOOD, "app_access_key": "another-shape"}, id="key-of-another-shape"),
    ],
)
def test_credentials_that_can_sign_are_taken_as_they_are(values: dict[str, str]) -> None:
    credentials = Hms().check_credentials(values)
    assert (credentials["app_access_key"], credentials["app_secret"]) == (
        values["app_access_key"],
        values["app_secret"],
    )


@pytest.mark.threat("A11")
def test_unknown_keys_of_a_secret_are_ignored() -> None:
    credentials = Hms().check_credentials({**GOOD, "note": "rotated in May", "owner": None, "app_id": 7})
    assert credentials.values == GOOD


def test_credentials_do_not_show_in_representations() -> None:
    credentials = Hms().check_credentials(GOOD)
    assert SECRET not in repr(credentials)
    assert KEY_ID not in repr(credentials)
    assert SECRET not in f"{credentials}"


# --- invalid credentials -------------------------------------------------------------------------------------------

PEM = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc0tWwq\n-----END PUBLIC KEY-----\n"
DER = bytes.fromhex("3082010a0282010100") + bytes(range(256)) + bytes.fromhex("0203010001")
NOT_STRINGS = {
    "null": None,
    "true": True,
    "zero": 0,
    "number": 10**40,
    "float": 0.5,
    "list": [SECRET],
    "object": {"value": SECRET},
}
NOT_SECRETS: Mapping[str, object] = {
    **{f"A11-{name}": value for name, value in NOT_STRINGS.items()},
    "A11-empty": "",
    "A12-the-whole-document": json.dumps(GOOD),
    "A13-trailing-newline": SECRET + "\n",
    "A13-trailing-crlf": SECRET + "\r\n",
    "A13-leading-newline": "\n" + SECRET,
    "A13-trailing-space": SECRET + " ",
    "A13-leading-space": " " + SECRET,
    "A13-space-within": SECRET[:20] + " " + SECRET[20:],
    "A13-tab": SECRET + "\t",
    "A13-byte-order-mark": "\ufeff" + SECRET,
    "A13-no-break-space": SECRET + "\u00a0",
    "A13-zero-width-space": SECRET + "\u200b",
    "A13-line-separator": SECRET + "\u2028",
    "A13-nul": SECRET + "\x00",
    "A13-delete": SECRET + "\x7f",
    "A13-non-ascii": SECRET + "\u00e9",
    "A13-full-width": "\uff21" * 40,
    "A13-lone-surrogate": SECRET + "\ud800",
    "A14-short": SECRET[:31],
    "A14-one-byte": "k",
    "A14-16-characters-of-32-bytes": "\u00e9" * 16,
    "A14-spaces": " " * 40,
    "A14-one-character": "a" * 32,
    "A14-zeros": "0" * 64,
    "A14-replace-me": "REPLACE_ME" * 4,
    "A14-replace-me-dashed": "please-replace-me-with-the-real-app-secret",
    "A14-changeme": "changeme" * 4,
    "A14-change-me": "change-me-change-me-change-me-change-me",
    "A14-your-secret": "your-100ms-app-secret-from-the-dashboard",
    "A14-your_secret": "YOUR_APP_SECRET_FROM_THE_100MS_DASHBOARD",
    "A14-angle-brackets": "<app-secret-of-the-100ms-workspace-here>",
    "A14-braces": "{{app_secret_of_the_100ms_workspace}}",
    "A14-shell": "${APP_SECRET_OF_THE_100MS_WORKSPACE_00}",
    "A14-placeholder": "placeholder-for-the-app-secret-of-100ms",
    "A14-xs": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0",
    "A14-stars": "ab12********************************cd34",
    "A14-dots": "ab12................................cd34",
    "A15-pem": PEM,
    "A15-pem-on-one-line": PEM.replace("\n", "\\n"),
    "A15-jwk": json.dumps({"kty": "oct", "k": SECRET}),
    "A15-jwk-without-spaces": json.dumps({"kty": "oct", "k": SECRET}, separators=(",", ":")),
    "A15-jwk-set": json.dumps({"keys": [{"kty": "oct", "k": SECRET}]}, separators=(",", ":")),
    "A15-ssh": "ssh-ed25519" + "AAAAC3NzaC1lZDI1NTE5AAAAIB3mN6",
    "A15-der": DER.decode("latin-1"),
    "the-access-key-again": KEY_ID,
}


@pytest.mark.threat("A11", "A12", "A13", "A14", "A15")
@pytest.mark.parametrize("value", NOT_SECRETS.values(), ids=NOT_SECRETS)
def test_a_secret_that_cannot_sign_is_refused_by_name(value: object) -> None:
    problems = refused({**GOOD, "app_secret": value})
    assert any(problem.startswith(("app_secret: ", "all: ")) for problem in problems)
    assert not any(problem.startswith("app_access_key: ") for problem in problems)


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ2ZXJzaW9uIjoyfQ.Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0YpAAAA"
PASTED: Mapping[str, str] = {
    '"{}"': "is wrapped in quotes",
    "'{}'": "is wrapped in quotes",
    "`{}`": "is wrapped in quotes",
    "\u201c{}\u201d": "is wrapped in quotes",
    "\u00ab{}\u00bb": "is wrapped in quotes",
    '"{}': "is wrapped in quotes",
    "{}'": "is wrapped in quotes",
    '"{}",': "is wrapped in quotes",
    "[{}]": "is wrapped in brackets",
    "({})": "is wrapped in brackets",
    "<{}>": "looks like a placeholder",
    '\\"{}\\"': "is wrapped in quotes",
    "APP_SECRET={}": "is an assignment: only what follows the = belongs here",
    "export APP_SECRET={}": "is an assignment: only what follows the = belongs here",
    "app.secret={}": "is an assignment: only what follows the = belongs here",
    "app_secret:{}": "begins with a name: only the value belongs here",
    "secret: {}": "begins with a name: only the value belongs here",
    'app_secret":"{}': "contains a quote or a backslash",
    "Bearer {}": "begins with Bearer, which belongs to a header",
    "bearer {}": "begins with Bearer, which belongs to a header",
    "Authorization: Bearer {}": "begins with Bearer, which belongs to a header",
    "{}%3D": "is URL-encoded",
    "&quot;{}&quot;": "is HTML-encoded",
    "b'{}'": "is wrapped in quotes",
    "%22{}%22": "is URL-encoded",
    "{},": "begins or ends with punctuation of the text around it",
    "{};": "begins or ends with punctuation of the text around it",
    "{}.": "begins or ends with punctuation of the text around it",
    "={}": "begins or ends with punctuation of the text around it",
    "{}\\n": "contains a quote or a backslash",
    "{}\u2026": "is masked or shortened, as a dashboard shows it",
    "{}...": "is masked or shortened, as a dashboard shows it",
    "{}\u2022\u2022\u2022\u2022": "is masked or shortened, as a dashboard shows it",
    "\u25cf\u25cf\u25cf{}": "is masked or shortened, as a dashboard shows it",
    "Qx7v***{}": "is masked or shortened, as a dashboard shows it",
    "{}****": "is masked or shortened, as a dashboard shows it",
    "{}XXXXXXXX": "is masked or shortened, as a dashboard shows it",
    "{}--------": "repeats one character",
    "-----BEGIN{}": "is a key of another algorithm",
}
"""Wrappings that pasting adds around a value, each with the reported reason."""


@pytest.mark.parametrize("field", GOOD)
@pytest.mark.parametrize("form", PASTED)
def test_a_pasted_mistake_is_refused_by_field_and_reason(form: str, field: str) -> None:
    assert refused({**GOOD, field: form.format(GOOD[field])}) == (f"{field}: {PASTED[form]}",)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (JWT, "is a token (JWT), not a value that the vendor issues for signing"),
        (JWT[:51], "is a token (JWT), not a value that the vendor issues for signing"),
        (f"Bearer {JWT}", "begins with Bearer, which belongs to a header"),
        ("NETLESSSDK_" + SECRET, "is a token, not a value for signing"),
        ("007eJx" + SECRET, "is a token, not a value for signing"),
        ("006" + "0aB1" * 8 + "IA" + SECRET, "is a token, not a value for signing"),
        *((word, "looks like a placeholder") for word in ("undefined", "null", "None", "$APP_SECRET", "NaN")),
        ("REDACTED", "looks like a placeholder"),
        ("process.env.HMS_APP_SECRET_OF_THE_WORKSPACE", "looks like a placeholder"),
        ("paste-the-app-secret-of-100ms-here-please", "looks like a placeholder"),
        (base64.b64encode(PEM.encode()).decode(), "is a key of another algorithm"),
    ],
)
def test_a_wrong_value_in_place_of_a_secret_is_named(value: str, reason: str) -> None:
    assert refused({**GOOD, "app_secret": value}) == (f"app_secret: {reason}",)


REFERENCE, URL = "is a reference to a secret, or a URL", "is a URL"
NAME, OTHER = "begins with a name: only the value belongs here", "is a key or token of another service"
WEAK, KEY_KIND = "looks like a placeholder", "is a key of another algorithm"
ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    REFERENCE: (
        *(
            "https://dashboard.100ms.live/developer",
            "s3://bucket/{}",
            "redis://:{}@host",
            "op://vault/100ms/app_secret",
        ),
        *("arn:aws:secretsmanager:eu-west-1:123456789012:secret:x", "arn:aws-cn:ssm:cn-north-1:1:parameter/x"),
        *("aws-secretsmanager://prod/100ms", "ref+vault://{}", "ssm:/roomkey/prod/100ms", "!vault|{}"),
        *("projects/1/secrets/app-secret/versions/latest", "gopass/{}"),
    ),
    URL: ("www.example.com/{}", "dashboard.100ms.live/{}"),
    NAME: ("vault:secret/data/roomkey#app_secret", "vault:v1:{}", "gcp:secretmanager:{}", "sha256:{}", "encrypted:{}"),
    OTHER: (
        *("ghp_{}", "github_pat_11{}", "glpat-{}", "xoxb-123456789012-{}", "xapp-1-{}", "AKIAIOSFODNN7QPWZRTL:{}"),
        *("sk_live_51H{}", "rk_test_{}", "whsec_{}", "sk-ant-api03-{}", "AIza{}", "SG.{}.{}", "npm_{}", "hvs.CA{}"),
        *("pypi-AgE{}", "IQoJb3JpZ2luX2Vj{}", "AQICAH{}", "v2.local.{}", "sha256~{}"),
        *("sk-Hq7{}T3BlbkFJ{}", "dp.pt.{}", "tskey-api-{}", "pcsk_{}", "lsv2_pt_{}", "v3.local.{}", "rubygems_{}"),
        *(
            "gsk_{}",
            "sb_secret_{}",
            "sbp_{}",
            "nvapi-{}",
            "tskey-auth-{}",
            "dp.st.prd.{}",
            "secret_" + (SECRET * 2)[:43],
            "pplx-{}",
        ),
        *("gAAAAAB{}", "U2FsdGVkX1{}", "AQECAH{}", "vpaas-magic-cookie-{}"),
        *("hf_" + SECRET[:34], "r8_" + SECRET[:37], "ntn_" + (SECRET * 2)[:46], "xai-" + (SECRET * 3)[:80]),
    ),
    "is a token, not a value for signing": ("rki1.eyJ9.{}",),
    WEAK: (
        *(
            "{{{{resolve:secretsmanager:x}}}}",
            "ENC[AES256_GCM,data:{},type:str]{{",
            "$ANSIBLE_VAULT;1.1;{}",
            "<your secret>",
        ),
        *(
            "%APP_SECRET%%APP_SECRET%%APP_SECRET%",
            "__APP_SECRET_OF_THE_100MS_WORKSPACE__",
            "@APP_SECRET_OF_THE_100MS_WORKSPACE@",
        ),
        *(
            "APP_SECRET_OF_THE_100MS_WORKSPACE_IN_PROD",
            "secrets.APP_SECRET_OF_100MS_WORKSPACE",
            "import.meta.env.VITE_X{}",
        ),
        *("changeitchangeitchangeitchangeitchangeit", "mysecretkeymysecretkeymysecretkey1234", "todo-fill-in-the-{}"),
        *("password" * 5, "supersecretsupersecretsupersecret", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        *("a-string-secret-at-least-256-bits-long", "thisisaverylongsecretthatshouldbe32bytes", "django-insecure-{}"),
        *("this-must-be-at-least-32-characters-long!", "some-random-string-with-32-characters"),
        *("dev-secret-do-not-use-in-production-1", "to_be_filled_in_by_the_ops_team_later"),
        base64.b64encode(b"your-100ms-app-secret-from-the-dashboard").decode(),
        *("1234567890" * 4, "abcdefghijklmnopqrstuvwxyzabcdefgh", "dummy-{}", "yoursecretgoeshere{}", "test-secret-{}"),
    ),
    "repeats few characters": ("a1" * 16, "kK" * 16, "deadbeef" * 4, "abc" * 12, "xyz-" * 9),
    KEY_KIND: (
        base64.b64encode(b"\n" + PEM.encode()).decode(),
        base64.b64encode(PEM.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(DER).decode()[:64],
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC{}",
        "MHcCAQEEI{}",
        "MHcCAQEEIPqZ2bX1Lw9Rr4Tz6Bn8Kc1Hd3Fg5Js0YpQeoAoGCCqGSM49AwEHoUQDQgAE",
        "AAAAB3NzaC1yc2EAAAADAQABAAABgQ{}",
    ),
    "is an identifier (SID), not a secret": ("AC" + "5f1e3a7c9d2b4860af13c5e76b8d0942", "US" + "5f1e3a7c9d2b4860" * 2),
    "is the hash of a known text": (
        *("5f4dcc3b5aa765d61d8327deb882cf99", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        *("d41d8cd98f00b204e9800998ecf8427e", "D41D8CD98F00B204E9800998ECF8427E"),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    "follows a pattern: it is not random": (
        *("12345678" * 4, "abcd1234" * 4, "asdfghjkl" * 4, "fedcba9876543210" * 2, "f1e2d3c4b5a69788" * 4),
        *("00112233445566778899aabbccddeeff", "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6", "zyxwvutsrqponmlkjihgfedcba987654"),
    ),
    "is JSON in base64": (base64.b64encode(json.dumps(GOOD).encode()).decode(),),
    "is a token (JWT) in base64": (base64.b64encode(JWT.encode()).decode(),),
}
"""Values of other services, references and placeholders, by the reason reported."""


@pytest.mark.parametrize(("value", "reason"), [(value, reason) for reason in ELSEWHERE for value in ELSEWHERE[reason]])
def test_a_value_that_no_vendor_issues_is_refused_with_its_kind(value: str, reason: str) -> None:
    assert refused({**GOOD, "app_secret": value.replace("{}", SECRET)}) == (f"app_secret: {reason}",)
    if reason in (REFERENCE, URL, NAME, OTHER):
        assert refused({**GOOD, "app_access_key": value.replace("{}", SECRET)}) == (f"app_access_key: {reason}",)


@pytest.mark.parametrize("joined", ["{id}:{secret}", "{id},{secret}", "{id}{secret}", "{secret}"])
def test_an_id_that_contains_the_secret_is_refused(joined: str) -> None:
    """Each token would publish it."""
    value = joined.format(id=KEY_ID[:8], secret=SECRET)
    (problem,) = refused({"app_access_key": value, "app_secret": SECRET})
    assert problem in (
        "app_access_key: contains app_secret",
        "app_access_key: must be at most 48 letters, digits, _, . and -",
        "all: two of the values are the same",
    )


def test_another_secret_in_place_of_the_id_is_refused() -> None:
    too_long = refused({"app_access_key": 2 * SECRET, "app_secret": SECRET[::-1]})
    assert too_long == ("app_access_key: must be at most 48 letters, digits, _, . and -",)


def test_a_secret_that_contains_the_id_is_refused() -> None:
    assert refused({**GOOD, "app_secret": KEY_ID + SECRET}) == ("app_secret: contains app_access_key",)


@pytest.mark.parametrize(
    "value", ["TODO", "TBD", "N.A", "test", "hidden", "YOURKEY", "API_KEY", "app_access_key", "xxxx", "-", "__KEY__"]
)
def test_a_placeholder_in_place_of_an_id_is_refused(value: str) -> None:
    assert refused({**GOOD, "app_access_key": value}) == ("app_access_key: looks like a placeholder",)


ALPHABETS = {
    "hex": string.digits + "abcdef",
    "base32": string.ascii_uppercase + "234567",
    "base36": string.ascii_lowercase + string.digits,
    "base62": string.ascii_letters + string.digits,
    "base64": string.ascii_letters + string.digits + "+/",
    "base64url": string.ascii_letters + string.digits + "-_",
}


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_random_keys_of_every_vendors_alphabet_pass(alphabet: str) -> None:
    source = random.Random(alphabet)  # noqa: S311 - the same keys in each run
    for length in (32, 36, 43, 44, 64, 88):
        for _ in range(334):
            key = "".join(source.choices(ALPHABETS[alphabet], k=length))
            Hms().check_credentials({**GOOD, "app_secret": key})


CHOSEN = [
    pytest.param(PLATFORMS[name], field.name, id=name)
    for name in PLATFORMS
    for field in PLATFORMS[name].credential_fields
    if field.chosen
]


@pytest.mark.parametrize(("platform", "field"), CHOSEN)
def test_passwords_of_all_printable_characters_pass_if_the_operator_chooses_them(
    platform: Platform, field: str
) -> None:
    demo, source = credential_file.demo()[platform.name], random.Random(field)  # noqa: S311 - the same keys in each run
    passwords = ["".join(source.choices([*map(chr, range(0x21, 0x7F))], k=40)) for _ in range(2000)]
    for password in [*passwords, r"Xk9$mP2<vQ7nR4tY8uI3oA6sD1fG5hJ0kL"]:
        assert platform.check_credentials({**demo, field: password})[field] == password


@pytest.mark.parametrize(
    "form", ["<{}>", "{{{{{}}}}}", "${{{}}}", "$" + "{}", "[{}]", '"{}"', "'{}'", "{}...", "app_secret={}"]
)
@pytest.mark.parametrize(("platform", "field"), CHOSEN)
def test_a_wrapped_password_is_refused(platform: Platform, field: str, form: str) -> None:
    with pytest.raises(InvalidCredentials):
        platform.check_credentials({**credential_file.demo()[platform.name], field: form.format(SECRET)})


@pytest.mark.threat("A13")
def test_a_byte_order_mark_is_named() -> None:
    with pytest.raises(InvalidCredentials) as caught:
        Hms().parse_secret("\ufeff" + json.dumps(GOOD))
    assert caught.value.problems == ("all: begins with a byte order mark",)


def test_a_secret_wrapped_in_its_platforms_name_is_named() -> None:
    with pytest.raises(InvalidCredentials) as caught:
        Hms().parse_secret(json.dumps({"100ms": GOOD}))
    assert caught.value.problems == ("all: contains an object for 100ms: store that object alone",)


BASE64_DER = pytest.param(base64.b64encode(DER).decode(), id="A15-der-in-base64")


@pytest.mark.threat("A15")
@pytest.mark.parametrize("value", [BASE64_DER])
def test_a_key_of_another_algorithm_in_base64_is_refused(value: str) -> None:
    assert refused({**GOOD, "app_secret": value})


@pytest.mark.parametrize(
    "value",
    [*NOT_STRINGS.values(), "", KEY_ID + "\n", " " + KEY_ID, KEY_ID + "\u00e9", "<access-key>", "your-access-key"],
)
def test_an_invalid_access_key_is_refused_by_name(value: object) -> None:
    problems = refused({**GOOD, "app_access_key": value})
    assert [problem.partition(":")[0] for problem in problems] == ["app_access_key"]


@pytest.mark.threat("A11")
@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_field_is_named(missing: str) -> None:
    assert refused({name: value for name, value in GOOD.items() if name != missing}) == (f"{missing}: is missing",)


@pytest.mark.threat("A11")
def test_every_invalid_field_is_named() -> None:
    assert [problem.partition(":")[0] for problem in refused({})] == ["app_access_key", "app_secret"]


@pytest.mark.threat("A11", "G8")
@pytest.mark.parametrize(
    "values",
    [
        {"api_key": KEY_ID, "secret": SECRET},
        {"app_id": "0" * 31 + "1", "app_certificate": SECRET},
        {"access_key": KEY_ID, "secret_key": SECRET},
        {"APP_ACCESS_KEY": KEY_ID, "APP_SECRET": SECRET},
        {"app-access-key": KEY_ID, "app-secret": SECRET},
    ],
)
def test_field_names_of_another_vendor_or_case_are_refused(values: dict[str, str]) -> None:
    assert [problem.partition(";")[0] for problem in refused(values)] == [
        "app_access_key: is missing",
        "app_secret: is missing",
    ]


@pytest.mark.parametrize("access_key", [SECRET, "a1" * 16, "any-key-id-longer-than-32-characters-0000"])
def test_key_and_secret_in_each_others_place_are_refused(access_key: str) -> None:
    problems = refused({"app_access_key": access_key, "app_secret": KEY_ID})
    assert len(problems) == 1
    assert problems[0].startswith("app_secret: ")


def test_key_and_secret_must_differ() -> None:
    assert "all: two of the values are the same" in refused({"app_access_key": SECRET, "app_secret": SECRET})


@pytest.mark.threat("A14")
@given(st.text(max_size=31))
def test_a_key_shorter_than_32_characters_signs_nothing(value: str) -> None:
    with pytest.raises(InvalidCredentials):
        Hms().check_credentials({**GOOD, "app_secret": value})


@pytest.mark.threat("A13")
@given(st.text(min_size=1, max_size=64))
@example("\u00a0" * 40)
def test_values_are_never_changed(value: str) -> None:
    try:
        credentials = Hms().check_credentials({**GOOD, "app_secret": value})
    except InvalidCredentials:
        assume(True)
    else:
        assert credentials["app_secret"] == value
        assert len(value.encode()) >= 32
        assert set(value) <= set(string.printable) - set(string.whitespace)


_PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=32, max_size=80)


@pytest.mark.threat("A13")
@given(_PRINTABLE, st.integers(0, 80), st.sampled_from(" \t\n\r\v\f\x1c\x85\u00a0\u2028\ufeff\u200b\x00"))
def test_white_space_is_refused_anywhere(value: str, at: int, space: str) -> None:
    with pytest.raises(InvalidCredentials):
        Hms().check_credentials({**GOOD, "app_secret": value[:at] + space + value[at:]})


# --- the stored text -----------------------------------------------------------------------------------------------


def test_a_secret_is_one_json_object() -> None:
    credentials = Hms().parse_secret(json.dumps(GOOD))
    assert credentials.values == GOOD


NOT_DOCUMENTS = {
    "A10-cut": '{"app_secret": "' + SECRET,
    "A10-garbage-after": json.dumps(GOOD) + "}",
    "A10-two-documents": json.dumps(GOOD) * 2,
    "A10-single-quotes": str(GOOD),
    "A10-comment": json.dumps(GOOD) + "// " + SECRET,
    "A10-trailing-comma": json.dumps(GOOD)[:-1] + ",}",
    "A11-list": json.dumps([GOOD]),
    "A11-string": json.dumps(SECRET),
    "A11-document-in-a-string": json.dumps(json.dumps(GOOD)),
    "A11-null": "null",
    "A11-true": "true",
    "A11-number": "17",
    "A11-huge-number": "9" * 5000,
    "A11-duplicate": f'{{"app_access_key":"{KEY_ID}","app_secret":"{SECRET}x","app_secret":"{SECRET}"}}',
    "A11-duplicate-that-agrees": f'{{"app_access_key":"{KEY_ID}","app_secret":"{SECRET}","app_secret":"{SECRET}"}}',
    "A11-duplicate-of-what-is-ignored": json.dumps(GOOD)[:-1] + ', "note": 1, "note": 1}',
    "A11-duplicate-within": json.dumps(GOOD)[:-1] + ', "more": {"a": 1, "a": 1}}',
    "A11-too-deep": "[" * 100_000,
    "A12-plain-text": SECRET,
    "A12-assignment": f"app_secret={SECRET}",
    "A18-empty": "",
    "A18-blank": " \n",
}


@pytest.mark.threat("A10", "A11", "A12", "A13", "A18")
@pytest.mark.parametrize("text", NOT_DOCUMENTS.values(), ids=NOT_DOCUMENTS)
def test_any_other_text_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidCredentials) as caught:
        Hms().parse_secret(text)
    _repeats_nothing(caught.value, [text, SECRET, KEY_ID])
    assert caught.value.problems == ("all: is not a JSON object without duplicate keys",)
    printed = "".join(traceback.format_exception(caught.value))
    assert "Sentinel" not in printed
    assert "JSONDecodeError" not in printed, "the decoder's exception holds the whole document"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@pytest.mark.threat("A11")
@given(st.dictionaries(st.sampled_from([*GOOD, "note"]), _JSON))
def test_any_document_is_accepted_unchanged_or_refused(values: dict[str, object]) -> None:
    try:
        credentials = Hms().parse_secret(json.dumps(values))
    except InvalidCredentials:
        return
    assert credentials.values == {name: values[name] for name in GOOD}


# --- the rules for other vendors -----------------------------------------------------------------------------------

HEX = r"[0-9a-fA-F]{32}"
STRICT = (CredentialField("id", pattern=HEX, form="hex"), CredentialField("key", signs=True, pattern=HEX, form="hex"))
LOOSE = (CredentialField("id", pattern=r"[0-9a-f]{32}"), CredentialField("key", signs=True))
ID, KEY = "5f1e3a7c9d2b4860AF13C5E76B8D0942", "c81d4e2e9f0b67a3352e7bd01f64a98c"


def problems_of(fields: tuple[CredentialField, ...], values: Mapping[str, object]) -> tuple[str, ...]:
    with pytest.raises(InvalidCredentials) as caught:
        check_credentials(fields, values)
    return caught.value.problems


def test_strict_fields_accept_the_vendors_values() -> None:
    assert check_credentials(STRICT, {"id": ID, "key": KEY}) == Credentials({"id": ID, "key": KEY})


@pytest.mark.parametrize("key", [KEY[:31], KEY + "0", KEY[:31] + "g", KEY + "\n", "0x" + KEY[:30], "k" * 40])
def test_strict_fields_accept_no_other_value(key: str) -> None:
    (problem,) = problems_of(STRICT, {"id": ID, "key": key})
    assert problem.startswith("key: ")
    assert key not in problem


@pytest.mark.threat("A14")
@pytest.mark.parametrize(("length", "taken"), [(31, False), (32, True)])
def test_a_signing_key_of_any_vendor_has_32_bytes(length: int, taken: bool) -> None:
    values = {"id": KEY, "key": SECRET[:length]}
    if taken:
        assert check_credentials(LOOSE, values).values == values
    else:
        assert problems_of(LOOSE, values) == ("key: is shorter than 32 bytes (another value in its place?)",)


@pytest.mark.parametrize("value", ["https://a.example", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "x:y"])
def test_a_strict_field_names_its_form_alone(value: str) -> None:
    assert problems_of(STRICT, {"id": value, "key": KEY}) == ("id: must be hex",)


def test_the_vendors_names_of_environment_variables_are_suggested() -> None:
    livekit = PLATFORMS["livekit"].credential_fields
    named = {"LIVEKIT_API_KEY": "API1", "LIVEKIT_API_SECRET": KEY, "LIVEKIT_URL": "wss://x.livekit.cloud"}
    assert problems_of(livekit, named) == (
        "api_key: is missing; rename LIVEKIT_API_KEY to api_key",
        "api_secret: is missing; rename LIVEKIT_API_SECRET to api_secret",
        "server_url: is missing; rename LIVEKIT_URL to server_url",
    )
    assert problems_of(
        livekit, {"key": KEY, "Api_Key": KEY, "A_KEY\n": KEY, "server_url": "https://x.livekit.cloud"}
    ) == (
        "api_key: is missing",
        "api_secret: is missing",
        "server_url: must be a URL that begins with wss://",
    )


def test_strict_values_must_differ() -> None:
    assert problems_of(STRICT, {"id": KEY, "key": KEY}) == ("all: two of the values are the same",)


def test_a_key_in_the_form_of_the_id_counts_as_swapped() -> None:
    (problem,) = problems_of(LOOSE, {"id": "not-of-the-usual-shape-and-much-longer", "key": KEY})
    assert problem == "key: looks like id; are the two swapped?"


def test_a_key_in_the_form_of_the_id_with_a_valid_id_is_a_key() -> None:
    values = {"id": ID.lower(), "key": KEY}
    assert check_credentials(LOOSE, values).values == values


LABEL = SECRET.lower() + SECRET.lower()[38:14:-1]
"""The longest label of a host name, 63 characters."""


@pytest.mark.parametrize(
    ("platform", "field", "value", "reason"),
    [
        *(("agora", "app_id", app_id, "follows a pattern") for app_id in ("0123456789abcdef" * 2, "12345678" * 4)),
        *(
            ("livekit", "server_url", f"wss://{rest}", "must be")
            for rest in ("a:99999", "a:0", "a..b", "-a", "a-.b", "a.b/rtc?access_token=x")
        ),
        *(("turn", "urls", [f"turn:{rest}"], "must be") for rest in ("a:0", "a:65536", "-a", "a." + LABEL + "b")),
        ("turn", "urls", ["stun:a:3478?transport=udp"], "must be"),
        ("turn", "urls", ["stun:a:3478"], "must contain a turn: or turns: address"),
        ("turn", "urls", ["turn:a:3478", "turn:a:3478"], "must not repeat a value"),
        *(("daily", "domain", domain, "must be") for domain in ("-", "a-", LABEL + "b")),
        *(("jitsi", "domain", domain, "must be") for domain in ("a", "a.-b", "a..b")),
        *(("jitsi", "domain", domain, "is not supported") for domain in ("8x8.vc", "eu.8x8.vc")),
        ("jitsi", "app_id", "vpaas-magic-cookie-5f1e3a7c", "is not supported"),
    ],
)
def test_an_id_or_address_that_cannot_work_is_refused(platform: str, field: str, value: object, reason: str) -> None:
    with pytest.raises(InvalidCredentials, match=reason):
        PLATFORMS[platform].check_credentials({**credential_file.demo()[platform], field: value})


@pytest.mark.parametrize(
    ("platform", "field", "value"),
    [
        *(
            ("livekit", "server_url", f"ws{rest}")
            for rest in ("://localhost:7880", "s://a-b.c1:65535/rtc", "://10.0.0.7")
        ),
        ("turn", "urls", ["stun:a.b", "turn:10.0.0.7:1", "turns:[2001:db8::1]:5349?transport=tcp"]),
        ("daily", "domain", LABEL),
        ("jitsi", "domain", "xn--bcher-kva.example"),
    ],
)
def test_an_address_that_can_work_is_accepted(platform: str, field: str, value: object) -> None:
    PLATFORMS[platform].check_credentials({**credential_file.demo()[platform], field: value})
