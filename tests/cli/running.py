"""How a command is run in a test, and how it ended."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Ended:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that the command ended with."""
        assert self.code == 1, self
        assert self.err.startswith("error: ") and self.err.count("\n") == 1 and self.err.endswith("\n"), self.err
        return self.err.removeprefix("error: ").removesuffix("\n")


class Command(Protocol):
    def __call__(self, *arguments: Any) -> Ended: ...
