# Two commands for a fresh machine with Python 3.11 or later and make:
#   make analyze [CALLS=folder] [OUT=folder]     and     make test
PYTHON ?= python3
CALLS ?= examples/calls
OUT ?= reports
WHEELHOUSE ?= wheelhouse
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: analyze test test-slow coverage lint format wheelhouse constraints clean

analyze: .venv/analysis-installed
	@echo "== analysing the recordings in $(CALLS)"
	$(BIN)/call-emotions analyze "$(CALLS)" -o "$(OUT)" -v

test: .venv/development-installed lint
	@echo "== tests"
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-slow: .venv/development-installed
	@echo "== tests that take long"
	$(BIN)/python -m pytest -m slow --timeout 3600 -n auto --dist load

coverage: .venv/development-installed
	@echo "== tests, with the share of analyzer/ that they run"
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile --cov=analyzer --cov-report=term:skip-covered --cov-fail-under=95

lint: .venv/development-installed
	@echo "== lint and types"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python -m tests.helpers.words

format: .venv/development-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	@echo "== setting up .venv (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/analysis-installed: .venv/bin/python setup.cfg constraints.txt
	@echo "== installing what the analysis needs (no TensorFlow)"
	$(PIP) -e .
	@touch $@

.venv/development-installed: .venv/bin/python setup.cfg constraints.txt
	@echo "== installing what training and tests need (TensorFlow among it: this takes minutes)"
	$(PIP) -e '.[dev]'
	@touch .venv/analysis-installed $@

# What a server without a network needs: a wheel of this and of every package that the analysis uses, no training.
# They fit machines of this one's kind (system, processor, version of Python). build/ would bring files of old builds.
wheelhouse: .venv/bin/python
	@echo "== collecting wheels in $(WHEELHOUSE)"
	rm -rf "$(WHEELHOUSE)" build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check -c constraints.txt -w "$(WHEELHOUSE)" .
	@rm -rf build
	@echo "== copy $(WHEELHOUSE) there; then, with the same version of Python as here ($$($(BIN)/python -V)):"
	@echo "   python3 -m venv /opt/call-emotions/.venv"
	@echo "   /opt/call-emotions/.venv/bin/pip install --no-index --find-links $(WHEELHOUSE) call-emotions"

# Every version, for every Python from 3.11 and every platform; needs uv.
constraints:
	uv pip compile setup.cfg --universal --fork-strategy fewest --python-version 3.11 --all-extras \
	  --no-header --no-annotate -o constraints.txt

clean:
	rm -rf .venv build dist wheelhouse *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
