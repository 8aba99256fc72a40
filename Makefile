# The one door: `make demo`, `make up`, `make test`. Everything else is behind it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

UV_VERSION := 0.13.8
PYTHON := .venv/bin/python
STAMP := .venv/.perennial-setup
MLFLOW := .venv-mlflow/.perennial-setup
SHORT := not faults_long and not benchmark
# What runs installations of its own and counts seconds has the machine to itself. A test of the rest keeps one core
# busy, with the server that answers it: two processes, each with servers of its own, take little more than half as long.
ALONE := tests/faults tests/flows tests/local

.PHONY: help setup demo up test faults suite coverage check fix bench

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## Make the environment in .venv; quiet when nothing is to do
	@:

demo: $(STAMP) ## Train two real fleets and show what happened; ONCE=1 ends instead of leaving the web page up
	@$(PYTHON) manage.py demo $(if $(ONCE),--once)

up: $(STAMP) ## Run web, beat and the workers on this machine
	@$(PYTHON) manage.py up

test: $(STAMP) ## Run all tests on real PostgreSQL and Redis; those that ARGS chooses in one process
ifeq ($(strip $(ARGS)),)
	@failed=0; \
	$(PYTHON) -m pytest -m "$(SHORT)" $(ALONE) || failed=1; \
	$(PYTHON) -m pytest -m "$(SHORT)" $(ALONE:%=--ignore=%) -n 2 --dist worksteal || failed=1; \
	exit $$failed
else
	@$(PYTHON) -m pytest -m "$(SHORT)" $(ARGS)
endif

faults: $(STAMP) ## Run the long fault tests too
	@$(PYTHON) -m pytest -m "not benchmark" tests/faults $(ARGS)

suite: $(STAMP) .uv/bin/uv ## Run Prophet's own tests, from its source distribution, on the exact optimiser
	@$(PYTHON) -m tests.prophet_suite $(ARGS)

coverage: $(STAMP) ## Run the tests that need no running installation, and hold the share of code that they reach
	@$(PYTHON) -m pytest -m "$(SHORT)" --ignore tests/faults --ignore tests/flows --ignore tests/browser \
	    --cov --cov-report=term:skip-covered $(ARGS)

check: $(STAMP) ## Everything that must hold before a commit, apart from the tests
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy .
	@.venv/bin/lint-imports
	@$(PYTHON) manage.py makemigrations --check --dry-run
	@$(PYTHON) manage.py check
	@$(PYTHON) -m tests.requirements_page --check

fix: $(STAMP) ## Repair what the linters can repair, and the generated pages
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .
	@$(PYTHON) -m tests.requirements_page

bench: $(STAMP) $(if $(filter registry,$(NAME)),$(MLFLOW)) ## Run one benchmark: make bench NAME=registry ARGS="--models 1000"
	@$(PYTHON) -m benchmarks.$(or $(NAME),__main__) --json $(ARGS)

# What a benchmark compares with has an environment of its own: it asks for other releases of the same libraries.
$(MLFLOW): benchmarks/mlflow/pyproject.toml benchmarks/mlflow/uv.lock | .uv/bin/uv
	@echo "Setting up .venv-mlflow" >&2
	@UV_PROJECT_ENVIRONMENT="$(CURDIR)/.venv-mlflow" .uv/bin/uv sync --project benchmarks/mlflow --frozen --quiet --python "$${UV_PYTHON:-$$(cat .uv/python)}"
	@touch $(MLFLOW)

# uv lives in an environment of its own, so that neither the machine nor the project carries it.
.uv/bin/uv:
	@python=$$(for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	    if "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; then echo "$$name"; break; fi; done); \
	if [ -z "$$python" ]; then echo "Perennial needs Python 3.11 to 3.14. Install one and run make again." >&2; exit 1; fi; \
	"$$python" -m venv .uv || { echo "Python cannot make environments. On Debian and Ubuntu: install python3-venv." >&2; rm -rf .uv; exit 1; }; \
	"$$python" -c 'import sys; print(sys.executable)' > .uv/python; \
	.uv/bin/python -m pip install -qq --disable-pip-version-check "uv==$(UV_VERSION)"

$(STAMP): pyproject.toml uv.lock | .uv/bin/uv
	@echo "Setting up .venv" >&2
	@.uv/bin/uv sync --frozen --quiet --python "$${UV_PYTHON:-$$(cat .uv/python)}"
	@touch $(STAMP)
