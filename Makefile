# simbench: `make demo` shows it, `make test` checks it, `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Our datasets/ folder must never hide another package of that name.
export PYTHONSAFEPATH := 1

.DEFAULT_GOAL := help
.PHONY: help setup dev data demo all-benchmarks test lint speed tour screenshots clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## a virtual environment with simbench in it
dev: $(VENV)/.installed-dev ## the same with what the tests and linters need

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "simbench needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

data: setup ## get FashionMNIST: download, or Debian's package where apt is there
	@$(BIN)/simbench fetch fashionmnist || { \
	  command -v apt-get >/dev/null && { echo "trying the Debian package dataset-fashion-mnist"; \
	    $$(command -v sudo) apt-get update -qq; $$(command -v sudo) apt-get install -y -qq dataset-fashion-mnist >/dev/null; } && \
	  $(BIN)/simbench fetch fashionmnist; }

demo: data ## train arcface on FashionMNIST beside two floors; print the leaderboard, make the report in runs/report (about 8 minutes)
	$(BIN)/simbench run -m arcface -m random -m pixels -d fashionmnist --protocol loo --budget 200s
	$(BIN)/simbench report

all-benchmarks: data ## the suite `standard`: every method, three seeds; two hours on two cores, and goes on after a stop
	$(BIN)/simbench bench --suite standard --jobs 2

test: dev ## the whole test suite, and the linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n auto --dist loadfile

lint: dev ## ruff and mypy only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tour: dev ## run examples/tour.py as a notebook and keep its pictures: examples/tour.ipynb
	$(BIN)/python examples/build.py

screenshots: dev ## docs/img/report-*.webp from results/standard/report.html; needs Chromium
	$(BIN)/python docs/screenshots.py

speed: dev ## measure speed side by side with bare loops; writes results/speed.md
	$(BIN)/python tests/speed/measure.py

clean: ## remove the virtual environment and caches (never runs/ or results/)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
