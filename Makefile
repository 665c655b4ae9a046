# `make help` lists the targets. Everything runs in .venv, which is built from requirements.lock once.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
UV := uv==0.13.9
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.PHONY: help setup repro test test-system campaign ui demo bench lint lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready  ## build .venv from requirements.lock

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit("Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + "; say for example: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(VENV)/bin/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	$(VENV)/bin/uv pip install --quiet --no-deps --editable .
	touch $@

repro: setup  ## run the pipeline: download, preprocess, train, evaluate, export, record
	dvc repro
	@echo; echo "Done. Pictures and scores: reports/evaluate/index.html; the run beside others: make ui"

test: setup  ## unit tests
	pytest tests --ignore=tests/system --ignore=tests/campaign -n auto --dist loadfile

test-system: setup  ## whole runs: the real dvc, MLflow, kills, PostgreSQL, a browser, SLURM (apt-get install chromium postgresql slurm-wlm munge)
	pytest tests/system -n auto --dist loadfile

campaign: setup  ## what takes too long to test with every change
	pytest tests/campaign tests/cli/campaign_server_faults.py

ui: setup  ## open MLflow with all runs at http://127.0.0.1:5000
	@case "$${MLFLOW_TRACKING_URI:-}" in \
	    http://*|https://*) echo "MLFLOW_TRACKING_URI is a server: its pages are opened"; \
	        python -m webbrowser "$$MLFLOW_TRACKING_URI" ;; \
	    *) mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" --host 127.0.0.1 --port 5000 ;; \
	esac

demo: setup  ## a page to draw faces on, at http://127.0.0.1:8501
	facegan demo

bench: setup  ## the numbers, as one table
	python -m benchmarks

lint: setup  ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

lock: setup  ## compile the locks from pyproject.toml, for Linux and macOS, Python 3.11 to 3.13
	uv pip compile pyproject.toml --group dev --extra hub --extra ray --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --quiet -o requirements.lock
	uv pip compile --group serve --constraint requirements.lock --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --quiet -o deploy/serve.lock

clean:  ## remove the environment and caches; data, models, reports and runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
