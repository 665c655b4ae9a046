"""Projects in folders of their own, as the commands' tests have them."""

from cli.conftest import empty_database, environment, facegan, finished, project  # noqa: F401
