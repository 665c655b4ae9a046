"""What MLflow, a database or HTTP raised, in one line and without passwords."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from facegan.errors import FaceganError

# What a user can fix: a full or read-only disk, a path that is a folder or is not there.
LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENOENT)

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>\S+)")
_PATH = re.compile(r"(url: [^\s?]*\?)\S+")  # as requests tells which one failed
_SECRET = re.compile(
    r"(?i)\b((?:[\w-]*[_-])?(?:password|passwd|pwd|token|secret|signature|credential|sig|key)=)[^\s&,;'\")]+"
)


def redact(text: str) -> str:
    """``text`` without users, passwords, queries and fragments of URLs, and without secrets as ``name=value``.

    A password may hold any sign but a space, which no parser of URLs allows for: all that stands before the last ``@``
    of a word with a URL is hidden, a path or a second URL too.
    """
    text = _URL.sub(lambda url: url["scheme"] + _hidden(url["rest"]), text)
    return _SECRET.sub(r"\1***", _PATH.sub(r"\1***", text))


def _hidden(rest: str) -> str:
    _, at, place = rest.rpartition("@")
    where = re.split("[?#]", place, maxsplit=1)[0]
    return ("***@" if at else "") + where + (f"{place[len(where)]}***" if where != place else "")


def one_line(error: BaseException, most: int = 300) -> str:
    """The first line of an error, or the name of its kind."""
    return next(iter(redact(str(error)).splitlines()), "")[:most] or type(error).__name__


@contextmanager
def mlflow_guarded(outcome: str = "") -> Iterator[None]:
    """Whatever MLflow raises becomes one line, which ends with the ``outcome``, if one is given."""
    try:
        yield
    except FaceganError:
        raise
    except Exception as error:  # MLflow lets those of its database, of HTTP and of its stores through
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        answers = isinstance(error, (MlflowException, RequestException))
        if isinstance(error, OSError) and error.errno in LOCAL and not answers:  # a full disk is the command's to tell
            raise
        what = "MLflow failed" if answers or isinstance(error, OSError) else "failed"
        raise FaceganError(f"{what}: {one_line(error)}" + (f"; {outcome}" if outcome else "")) from error
