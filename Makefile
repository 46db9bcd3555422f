# The whole project from a clean checkout: needs Python 3.11 or newer, git and make, and installs everything else.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXAMPLES := examples
# The pages of docs/extending, followed on copies of the tree: no stack, but many minutes one after the other.
FOLLOWED := tests/docs/test_extending.py

.PHONY: setup demo test lint unit real short-scenarios scenarios examples long docker test-docker pulled busy postgres bench soak docs readme crash-points short-examples wide lock image dist dist-demo clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): requirements.lock pyproject.toml
	@echo "setup: virtual environment and pinned packages (about half a minute, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP)  ## install everything, with progress
	@$(BIN)/oneffect setup

demo: setup  ## run three scenarios on the reference and on a flawed variant
	@$(BIN)/oneffect demo

test: setup lint unit real short-scenarios short-examples docker  ## run what CI runs

lint: $(STAMP)  ## ruff, mypy --strict (tests need no annotations), import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

unit: $(STAMP)  ## run the tests that start no stack, in parallel by file (WORKERS= processes)
	@$(BIN)/pytest -n $(or $(WORKERS),logical) --dist loadfile --no-loadscope-reorder --durations 20 \
	  $(FOLLOWED) tests/unit tests/histories tests/reference tests/plugin

# A file's tests share a stack, so they stay together.
ON_STACK = -n $(or $(STACKS),2) --dist loadfile --no-loadscope-reorder --durations 20 \
  tests/chaos tests/conformance tests/docs tests/pipeline tests/browser $(FOLLOWED:%=--ignore %)

real: setup  ## run the tests on the real stack, including commands in the docs (STACKS= of them at a time)
	@$(BIN)/pytest -m "not long and not wide" $(ON_STACK)

wide: setup  ## run the further cases on the real stack, which `make test` leaves out
	@$(BIN)/pytest -m wide $(ON_STACK)

# A right and a wrong form of each kind of fault; the tests on the stack and the demo run the reference, too.
SHORT = redelivery redis-outage crash-at-claim reprocess pipeline-redis-outage

short-scenarios: setup
	@$(BIN)/pytest -n $(or $(STACKS),2) $(SHORT:%=scenarios/%.yaml)

scenarios: setup  ## run every scenario, right and wrong, of which `make test` runs half
	@$(BIN)/pytest -n $(or $(STACKS),2) scenarios

examples: setup $(EXAMPLES)/.venv/.installed $(EXAMPLES)/go/bin/ledger  ## run the examples, right and wrong (SEEDS= times)
	@for one in $$(seq $(or $(SEEDS),1)); do \
	  $(BIN)/oneffect gate $(EXAMPLES)/faststream $(EXAMPLES)/go $(EXAMPLES)/no_front_door || exit $$?; done

short-examples: setup $(EXAMPLES)/.venv/.installed
	@$(BIN)/oneffect gate $(EXAMPLES)/faststream/dies-at-the-claim.yaml $(EXAMPLES)/no_front_door

$(EXAMPLES)/.venv/.installed: $(EXAMPLES)/requirements.lock
	@echo "examples: virtual environment and pinned packages of their own"
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

