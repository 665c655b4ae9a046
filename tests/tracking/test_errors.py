"""Errors are told in one line, and never with a password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from requests.exceptions import ConnectionError, HTTPError

from facegan.errors import FaceganError
from facegan.tracking.errors import mlflow_guarded, one_line, redact


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("http://ann:s3cret@host:5000/api failed", "http://***@host:5000/api failed"),
        ("https://s3cret@host", "https://***@host"),
        ("postgresql://ann:s3cret@db/mlflow, http://bob:s3cret@x", "postgresql://***@db/mlflow, http://***@x"),
        ("http://ann:s3@cret@host/a", "http://***@host/a"),
        ("postgresql://ann:s3/cr?et#@db:5432/mlflow", "postgresql://***@db:5432/mlflow"),
        ("https://host/a?token=s3;cret&page=2 failed", "https://host/a?*** failed"),
        ("https://host/a#access_token=s3cret", "https://host/a#***"),
        ("https://s3/cret@host", "https://***@host"),
        ("http://host/a@b and mail@host", "http://***@b and mail@host"),
        ("http://host/a,postgresql://ann:s3cret@db/x", "http://***@db/x"),
        (
            "Max retries exceeded with url: /k?X-Amz-Signature=s3cret (Caused",
            "Max retries exceeded with url: /k?*** (Caused",
        ),
        ("host=db password=s3cret user=ann", "host=db password=*** user=ann"),
        ("aws_secret_access_key=s3cret, region=eu", "aws_secret_access_key=***, region=eu"),
        ("sqlite:////home/ann/mlflow.db", "sqlite:////home/ann/mlflow.db"),
        ("http://127.0.0.1:5000/api/2.0", "http://127.0.0.1:5000/api/2.0"),
    ],
)
def test_users_passwords_and_tokens_are_taken_out(text: str, clean: str) -> None:
    assert redact(text) == clean


SIGNS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@given(user=SIGNS, before=SIGNS, after=SIGNS, scheme=st.sampled_from(["http", "https", "postgresql+psycopg2", "s3"]))
def test_no_part_of_any_password_is_shown(user: str, before: str, after: str, scheme: str) -> None:
    told = redact(f"cannot reach {scheme}://{user}:{before}SECRET{after}@host/database today")
    assert "SECRET" not in told and told.startswith(f"cannot reach {scheme}://***@") and told.endswith(" today")


@given(value=SIGNS, path=st.from_regex(r"(/[a-z0-9]{1,5}){0,3}", fullmatch=True))
def test_no_value_of_a_query_is_shown(value: str, path: str) -> None:
    assert "SECRET" not in redact(f"https://host{path}?token=SECRET{value}".replace("&", "").replace("#", ""))


def test_an_error_is_one_line_that_says_something() -> None:
    assert one_line(ValueError("first\nsecond")) == "first"
    assert one_line(ValueError("")) == "ValueError"
    assert one_line(ValueError("x" * 500)) == "x" * 300


@pytest.mark.parametrize("error", [ConnectionError("refused"), HTTPError("500"), MlflowException("away")])
def test_what_a_server_does_is_told_with_the_outcome(error: Exception) -> None:
    """The errors of requests are OSErrors too: they are no full disk."""
    told = r"MLflow failed: .*; nothing was decided"
    with pytest.raises(FaceganError, match=told), mlflow_guarded("nothing was decided"):
        raise error


def test_a_full_disk_and_our_own_errors_pass() -> None:
    for error in (OSError(28, "No space left on device"), FaceganError("ours")):
        with pytest.raises(type(error)) as caught, mlflow_guarded():
            raise error
        assert caught.value is error
    with pytest.raises(FaceganError, match=r"MLflow failed: timed out$"), mlflow_guarded():
        raise TimeoutError("timed out")  # an OSError that is no disk's
    told = "failed: odd; nothing was decided"
    with pytest.raises(FaceganError, match=told), mlflow_guarded("nothing was decided"):
        raise RuntimeError("odd")
