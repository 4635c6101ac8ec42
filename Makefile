# What a fresh machine needs: Python 3.11 or newer with venv, and make. Everything else is set up here.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEMO := .demo
PYTEST_ARGS ?=

# Version shims exist that cannot run, and some Pythons lack venv: each candidate has to prove itself.
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: run test check bench clean format interop

run: $(STAMP)
	@$(BIN)/gridbms demo --data $(DEMO)

test: $(STAMP)
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory interop; fi
	$(BIN)/pytest -q -rs $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The independent OPC UA client, pinned by its lock file.
interop: tests/interop/node_modules/.ready

tests/interop/node_modules/.ready: tests/interop/package-lock.json
	cd tests/interop && npm ci --no-audit --no-fund --silent
	@touch $@

$(STAMP): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer with venv was found; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/interop/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