# What go.mod asks for is pinned in go.sum. Go comes with oneffect's own packages.
$(EXAMPLES)/go/bin/ledger: $(STAMP) $(wildcard $(EXAMPLES)/go/go.* $(EXAMPLES)/go/*/*.go)
	@echo "examples: building the Go services (about a minute, once)"
	@cd $(EXAMPLES)/go && GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-buildvcs=false $(CURDIR)/$(BIN)/go build -ldflags "-s -w" -o bin/ ./...
	@touch $@

docker: setup
	@if ! engine=$$(timeout 20 docker version --format '{{.Server.Version}}' 2>&1); then \
	  echo "docker: no engine answers, so the tests of the docker stack were not run ($$(tail -1 <<<"$$engine"))"; \
	elif ! missing=$$($(MAKE) --silent pulled 2>&1); then \
	  echo "docker: the tests of the docker stack were not run: $$(grep -m 1 "the image" <<<"$$missing")"; \
	else $(MAKE) --silent test-docker; fi

test-docker: setup pulled image  ## test the docker stack: links, faults, scenarios, docker-compose.chaos.yml
	@docker build --quiet --tag oneffect-tests:0.1.0 tests/chaos
	@$(BIN)/pytest --stack docker tests/conformance tests/chaos/test_faults.py tests/chaos/test_taps.py tests/chaos/test_nothing_left.py tests/docker

pulled:
	@for one in python:3.11-slim $$($(BIN)/python -c 'from harness.stacks.docker.stack import IMAGES; print(*IMAGES.values())'); do \
	  docker image inspect $$one >/dev/null 2>&1 || docker pull --quiet $$one || \
	  { echo "the image $$one is not here and cannot be pulled" >&2; exit 1; }; done

busy: setup  ## run the gate's scenarios and the stack's tests while every core is busy (TIMES= processes a core, STACKS=)
	@$(BIN)/python -m benchmarks.burner $$$$ --times $(or $(TIMES),3) & trap "kill $$! 2>/dev/null" EXIT; failed=0; \
	  $(BIN)/oneffect gate || failed=1; \
	  $(BIN)/pytest -m "not long" -n $(or $(STACKS),2) --dist loadfile --no-loadscope-reorder \
	    tests/chaos tests/conformance tests/pipeline || failed=1; exit $$failed

long: setup  ## run the tests that take minutes each, which `make test` leaves out
	@$(BIN)/pytest -m long -n $(or $(STACKS),2) tests

postgres: setup  ## run the whole pipeline's scenarios with its databases on Postgres
	@for one in redelivery redis-outage network; do \
	  $(BIN)/oneffect run pipeline-$$one --system reference_impl/system.postgres.yaml || exit $$?; done

bench: setup  ## print every benchmark figure
	@$(BIN)/python -m benchmarks

soak: setup  ## load for half an hour at 30 uploads a second under a storm of faults (MINUTES=, RATE=, SCENARIO=)
	@$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),30) --rate $(or $(RATE),30) --scenario $(or $(SCENARIO),soak)

readme: setup  ## run the demo and put its output into the README
	@set -o pipefail; $(BIN)/oneffect demo | $(BIN)/python docs/outputs.py README.md demo

crash-points: setup  ## sweep the reference and a wrong variant, and put the maps into the tutorial
	@for one in reference setnx_only; do \
	  $(BIN)/oneffect sweep crash-at-claim --service essay_lifecycle --seed 41 $$(test $$one = reference || echo --variant $$one) \
	    | $(BIN)/python docs/outputs.py docs/tutorial/crash-points.md $$one; done
	@$(BIN)/oneffect sweep crash-at-claim --service essay_lifecycle --seed 41 --variant setnx_only --only 'SET *' --depth 2 \
	  | $(BIN)/python docs/outputs.py docs/tutorial/crash-points.md setnx_only_pairs

docs: $(STAMP)  ## generate the reference pages and docker-compose.chaos.yml
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/compose.py

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --no-header --quiet
lock:  ## pin all requirements again (needs uv)
	$(LOCK) --extra native --extra reference --extra load --extra dev --output-file requirements.lock
	sed 's/ \\$$//' requirements.lock | grep == >.venv/constraints.txt
	$(LOCK) --constraint .venv/constraints.txt --extra reference --output-file reference_impl/requirements.lock
	$(LOCK) --constraint .venv/constraints.txt --extra load --output-file scenarios/requirements.lock
	$(subst pyproject.toml,$(EXAMPLES)/requirements.in,$(LOCK)) --output-file $(EXAMPLES)/requirements.lock

image:  ## build the Docker images of the reference's services and of its load
	@docker build --quiet --target services --tag oneffect-reference:0.1.0 .
	@docker build --quiet --target load --tag oneffect-load:0.1.0 .

dist:  ## build and check the sdist and the wheel as a user's pip would; publish nothing
	@rm -rf dist; tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && $(PYTHON) -m venv $$tools && \
	  $$tools/bin/python -m pip install --quiet --disable-pip-version-check build==1.6.1 twine==7.0.0 && \
	  $$tools/bin/python -m build --outdir dist . && $$tools/bin/python -m twine check --strict dist/*

dist-demo: dist  ## run the demo from that wheel, in a fresh environment outside the repository
	@user=$$(mktemp -d) && trap 'rm -rf "$$user"' EXIT && $(PYTHON) -m venv $$user/venv && \
	  $$user/venv/bin/python -m pip install --quiet --disable-pip-version-check "$$(echo dist/*.whl)[native,reference]" && \
	  cd $$user && venv/bin/oneffect setup && venv/bin/oneffect demo

clean:  ## remove what was built and recorded here
	rm -rf $(VENV) $(EXAMPLES)/.venv $(EXAMPLES)/go/bin dist .oneffect .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
