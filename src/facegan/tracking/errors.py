"""What MLflow, a database or HTTP raised, in one line and without passwords."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from facegan.errors import FaceganError

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>\S+)")
_PARAMETER = re.compile(r"(?<==)[^&;#]*")


def redact(text: str) -> str:
    """``text`` without users, passwords and values of queries in its URLs.

    A password may hold any sign but a space, which no parser of URLs allows for: where the first part may be a user
    and the beginning of a password, what stands before the last ``@`` is hidden whole.
    """
    return _URL.sub(lambda url: url["scheme"] + _hidden(url["rest"]), text)


def _hidden(rest: str) -> str:
    first = re.split("[/?#]", rest, maxsplit=1)[0]
    _, at, place = rest.rpartition("@") if "@" in first or ":" in first else ("", "", rest)
    where, mark, query = place.partition("?")
    values = _PARAMETER.sub("***", query) if "=" in query else "***" if mark else ""
    return ("***@" if at else "") + where + mark + values


def one_line(error: BaseException, most: int = 300) -> str:
    """The first line of an error, or the name of its kind."""
    return next(iter(redact(str(error)).splitlines()), "")[:most] or type(error).__name__


@contextmanager
def mlflow_guarded(outcome: str = "the version in service is as it was") -> Iterator[None]:
    """Whatever MLflow raises becomes one line, which ends with the ``outcome``."""
    try:
        yield
    except FaceganError:
        raise
    except Exception as error:  # MLflow lets those of its database, of HTTP and of its stores through
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        answers = isinstance(error, (MlflowException, RequestException))
        if isinstance(error, OSError) and not answers:  # a full disk is the command's to tell
            raise
        what = "MLflow does not answer" if answers else "it failed"
        raise FaceganError(f"{what}: {one_line(error)}; {outcome}") from error
