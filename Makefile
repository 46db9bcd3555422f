# The whole project from a clean checkout: Python 3.11 or newer, git and make; everything else is installed here.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test lint unit real scenarios postgres bench soak docs readme lock image clean help

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): requirements.lock pyproject.toml
	@echo "setup: virtual environment and pinned packages (about half a minute, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP)  ## everything that is needed, with progress
	@$(BIN)/oneffect setup

demo: setup  ## the main job: three scenarios on the reference and on a wrong variant
	@$(BIN)/oneffect demo

test: setup lint unit real scenarios  ## what CI runs

lint: $(STAMP)  ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

unit: $(STAMP)  ## tests that start no stack
	@$(BIN)/pytest tests/unit tests/histories tests/reference tests/plugin

real: setup  ## tests on the real stack, the documents' commands among them
	@$(BIN)/pytest tests/chaos tests/conformance tests/docs tests/pipeline tests/browser

scenarios: setup
	@$(BIN)/pytest scenarios

postgres: setup  ## the whole pipeline's scenarios with its databases on Postgres
	@for one in redelivery redis-outage network; do \
	  $(BIN)/oneffect run pipeline-$$one --system reference_impl/system.postgres.yaml || exit $$?; done

bench: setup  ## every figure, side by side
	@$(BIN)/python -m benchmarks

soak: setup  ## half an hour at 30 uploads a second under a storm of faults (MINUTES=, RATE=)
	@$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),30) --rate $(or $(RATE),30)

readme: setup  ## a demo, whose output becomes the README's table
	@set -o pipefail; $(BIN)/oneffect demo | $(BIN)/python docs/readme.py

docs: $(STAMP)  ## the generated pages, and docker-compose.chaos.yml
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/compose.py

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --no-header --quiet
lock:  ## pin all requirements again (needs uv)
	$(LOCK) --extra native --extra reference --extra load --extra docker --extra dev --output-file requirements.lock
	sed 's/ \\$$//' requirements.lock | grep == >.venv/constraints.txt
	$(LOCK) --constraint .venv/constraints.txt --extra reference --output-file reference_impl/requirements.lock
	$(LOCK) --constraint .venv/constraints.txt --extra load --output-file scenarios/requirements.lock

image:  ## the images of the reference's services and of its load, for Docker
	@docker build --quiet --target services --tag oneffect-reference:0.1.0 .
	@docker build --quiet --target load --tag oneffect-load:0.1.0 .

clean:  ## what was built and recorded here
	rm -rf $(VENV) .oneffect .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
