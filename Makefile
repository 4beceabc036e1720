# Two commands matter: `make run` and `make test`. Both set up .venv by themselves.

PY := .venv/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --quiet --require-hashes
UV := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header
# What the type checker's Django plugin needs to read the settings; nothing is connected to.
CHECK := SECRET_KEY=check ENCRYPTION_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \
	DATABASE_URL=postgresql:///check
N ?= 1000
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test demo bench smoke lint format types migrate manage lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.run-stamp ## Run everything here, supervised, with a demo operator: PORT=8000 TRUNKLINE_HOME=.trunkline DEMO=1.
	@$(PY) -m deploy.run

test: .venv/.dev-stamp ## Check format, lint, types, imports and migrations, and run all tests: ARGS="-k name".
	@$(PY) -m deploy.test $(ARGS)

demo: .venv/.run-stamp ## Send N=1000 messages through the running system and account for every one.
	@$(PY) -m deploy.demo $(N) $(ARGS)

bench: .venv/.dev-stamp ## Measure every scenario on a stack of its own and print one JSON object.
	@$(PY) -m deploy.bench $(ARGS)

smoke: .venv/.run-stamp ## Run a fresh system, send a message by the curl line it prints, stop it, find nothing left.
	@$(PY) -m deploy.smoke

lint: .venv/.dev-stamp ## Check style and import contracts.
	@$(PY) -m ruff check .
	@.venv/bin/lint-imports

format: .venv/.dev-stamp ## Format the code and sort imports.
	@$(PY) -m ruff check --select I --fix .
	@$(PY) -m ruff format .

types: .venv/.dev-stamp ## Check types (strict).
	@$(CHECK) $(PY) -m mypy

migrate: .venv/.run-stamp ## Apply migrations to the running system's database.
	@$(PY) manage.py migrate

manage: .venv/.run-stamp ## Run a management command beside the running system: ARGS="issue_key --help".
	@$(PY) manage.py $(ARGS)

lock: .venv/.dev-stamp ## Resolve the dependencies again into lock/; UPGRADE=1 takes newer versions.
	@$(PY) -m pip install --disable-pip-version-check --quiet uv
	@$(UV) $(if $(UPGRADE),--upgrade) pyproject.toml -o lock/run.txt
	@$(UV) $(if $(UPGRADE),--upgrade) pyproject.toml --group dev -c lock/run.txt -o lock/dev.txt

clean: ## Remove the virtual environment and caches; the data in .trunkline stays.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.run-stamp: lock/run.txt
	@PYTHON="$(PYTHON)" deploy/venv.sh
	@$(PIP) -r lock/run.txt
	@touch $@

.venv/.dev-stamp: lock/dev.txt lock/run.txt
	@PYTHON="$(PYTHON)" deploy/venv.sh
	@$(PIP) -r lock/dev.txt
	@touch $@ .venv/.run-stamp
