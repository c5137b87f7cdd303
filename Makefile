# simbench: `make demo` shows it, `make test` checks it, `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# What is imported is compiled then, and kept; pip would compile all 16,000 files of all packages, for a minute.
unexport PYTHONDONTWRITEBYTECODE
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --no-compile
# What the tests try besides; ray and umap are left out: large, and their tests skip without them.
EXTRAS := heic,hf,lite2,onnx,openvino,serve,tensorboard,torchcodec,tune
# Our datasets/ folder must never hide another package of that name.
export PYTHONSAFEPATH := 1

.DEFAULT_GOAL := help
.PHONY: help setup dev data demo all-benchmarks test lint docs speed speed-gpu tour screenshots clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## a virtual environment with simbench in it
dev: $(VENV)/.installed-dev ## the same with what tests, linters and the documentation need

$(VENV)/.pip: # one that knows dependency groups: 25.1 or newer
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "simbench needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@echo "== 1 of 2: a virtual environment in $(VENV)/"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --quiet --upgrade 'pip>=25.1'
	@touch $@

INSTALL = echo "== 2 of 2: simbench and its packages, once. On Linux torch brings CUDA: about 3 GB to download, 3 to 10 minutes;"; \
	echo "   elsewhere under 1 GB. After the downloads pip unpacks for a minute or two and says nothing."; $(PIP)

$(VENV)/.installed: pyproject.toml | $(VENV)/.pip
	@$(INSTALL) -e .
	@touch $@

# With what tests, linters and the documentation need: 300 MB more.
$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.pip
	@$(INSTALL) -e '.[$(EXTRAS)]' --group dev
	@touch $(VENV)/.installed $@

data: setup ## get FashionMNIST: download, or Debian's package where apt is there
	@$(BIN)/simbench fetch fashionmnist || { \
	  command -v apt-get >/dev/null && { echo "trying the Debian package dataset-fashion-mnist"; \
	    $$(command -v sudo) apt-get update -qq; $$(command -v sudo) apt-get install -y -qq dataset-fashion-mnist >/dev/null; } && \
	  $(BIN)/simbench fetch fashionmnist; }

demo: data ## train arcface on FashionMNIST beside two baselines; print the leaderboard, make the report in runs/report (about 8 minutes)
	$(BIN)/simbench run -m arcface -m random -m pixels -d fashionmnist --protocol loo --budget 200s
	$(BIN)/simbench report

all-benchmarks: data ## the suites `standard` and `photographs`, three seeds; hours on two cores, and resumes after a stop
	$(BIN)/simbench bench --suite standard --jobs 2
	$(BIN)/simbench bench --suite photographs --jobs 2

test: dev ## the whole test suite, and the linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# mypy takes a minute of one processor, which the tests leave idle now and then
	$(BIN)/mypy & types=$$!; \
	  $(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder; tests=$$?; \
	  wait $$types && exit $$tests

lint: dev ## ruff and mypy only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: dev ## the documentation as a site, site/index.html; fails at a broken link
	$(BIN)/python docs/build_pages.py
	$(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

tour: dev ## run examples/tour.py as a notebook and keep its pictures: examples/tour.ipynb
	$(BIN)/python examples/build.py

screenshots: dev ## docs/img/report-*.webp from results/standard/report.html; needs Chromium
	$(BIN)/python docs/screenshots.py

speed: dev ## measure speed side by side with bare loops; writes results/speed.md
	PYTHONSAFEPATH= $(BIN)/python tests/speed/measure.py  # the scripts import each other

speed-gpu: dev ## the same on a CUDA card, beside the card's own limits; writes results/speed-gpu.md (8 minutes)
	PYTHONSAFEPATH= $(BIN)/python tests/speed/gpu.py --output results/speed-gpu.md

clean: ## remove the virtual environment and caches (never runs/ or results/)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build site *.egg-info
