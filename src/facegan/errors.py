"""The one exception that is meant for the person at the keyboard."""


class FaceganError(Exception):
    """An error that the user can fix: one line that says what is wrong, where, and what would be right.

    Stages and commands print the message alone and exit with 1; the traceback comes with ``--debug``.
    """
