"""Requests that a bad connection loses are made again, and what a server refuses is not."""

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from facegan.tracking import patience
from facegan.tracking.patience import again, patient


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", found.append)
    return found


def failing(times: int, error: Exception) -> tuple[Callable[[str], str], list[str]]:
    asked: list[str] = []

    def request(text: str) -> str:
        asked.append(text)
        if len(asked) <= times:
            raise error
        return text

    return request, asked


def test_what_a_connection_loses_is_asked_again_and_later_each_time(waits: list[float]) -> None:
    request, asked = failing(3, ConnectionResetError())
    assert again(5, request, "a") == "a" and asked == ["a"] * 4
    assert waits == [0.2, 0.4, 0.8]


def test_the_last_failure_is_told() -> None:
    request, asked = failing(9, MlflowException("API request failed with exception"))
    with pytest.raises(MlflowException):
        again(3, request, "a")
    assert len(asked) == 3


@pytest.mark.parametrize("error", [MlflowException.invalid_parameter_value("no"), OSError(28, "No space left")])
def test_a_refusal_and_a_full_disk_are_told_at_once(error: Exception) -> None:
    request, asked = failing(9, error)
    with pytest.raises(type(error)):
        again(5, request, "a")
    assert len(asked) == 1


def test_what_would_be_stored_twice_is_asked_once() -> None:
    class Client:
        def __init__(self) -> None:
            self.create_run, self.made = failing(1, ConnectionResetError())
            self.get_run, self.got = failing(1, ConnectionResetError())

    client: Any = Client()
    assert patient(client, 5).get_run("x") == "x"
    with pytest.raises(ConnectionResetError):
        patient(client, 5).create_run("x")
    assert len(client.made) == 1 and patient(client, 1) is client
