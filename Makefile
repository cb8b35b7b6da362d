# Every target sets up what it needs: `make demo` and `make test` work on a fresh machine that has
# Python 3.11 or newer. Nothing is fetched but the packages in constraints.txt, by pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

.PHONY: help setup demo check test test-slow clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       train on sample heads, convert, evaluate, print where the report is"
	@echo "make test       static checks and the fast tests"
	@echo "make test-slow  the long tests"
	@echo "make check      static checks only: ruff, mypy, import-linter"
	@echo "make clean      remove the environment and everything that was made here"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "medgen needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: $(READY)
	$(BIN)/python pipelines/mr_to_ct.py --output demo

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=$(WORKERS)

test-slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=$(WORKERS) -m "slow and not gpu"

clean:
	rm -rf $(VENV) demo dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
