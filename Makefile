# Needs Python 3.11 or newer and make; everything else goes into .venv, pinned by hash in requirements.lock.
#   make quickstart   train a small model on the CPU, edit held-out pictures, open outputs/quickstart/report.html
#   make test         lint, types and the whole test suite
#   make test-fast    the tests of a few minutes (not slow)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed
# --compile-bytecode below: where PYTHONDONTWRITEBYTECODE is set, every process would compile torch anew, for seconds.
# Two workers of one thread each: more threads than cores make small models slower, not faster.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false WANDB_MODE=offline MPLBACKEND=Agg

.PHONY: help install quickstart test coverage test-fast test-portable lint types format lock docs notebooks docs-pictures docs-sheets clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(STAMP)  ## set up .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "Python 3.11 or newer is needed, this is %d.%d: make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

quickstart: $(STAMP)  ## train on the CPU in minutes, edit held-out pictures, write report.html
	$(BIN)/ip2p quickstart

test: lint types $(STAMP)  ## lint, types and every test
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal --durations=20

coverage: $(STAMP)  ## every test, and which lines they reach (half as long again)
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term

test-fast: $(STAMP)  ## the tests that are not slow
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-portable: $(STAMP)  ## tests that are sensitive to rounding, as on a processor with other instructions
	$(ONE_THREAD) ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest -n 2 -m "numeric and not slow"

lint: $(STAMP)  ## ruff: rules and format; the floors that imports keep to
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(STAMP)  ## basedpyright on the package
	$(BIN)/basedpyright

format: $(STAMP)  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP)  ## resolve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --quiet --upgrade --output-file requirements.lock

docs: $(STAMP)  ## build the documentation and the API reference, strictly, into outputs/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

notebooks: $(STAMP)  ## run the notebooks from top to bottom, and keep what they show (about ten minutes)
	$(ONE_THREAD) $(BIN)/jupyter-execute --inplace --timeout 1200 notebooks/*.ipynb

docs-pictures: quickstart  ## make the pictures of the README anew
	$(BIN)/python docs/make_pictures.py quickstart

docs-sheets: $(STAMP)  ## draw the contact sheets of docs/ anew
	$(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/make_generated.py

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
