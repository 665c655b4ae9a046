"""The `facegan` command, and the one room that knows DVC and git."""
