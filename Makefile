# make up    sets everything up and runs FoodEx
# make test  sets everything up and checks everything

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: help up setup test check format lock bench clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

up: .venv/.ready .venv/.frontend ## set up and run the whole of FoodEx (ARGS="--port 9000")
	@$(BIN)/foodex up $(ARGS)

setup: .venv/.ready .venv/.frontend ## the virtual environment with what FoodEx needs

test: check ## formatting, lint, types, import rules and all tests (ARGS="tests/eta")
	@$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

check: .venv/.ready-dev .venv/.frontend
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/.ready-dev ## put the code into form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/.ready-dev .venv/.frontend ## measure what docs/benchmarks.md claims
	@$(BIN)/python -m benchmarks $(ARGS)

lock: .venv/.ready-dev ## write the lock files anew from pyproject.toml
	@$(BIN)/uv pip compile --group build --python-version 3.11 --universal --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements-build.lock
	@$(BIN)/uv pip compile pyproject.toml --python-version 3.11 --universal --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --python-version 3.11 --universal --generate-hashes \
		--no-emit-index-url --no-header --quiet --group dev -o requirements-dev.lock
	@$(BIN)/uv pip compile --group node --python-version 3.11 --universal --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements-node.lock

clean: ## remove the environment and caches; the state folder stays
	rm -rf .venv frontend/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The environment is complete when its stamp is newer than the lock file. Everything is compiled
# here: where Python is told to write no bytecode, each start would compile it all again.
.venv/.ready: requirements.lock pyproject.toml
	@$(call install,requirements.lock)
	@touch $@

.venv/.ready-dev: requirements-dev.lock pyproject.toml
	@$(call install,requirements-dev.lock)
	@touch $@ .venv/.ready

# What the dashboard's pages load; npm itself is brought where there is none.
.venv/.frontend: frontend/package-lock.json scripts/take_frontend.py | .venv/.ready
	@echo "Taking the dashboard's scripts and fonts …"
	@command -v npm >/dev/null || $(BIN)/uv pip install --quiet --require-hashes -r requirements-node.lock
	@$(BIN)/python scripts/take_frontend.py
	@touch $@

define install
	set -e; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "FoodEx needs Python 3.11 or newer ($(PYTHON) is older); try make PYTHON=python3.12" >&2; exit 1; }; \
	test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
	echo "Setting up .venv from $(1) …"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.lock; \
	$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r $(1) \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1); \
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .; \
	$(BIN)/python -m compileall -q src
endef
