# `make demo` and `make test` work from a fresh clone: they make .venv and install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two processes; the tests of a file stay together.
BESIDE := -n 2 --dist loadfile
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test quick test-jaeger lint docs compat chaos fuzz bench full clean

help:  ## What there is to make.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,docs]'
	@touch $@

install: $(INSTALLED)  ## Make .venv and install the package with its development tools.

demo: install  ## Fact-check real questions on both executors, side by side.
	$(BIN)/python -m examples.factcheck.demo

lint: install  ## Style, and strict types of the package.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## Lint, types and all tests but the long tables of `make full`.
	$(BIN)/python -m pytest $(BESIDE) -m 'not full'

quick: install  ## The tests that take no time.
	$(BIN)/python -m pytest $(BESIDE) -m 'not slow'

test-jaeger: install  ## The examples' traces in a Jaeger (JAEGER_ADDRESS, or `jaeger` on PATH).
	TEST_JAEGER=all $(BIN)/python -m pytest tests/test_jaeger.py

docs: install  ## The documentation, into build/site; a warning is an error.
	$(BIN)/zensical build --strict --clean

compat: install  ## LangGraph's own test suite, run on ALTO.
	$(BIN)/python -m compat suite

chaos: install  ## The same with every real task held back: all declared policy, then all trusted.
	$(BIN)/python -m compat suite --chaos
	$(BIN)/python -m compat suite --chaos --trust

fuzz: install  ## 300 random graphs on both executors.
	$(BIN)/python -m compat.fuzz --graphs 300

bench: install  ## Ratios to LangGraph and to the critical path.
	$(BIN)/python -m benchmarks

full: install  ## Everything at full size; takes hours.
	$(BIN)/python -m pytest
	$(BIN)/python -m compat suite
	$(BIN)/python -m compat suite --chaos
	$(BIN)/python -m compat suite --chaos --trust
	$(BIN)/python -m compat.fuzz --graphs 20000
	$(BIN)/python -m benchmarks --full
	$(BIN)/python -m benchmarks.comparison

clean:  ## Remove what was made.
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
