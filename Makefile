# The two commands: `make demo` and `make test`. The product to use: `make up`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

# The first that runs and is new enough.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
BROWSER_VENV := .venv-browser
# pytest-xdist: a number of processes, or auto for one per core.
JOBS ?= auto
SUPERVISOR := $(BIN)/python -m config.supervisor
COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --python-version 3.11
SAY := @printf '\033[1m== %s\033[0m\n'

.PHONY: help demo test check up doctor bench bench-engine bench-scale bench-peers chaos soak mutants model simulate fairness browser bootstrap lock format clean run-installed

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- the two commands ------------------------------------------------------------------------

demo: run-installed ## The main job, headless, on a throw-away data directory; ends with a table
	$(SAY) "The main job: publish, scan, approve, install, run"
	@$(BIN)/python -m tests.journeys.main_job

test: check ## Every check, then every test, on real PostgreSQL and Redis that it starts itself
	$(SAY) "Tests"
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# --- the product -----------------------------------------------------------------------------

up: run-installed ## The product on this machine; Ctrl-C stops everything
	@$(SUPERVISOR) up

doctor: run-installed ## What is found and what is missing
	@$(SUPERVISOR) doctor

bench: bootstrap ## A chain of 40 steps beside the floor without an engine
	@BENCH_COSTS=0 $(BIN)/python -m bench w1

bench-engine: bootstrap ## The engine's whole table beside its targets (bench/README.md)
	@$(BIN)/python -m bench

bench-scale: bootstrap ## Whether cost grows: 100,000 queued runs, 10,000 steps, 100,000 items
	@$(BIN)/python -m bench.scale

bench-peers: bootstrap ## Other engines beside ours in the same run; installs them under var/peers
	@$(BIN)/python -m bench.peers

chaos: bootstrap ## Every crash point, storms of kills and restarts, mutants (ten minutes)
	@$(BIN)/python -m tests.chaos chaos $(if $(SEED),--seed $(SEED))

soak: bootstrap ## The storms at full size, then MINUTES=60 more; a worker must not grow, nor the queue
	@$(BIN)/python -m tests.chaos soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

mutants: bootstrap ## Broken engines, each of which must be caught
	@$(BIN)/python -m tests.chaos mutants

model: bootstrap ## The state machine on a real database, EXAMPLES=2000
	@NSTARX_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest tests/chaos/test_machine.py

simulate: bootstrap ## The engine in memory, cut at every point of SEEDS=20000 drawn workflows
	@NSTARX_EXAMPLES=$(or $(SEEDS),20000) $(BIN)/python -m pytest -n 2 tests/engine/test_simulator.py \
	  tests/engine/test_simulator_levels.py tests/engine/test_waits_simulator.py

fairness: bootstrap ## 100,000 queued runs of one tenant beside 500 tenants with one each
	@FAIRNESS_RUNS=$${FAIRNESS_RUNS:-100000} FAIRNESS_TENANTS=$${FAIRNESS_TENANTS:-500} \
	  $(BIN)/python -m pytest tests/executions/test_fairness.py -s -q -p no:cacheprovider

browser: bootstrap $(BROWSER_VENV)/.installed ## The pages in a real browser (Chromium on PATH), beside the gate
	@NSTARX_BROWSER=1 $(BROWSER_VENV)/bin/python -m pytest tests/browser -p no:cacheprovider

$(BROWSER_VENV)/.installed: requirements/browser.txt $(BIN)/uv
	$(SAY) "Installing the browser tests' packages into $(BROWSER_VENV)"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(BROWSER_VENV)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BROWSER_VENV)/bin/python $<
	@touch $@

# --- the gate --------------------------------------------------------------------------------

check: bootstrap ## Format, lint, types, imports, migrations, schema, deployment settings
	$(SAY) "ruff format"
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted: run 'make format'."; exit 1; }
	$(SAY) "ruff check"
	@$(BIN)/ruff check --quiet .
	$(SAY) "mypy"
	@$(BIN)/mypy
	$(SAY) "import contracts"
	@$(BIN)/lint-imports
	$(SAY) "migrations, schema, deployment settings"
	@$(SUPERVISOR) run -- .ci/framework

format: bootstrap ## Format and sort what ruff can
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

# --- the tools -------------------------------------------------------------------------------

bootstrap: $(VENV)/.installed-dev ## Install everything a developer needs, from the locks

# The developer's set contains the product's: whichever is there serves.
run-installed:
	@[ $(VENV)/.installed-dev -nt requirements/dev.txt ] || $(MAKE) $(VENV)/.installed-all

$(VENV)/.installed-%: requirements/%.txt $(BIN)/uv
	@printf '\033[1m== %s\033[0m\n' "Installing $$(grep -c '==' $<) packages from $< (minutes with a cold cache)"
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python $< || { \
	  echo "Installing failed: the package registry must be reachable, with about 2 GB free on this disk. Then run the same command again."; exit 1; }
	@rm -f $(VENV)/.installed-*
	@touch $@

$(BIN)/uv: requirements/bootstrap.txt
	$(SAY) "Making $(VENV)"
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 or newer found: install one, or run 'make PYTHON=/path/to/python …'."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version): Python 3.11 or newer is needed; run 'make PYTHON=/path/to/python …'."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is incomplete: on Debian and Ubuntu run 'apt-get install python3-venv', then this again."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt || { \
	  echo "pip could not reach a package registry: check the network and pip's configuration."; exit 1; }
	@touch $@

lock: $(BIN)/uv ## Resolve pyproject.toml anew into the hash-locked requirements
	$(SAY) "Resolving"
	@$(COMPILE) --group bootstrap -o requirements/bootstrap.txt
	@$(COMPILE) pyproject.toml -o requirements/base.txt
	@$(COMPILE) pyproject.toml --extra data --extra ml --group services -o requirements/all.txt
	@$(COMPILE) pyproject.toml --extra data --extra ml --group services --group dev --group bootstrap -o requirements/dev.txt
	@$(COMPILE) pyproject.toml --extra data --extra ml --group services --group dev --group bootstrap --group browser -o requirements/browser.txt
	@for peer in bench/peers/locks/*.in; do $(COMPILE) $$peer -o $${peer%.in}.txt; done
	@touch $(BIN)/uv
	@! grep -nE '(https?|file)://' requirements/*.txt bench/peers/locks/*.txt || { echo "A lock names a registry: remove the line."; exit 1; }

wheels: $(BIN)/uv ## Every locked package has a wheel for x86_64 and aarch64, Python 3.11 to 3.14
	@.ci/wheels

clean: ## Remove caches; var/ (your data) and the environment stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
