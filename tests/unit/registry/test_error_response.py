"""From an answer to an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import (
    AuthError,
    ImmutableTagError,
    NotFoundError,
    ProtocolError,
    QuotaError,
    RateLimitedError,
    RegistryError,
    ServerError,
)
from ocync.registry import error_response
from ocync.registry.ratelimit_headers import Allowance

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def error_of(
    status: int, body: bytes | str = b"", retry_after: str | None = None, allowance: Allowance | None = None
) -> RegistryError:
    raw = body.encode() if isinstance(body, str) else body
    refusal = error_response.Refusal(status, "Reason", retry_after, raw, allowance=allowance)
    return error_response.from_answer(refusal, what="push x", host="r.example", now=NOW)


def errors(code: str, message: str) -> str:
    return json.dumps({"errors": [{"code": code, "message": message}]})


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(401, errors("UNAUTHORIZED", "no"), AuthError, id="401"),
        pytest.param(403, errors("DENIED", "no"), AuthError, id="403"),
        pytest.param(404, errors("MANIFEST_UNKNOWN", "no"), NotFoundError, id="404"),
        pytest.param(404, "<html>nothing here</html>", NotFoundError, id="404 in HTML"),
        pytest.param(408, "", ServerError, id="408"),
        pytest.param(500, "", ServerError, id="500"),
        pytest.param(503, "upstream", ServerError, id="503"),
        pytest.param(425, "too early", ServerError, id="425"),
        pytest.param(507, "no space left on device", QuotaError, id="507"),
        pytest.param(522, "", ServerError, id="522"),
        pytest.param(400, errors("MANIFEST_INVALID", "bad"), ProtocolError, id="400"),
        pytest.param(405, "", ProtocolError, id="405"),
        pytest.param(413, "", ProtocolError, id="413"),
        pytest.param(429, "Too Many Requests (HAP429).", RateLimitedError, id="abuse limit"),
        pytest.param(
            429,
            errors(
                "TOOMANYREQUESTS",
                "You have reached your pull rate limit. https://www.docker.com/increase-rate-limit",
            ),
            QuotaError,
            id="Docker Hub's quota",
        ),
        pytest.param(
            403,
            '{"message": "You have exceeded a secondary rate limit."}',
            RateLimitedError,
            id="GitHub's second limit",
        ),
        pytest.param(
            400,
            errors("TAG_INVALID", "The tag x cannot be overwritten because the tag is immutable."),
            ImmutableTagError,
            id="ECR's immutable tag",
        ),
        pytest.param(
            412,
            errors("PRECONDITION", "Failed to process request due to 'a:b' configured as immutable."),
            ImmutableTagError,
            id="Harbor's immutable tag",
        ),
        pytest.param(
            403,
            errors("DENIED", "adding 29.0 MiB of storage resource, which will exceed the configured upper limit"),
            QuotaError,
            id="Harbor's quota",
        ),
    ],
)
def test_an_answer_becomes_the_error_that_it_is(status: int, body: str, kind: type[RegistryError]) -> None:
    error = error_of(status, body)

    assert type(error) is kind
    assert error.status == status
    assert "push x" in error.message


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_blob_that_the_target_misses_is_told_whatever_status_comes_with_it(status: int) -> None:
    # Distribution gives the status of the first error to all of them, in the order of a map.
    body = json.dumps(
        {
            "errors": [
                {"code": "UNKNOWN", "message": "unknown error", "detail": {}},
                {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": "sha256:5f23"},
            ]
        }
    )
    error = error_of(status, body)

    assert isinstance(error, NotFoundError)
    assert error.code == "MANIFEST_BLOB_UNKNOWN"
    assert "blob unknown to registry (sha256:5f23)" in error.message


def test_a_code_that_tells_nothing_is_better_than_none() -> None:
    assert error_of(500, errors("UNKNOWN", "unknown error")).code == "UNKNOWN"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ServerError), (403, ServerError), (503, ServerError), (401, AuthError), (404, NotFoundError)],
)
def test_a_refusal_of_a_store_that_the_registry_led_to_is_not_taken_for_the_registry_s(
    status: int, kind: type[RegistryError]
) -> None:
    refusal = error_response.Refusal(status, "Reason", None, b"<Error>AccessDenied</Error>", "cdn.example")
    error = error_response.from_answer(refusal, what="fetch x", host="r.example", now=NOW)

    assert type(error) is kind
    assert "r.example sent us on to cdn.example" in error.message


def test_what_can_t_be_sent_at_all_is_not_tried_again() -> None:
    why = httpx.LocalProtocolError("a request target is visible ASCII")

    assert not error_response.from_transport(why, what="push x", host="r.example").retryable
    assert error_response.from_transport(httpx.ReadError(""), what="push x", host="r.example").retryable


@pytest.mark.parametrize(
    ("what", "why", "message"),
    [
        ("push x", "no connection to r.example: refused", "can't push x: no connection to r.example: refused"),
        ("push x", "nothing came for 60 s", "can't push x: r.example: nothing came for 60 s"),
        ("log in at r.example", "nothing came for 60 s", "can't log in at r.example: nothing came for 60 s"),
    ],
)
def test_a_broken_exchange_names_the_registry_and_does_not_repeat_it(what: str, why: str, message: str) -> None:
    for error in (httpx.ConnectError(why), httpx.LocalProtocolError(why)):
        assert error_response.from_transport(error, what=what, host="r.example").message == message


def test_retry_after_is_kept() -> None:
    assert error_of(429, retry_after="12").retry_after == 12.0
    assert error_of(503, retry_after="3").retry_after == 3.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("retry-after: 10.305464ms", 0.010305464),
        ("retry-after: 2s", 2.0),
        ("retry-after: 75µs", 75e-6),
        ("retry-after: 75\u03bcs", 75e-6),
        ("retry-after: 1m30s", 90.0),
        ("Retry-After: 1h0m0.5s", 3600.5),
    ],
)
def test_ghcr_s_wait_in_the_message_is_read(text: str, seconds: float) -> None:
    error = error_of(429, errors("TOOMANYREQUESTS", f"{text}, allowed: 2000/minute"))

    assert error.retry_after == pytest.approx(seconds)


def test_a_wait_that_is_told_by_the_window_is_taken_where_there_is_no_other() -> None:
    empty = Allowance(remaining=0, resets_in=42.0)

    assert error_of(429, allowance=empty).retry_after == 42.0
    assert error_of(429, retry_after="3", allowance=empty).retry_after == 3.0
    assert error_of(429, allowance=Allowance(remaining=7, resets_in=42.0)).retry_after is None
    # One that is empty for hours is a quota, whatever the words are.
    assert isinstance(error_of(429, "no", allowance=Allowance(remaining=0, window=21600.0)), QuotaError)
    assert error_of(429, "no", "60", allowance=Allowance(remaining=0, window=21600.0)).retry_after == 60.0


def test_a_secondary_limit_asks_for_a_minute_where_no_time_is_told() -> None:
    text = '{"message": "You have exceeded a secondary rate limit."}'

    assert error_of(403, text).retry_after == 60.0
    assert error_of(429, text, retry_after="7").retry_after == 7.0
    assert error_of(403, text, allowance=Allowance(remaining=0, resets_in=7200.0)).retry_after == 7200.0


def test_a_pull_quota_says_when_it_is_renewed() -> None:
    text = errors(
        "TOOMANYREQUESTS", "You have reached your pull rate limit. https://www.docker.com/increase-rate-limit"
    )

    told = error_of(429, text, retry_after="60", allowance=Allowance(remaining=0, limit=100, window=21600.0))
    untold = error_of(429, text, retry_after="60")

    assert (told.hint or "").startswith("the pull quota is used up: it is renewed by 2026-11-23 06:00 UTC")
    assert told.retry_after == 21600.0
    assert (untold.hint, untold.retry_after) == (
        "the pull quota is used up: log in, or wait until it is renewed",
        None,
    )


def test_a_message_is_one_line_without_control_characters() -> None:
    error = error_of(400, errors("X", "evil \x1b[2J\r\nsecond\u202eline"))

    assert "\x1b" not in str(error)
    assert "\n" not in str(error)
    assert "\u202e" not in str(error)


@given(status=st.integers(300, 599), body=st.binary(max_size=500))
def test_any_body_makes_a_short_printable_error(status: int, body: bytes) -> None:
    error = error_of(status, body)

    assert len(error.message) < 500
    assert error.message.isprintable()
