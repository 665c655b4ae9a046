"""Runs, as a journal holds them and MLflow shows them. Importing this quiets MLflow, before it is imported."""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

for _chatty in ("mlflow", "alembic"):  # of migrations and of pip: nothing that the user can act on
    logging.getLogger(_chatty).setLevel(logging.ERROR)
