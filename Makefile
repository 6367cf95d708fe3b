# Everything that a developer or CI does with this repository. `make help` lists it.
# Package indexes are pip's own business: nothing here names one.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do command -v $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
RUN_STAMP := $(VENV)/.stamp-run
DEV_STAMP := $(VENV)/.stamp-dev
ARGS ?=

.PHONY: help setup run test check format lint types contracts locks schema servers bench simulate nemesis lock audit clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(DEV_STAMP)  ## .venv with floe and every tool, from the lock with hashes; again only when a lock changes

run: $(RUN_STAMP)  ## floe on this machine, nothing else needed; ARGS="--bind 127.0.0.1:9000" goes to `floe up`
	@exec $(BIN)/floe up --conf examples/hello.yaml $(ARGS)

test: $(DEV_STAMP)  ## the tests; ARGS="tests/runs -k merge" goes to pytest
	@$(BIN)/python -m pytest $(ARGS)

check: $(DEV_STAMP)  ## lint, format, types, who imports whom, locks, schema
	@$(MAKE) -k lint types contracts locks schema
	@echo "check: all good"

lint: $(DEV_STAMP)
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check . || { echo "format: run make format" >&2; exit 1; }

format: $(DEV_STAMP)  ## put the code into its form
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

types: $(DEV_STAMP)
	@$(BIN)/mypy --no-error-summary

contracts: $(DEV_STAMP)
	@out=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$out" | grep -A999 -E '^Broken contracts|does not exist|not configured' >&2; exit 1; }

locks: $(DEV_STAMP)
	@$(BIN)/python tools/check_locks.py

schema: $(DEV_STAMP)
	@$(BIN)/python -m shared.store.migrations.check

servers: $(DEV_STAMP)  ## a private RabbitMQ and PostgreSQL in the foreground; prints the two settings to export
	@exec $(BIN)/python -m tests.servers

bench: $(DEV_STAMP)  ## the first workloads, in both modes; ARGS goes to the script
	@$(BIN)/python -m bench.first $(ARGS)

simulate: $(DEV_STAMP)  ## SEEDS=N whole worlds in virtual time, from START on; SEED=S tells one; FAULT=name plants a fault
	@SEEDS="$(SEEDS)" START="$(START)" SEED="$(SEED)" FAULT="$(FAULT)" $(BIN)/python -m tests.faults.sim

nemesis: $(DEV_STAMP)  ## everything killed, paused, cut and filled under load for MINUTES=N; FAULTS=X1,X5 for some, SEED=S to repeat
	@$(BIN)/python -m tests.faults.nemesis --minutes $(or $(MINUTES),5) --faults "$(FAULTS)" $(if $(SEED),--seed $(SEED)) $(if $(CYCLES),--cycles $(CYCLES))

lock: $(DEV_STAMP)  ## make the locks again from pyproject.toml; UPGRADE=1 takes newer versions
	@$(BIN)/python tools/make_locks.py $(if $(UPGRADE),--upgrade)

audit: $(DEV_STAMP)  ## known holes in what we depend on; asks the advisory service
	@$(BIN)/pip-audit --require-hashes --disable-pip -r requirements.lock

clean:  ## away with .venv, caches and build results
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@tools/make_venv.sh "$(PYTHON)" $(VENV)

$(RUN_STAMP): requirements.lock deploy/build.lock pyproject.toml | $(BIN)/python
	@echo "setup: installing floe and what it needs into $(VENV)" >&2
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --require-hashes -r deploy/build.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): requirements-dev.lock $(RUN_STAMP) | $(BIN)/python
	@echo "setup: installing the tools into $(VENV)" >&2
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
