"""The one exception that is meant for the person at the keyboard."""


class FaceganError(Exception):
    """Something the user can put right: says what is wrong, where, and what would be right, in one line.

    Stages and commands print the message alone and exit with 1; the traceback comes with ``--debug``.
    """
