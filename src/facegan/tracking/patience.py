"""Requests to MLflow that are made again when the connection broke."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from facegan.tracking.errors import LOCAL

WAIT, LONGEST = 0.2, 2.0  # seconds before the second try, twice as long before each other, up to the longest
REPEATABLE = frozenset(  # reads, and writes that store nothing twice
    (
        *("get_run", "get_experiment_by_name", "get_metric_history", "list_artifacts", "download_artifacts"),
        *("search_runs", "search_logged_models"),
        *("log_batch", "log_artifact", "log_text"),
        *("set_tag", "delete_tag", "update_run", "set_terminated", "restore_experiment"),
    )
)


def patient(client: MlflowClient, tries: int) -> MlflowClient:
    """``client``, whose requests are tried so often where that is harmless. What a server refuses is not."""
    return cast(MlflowClient, _Patient(client, tries)) if tries > 1 else client


class _Patient:
    def __init__(self, client: MlflowClient, tries: int) -> None:
        self._client, self._tries = client, tries

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return partial(again, self._tries, method) if name in REPEATABLE else method


def again(tries: int, request: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What ``request`` gives, tried so often. Raises what the last try did, or a refusal at once."""
    for number in range(tries):
        try:
            return request(*arguments, **options)
        except Exception as error:
            refused = isinstance(error, MlflowException) and _status(error) < 500
            here = isinstance(error, OSError) and error.errno in LOCAL
            if refused or here or number == tries - 1:
                raise
            time.sleep(min(WAIT * 2**number, LONGEST))
    raise ValueError("tries should be 1 or more")


def _status(error: MlflowException) -> int:
    # MLflow calls these bad requests: a download that failed, and a row that an earlier try has stored.
    if any(text in str(error) for text in ("Failed to download", "UniqueViolation", "UNIQUE constraint")):
        return 500
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]
