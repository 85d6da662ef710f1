# The commands of the project. `make` alone lists them.
#
#   make demo                           the whole path on text found on this machine
#   make test                           all tests, with doctests; no network is used
#   make check                          style, types, layers, doctests, commands in the documents (each is a target)
#   make bench-path [QUICK=1] [ONLY=x]  measure what the README states; one JSON line a figure
#   make bench-views [QUICK=1] [ONLY=x] measure the views beside other libraries, and what each teaches
#   make bench-training [QUICK=1] [ONLY=x]  measure training beside sentence-transformers
#   make bench-learning [QUICK=1] [ONLY=x]  measure what is learned, where word overlap alone does not win
#                                       SEEDS=1: one seed of each unit in place of three, and the results say so
#   make golden-compare REF=commit      training is bit for bit what it was at that commit
#   make documents                      rewrite the parts of docs/ that the code already says
#   make clean                          remove the environment and every cache
#
# PIP_ARGS goes to every pip command (another index, a proxy, a local folder of wheels),
# PYTHON names the Python to use, DEMO_ARGS and PYTEST_ARGS go to the demo and to pytest.

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
PIP_ARGS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install $(PIP_ARGS) -c constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check style types layers doctests commands bench-path bench-views bench-training bench-learning golden-compare documents clean

help:
	@sed -n 's/^#   //p' Makefile

# torch goes in first, so that nothing else chooses its build; the build backend comes from the
# constraints too, so that no step installs anything unpinned.
.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found; install it, or give its path: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot create environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation -e '.[minilm,dev]'
	@touch $@

demo: .venv/installed
	$(BIN)/llmagentos demo $(DEMO_ARGS)

test: .venv/installed
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: style types layers doctests commands

style: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/installed
	$(BIN)/mypy

layers: .venv/installed
	$(BIN)/lint-imports

doctests: .venv/installed
	$(BIN)/python -m pytest -q src

commands: .venv/installed
	$(BIN)/python -m tools.check_documents

BENCH_OPTIONS = $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(SEEDS),--seeds $(SEEDS))

bench-path: .venv/installed
	$(BIN)/python -m benchmarks.path $(BENCH_OPTIONS)

bench-views: export PIP_ARGS := $(PIP_ARGS)
bench-views: .venv/installed
	$(BIN)/python -m benchmarks.views $(BENCH_OPTIONS)

bench-training: .venv/installed
	$(BIN)/python -m benchmarks.training $(BENCH_OPTIONS)

bench-learning: .venv/installed
	$(BIN)/python -m benchmarks.learning $(BENCH_OPTIONS)

golden-compare: .venv/installed
	$(BIN)/python -m tools.golden_compare $(REF)

documents: .venv/installed
	$(BIN)/python -m tools.generated

clean:
	rm -rf .venv build dist benchmarks/.cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
