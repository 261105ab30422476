"""Credentials: one secret per platform, read on demand, cached, and hidden."""

import json
import logging
import traceback

import pytest

from roomkey.aws.stores import Secret
from roomkey.cache import CachedValue
from roomkey.clock import Budget
from roomkey.credentials import CredentialSource, VersionedCredentials
from roomkey.errors import CredentialsInvalid, CredentialsUnavailable, DeadlineExceeded, DependencyFailure, Fault
from roomkey.platforms.base import Platform
from roomkey.platforms.hms import Hms
from support.clocks import FakeClock

KEY_ID = "5f1e3a7c9d2b4860af13c5e7"
OLD, NEW = "Sentinel7Vq2mXw9Lr4Tz6Bn8Kc1Hd3Fg5Js0Yp", "Sentinel2Jd8Wk5Rm1Qx7Zt4Pv9Nb6Lc3Gh0Fs"

DOWN = DependencyFailure("secretsmanager", "throttled", transient=True)
GONE = DependencyFailure("secretsmanager", "deleted", transient=False)


def stored(secret: str = OLD, version_id: str = "v1") -> Secret:
    return Secret(json.dumps({"app_access_key": KEY_ID, "app_secret": secret}), version_id)


class Other(Hms):
    """Another platform."""

    name = "other"


HMS, OTHER = Hms(), Other()


