# Each target makes what it needs by itself, with plain python3 and pip, and does nothing twice.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt
BIN_PREPROC := .venv-preproc/bin
PIP_PREPROC := $(BIN_PREPROC)/python -m pip --quiet --disable-pip-version-check install --constraint constraints-preproc.txt
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test test-preproc check bench docs clean

demo: .venv/.demo
	$(BIN)/python examples/demo/run.py --folder demo

test: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-preproc: .venv-preproc/.tests
	$(BIN_PREPROC)/python -m pytest -n 2 --dist loadfile tests/preprocess docs/commands/preprocess.md

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_architecture.py

bench: .venv/.dev
	$(BIN)/python benchmarks/run.py

docs: .venv/.dev
	$(BIN)/mkdocs build --strict

# The tested torch comes first: what follows would otherwise fetch the newest, with gigabytes of CUDA.
.venv/.torch: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) '$(TORCH)'
	touch $@

.venv/.demo: .venv/.torch pyproject.toml
	$(PIP) --editable '.[demo]'
	touch $@

.venv/.dev: .venv/.torch pyproject.toml
	$(PIP) --editable '.[dev]'
	touch $@ .venv/.demo

# An environment of its own: antspyx has ranges of NumPy and SciPy that the rest is not bound to.
.venv-preproc/.tests: constraints-preproc.txt pyproject.toml
	test -x $(BIN_PREPROC)/python || $(PYTHON) -m venv .venv-preproc
	$(PIP_PREPROC) '$(TORCH)'
	$(PIP_PREPROC) --editable '.[preproc,slurm]' hypothesis psutil pytest pytest-xdist sybil
	touch $@

clean:
	rm -rf .venv .venv-preproc demo site