class Secrets:
    """A reader with prepared answers that records its calls."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: Secret | Exception = stored()

    def read(self, name: str, budget: Budget) -> Secret:
        assert budget.remaining() > 0
        self.asked.append(name)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Subject:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.secrets = Secrets()
        self.source = CredentialSource(
            self.secrets,  # type: ignore[arg-type]
            lambda platform: f"roomkey/dev/{platform}",
            [HMS, OTHER],
            clock=self.clock,
            jitter=lambda: 0.5,
        )

    def read(self, platform: Platform = HMS, seconds: float = 2.8) -> CachedValue[VersionedCredentials]:
        return self.source.read(platform, Budget.start(self.clock, seconds))

    def secret(self, platform: Platform = HMS) -> str:
        return self.read(platform).value.credentials["app_secret"]

    def fails(self, fault: type[Fault]) -> DependencyFailure:
        with pytest.raises(fault) as caught:
            self.read()
        assert caught.value.failure is not None
        return caught.value.failure


@pytest.fixture
def subject() -> Subject:
    return Subject()


def test_nothing_is_read_before_it_is_asked_for(subject: Subject) -> None:
    assert subject.secrets.asked == []


def test_credentials_have_their_version_and_age(subject: Subject) -> None:
    reading = subject.read()
    assert (reading.value.version_id, reading.age, reading.failure) == ("v1", 0.0, None)
    assert reading.value.credentials.values == {"app_access_key": KEY_ID, "app_secret": OLD}
    subject.clock.advance(120)
    assert subject.read().age == 120


def test_only_the_platform_that_is_asked_for_is_read(subject: Subject) -> None:
    subject.read(OTHER)
    assert subject.secrets.asked == ["roomkey/dev/other"]
    subject.read(HMS)
    subject.read(OTHER)
    assert subject.secrets.asked == ["roomkey/dev/other", "roomkey/dev/100ms"]


def test_platforms_do_not_share_their_faults(subject: Subject) -> None:
    subject.read(OTHER)
    subject.secrets.says = GONE
    subject.fails(CredentialsUnavailable)
    assert subject.secret(OTHER) == OLD


@pytest.mark.threat("A17")
def test_a_new_version_is_found_after_300_seconds(subject: Subject) -> None:
    assert subject.secret() == OLD
    subject.secrets.says = stored(NEW, "v2")
    subject.clock.advance(299.9)
    assert subject.secret() == OLD
    subject.clock.advance(0.2)
    assert subject.secret() == NEW
    assert subject.read().value.version_id == "v2"
    assert len(subject.secrets.asked) == 2


@pytest.mark.threat("A2", "A3")
def test_credentials_that_cannot_be_read_again_sign_for_3600_seconds(subject: Subject) -> None:
    subject.read()
    subject.secrets.says = DOWN
    subject.clock.advance(3599.9)
    reading = subject.read()
    assert reading.value.credentials["app_secret"] == OLD
    assert reading.age == pytest.approx(3599.9)
    assert reading.failure is DOWN
    subject.clock.advance(0.2)
    assert subject.fails(CredentialsUnavailable) is DOWN
    subject.clock.advance(86400)
    assert subject.fails(CredentialsUnavailable) is DOWN


@pytest.mark.threat("A6", "A7")
def test_an_authoritative_no_ends_them_at_once(subject: Subject) -> None:
    subject.read()
    subject.secrets.says = GONE
    subject.clock.advance(301)
    assert subject.fails(CredentialsUnavailable) is GONE
    subject.secrets.says = DOWN
    subject.clock.advance(6)
    assert subject.fails(CredentialsUnavailable) is DOWN


def test_faults_say_whether_they_pass_by_themselves(subject: Subject) -> None:
    subject.secrets.says = DOWN
    with pytest.raises(CredentialsUnavailable) as caught:
        subject.read()
    assert caught.value.transient
    subject.secrets.says = GONE
    with pytest.raises(CredentialsUnavailable) as caught:
        subject.read()
    assert not caught.value.transient


UNUSABLE = {
    "A10-malformed": '{"app_secret": "Sentinel", oops',
    "A11-missing": json.dumps({"app_access_key": KEY_ID}),
    "A13-newline": json.dumps({"app_access_key": KEY_ID, "app_secret": OLD + "\n"}),
    "A14-short": json.dumps({"app_access_key": KEY_ID, "app_secret": OLD[:31]}),
    "A18-empty": "",
}


@pytest.mark.threat("A10", "A11", "A13", "A14", "A18", "I5")
@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE)
def test_credentials_that_cannot_sign_are_invalid_cold_and_warm(subject: Subject, text: str) -> None:
    for _ in ("cold", "warm"):
        subject.secrets.says = Secret(text, "v2")
        failure = subject.fails(CredentialsInvalid)
        assert (failure.dependency, failure.reason, failure.transient) == ("secretsmanager", "not-usable", False)
        assert failure.problems
        for problem in failure.problems:
            assert problem.startswith(("100ms.app_access_key: ", "100ms.app_secret: ", "100ms.all: "))
            assert "Sentinel" not in problem

        subject.secrets.says = stored()
        subject.clock.advance(6)
        assert subject.secret() == OLD
        subject.clock.advance(301)


def test_the_platform_and_the_field_are_named(subject: Subject) -> None:
    subject.secrets.says = Secret(json.dumps({"app_access_key": KEY_ID}), "v2")
    assert subject.fails(CredentialsInvalid).problems == ("100ms.app_secret: is missing",)


def test_a_fault_drags_no_other_exception_along(subject: Subject) -> None:
    """It would contain the secret."""
    subject.secrets.says = Secret("Sentinel", "v2")
    with pytest.raises(CredentialsInvalid) as caught:
        subject.read()

    for error in (caught.value, caught.value.failure):
        assert error is not None
        assert "another exception" not in "".join(traceback.format_exception(error))


def test_without_time_nothing_is_read(subject: Subject) -> None:
    with pytest.raises(DeadlineExceeded):
        subject.read(seconds=0)
    assert subject.secrets.asked == []


@pytest.mark.threat("H3")
def test_nothing_shows_a_secret_that_is_printed_by_mistake(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    reading, secret = subject.read(), stored()
    logging.getLogger("test").error("%s %r %r %r", reading, reading.value, reading.value.credentials, secret)
    assert "v1" in caplog.text
    assert "Sentinel" not in caplog.text
    assert KEY_ID not in caplog.text
