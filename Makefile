# Two commands do everything on a fresh clone: `make demo` and `make test`. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo docs test test-engine test-images test-tools test-peers test-data test-rest base-image lint benchmark clean

# The environment is made anew when the project's metadata change: the package, and then what its tests need.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/package: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "algotools needs Python 3.10 or newer; choose one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --editable .
	touch $@

$(VENV)/installed: $(VENV)/package
	$(PIP) --editable '.[adbc,duckdb,ibis,polars]' --group test --group lint --group docs
	touch $@

# The main job, without Docker: the manual's average over the organizations 2 and 3.
demo: $(VENV)/package
	$(BIN)/algotools run master column_name=age --algorithm examples/average --organizations 2,3
	$(BIN)/algotools run average_partial column_name=age --algorithm examples/average --organizations 2,3

# The site, into site/: a warning is an error. The theme would speak of another program's future (its own switch).
docs: $(VENV)/package
	$(PIP) --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "the site is in site/index.html"

# All of it is in PARTS, but for the folders that WITHOUT names.
PARTS ?= test-engine test-images test-tools test-peers test-rest
WITHOUT ?=
PEERS := tests/peers tests/docs/test_from_vantage6.py

test: lint
	$(MAKE) -j 4 $(PARTS)

# Those that need a container engine wait for it most of the time. Tests of runs in containers count the federations'
# containers, so they run one by one; tests of images and of confinement look at what is theirs alone.
IMAGES := tests/confine tests/image

test-engine: base-image
	$(BIN)/python -m pytest -q -m docker $(IMAGES:%=--ignore=%)

test-images: base-image
	$(BIN)/python -m pytest -q -m docker $(filter-out $(WITHOUT),$(IMAGES)) $(WITHOUT:%=--ignore=%)

# Made once, before both would make it; where there is no engine their tests are skipped.
base-image: $(VENV)/installed
	$(BIN)/algotools build --base >/dev/null 2>&1 || true

# What an author uses on the laptop, mostly as processes of their own.
TOOLS := tests/check tests/cli tests/describe tests/docs tests/scaffold tests/testing

test-tools: $(VENV)/installed
	$(BIN)/python -m pytest -q -m 'not docker' $(filter-out $(WITHOUT),$(TOOLS)) $(PEERS:%=--ignore=%)
	$(BIN)/python -m pytest -q examples/average

# The first time, this installs the peers' packages under .peers: about a minute.
test-peers: $(VENV)/installed
	$(BIN)/python -m pytest -q -m 'not docker' $(PEERS)

# Half of the rest, for who has a processor left: with WITHOUT for the other half.
test-data: $(VENV)/installed
	$(BIN)/python -m pytest -q -m 'not docker' tests/contract tests/data tests/payload

test-rest: $(VENV)/installed
	$(BIN)/python -m pytest -q -m 'not docker' $(TOOLS:%=--ignore=%) $(PEERS:%=--ignore=%) $(WITHOUT:%=--ignore=%)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/installed
	$(BIN)/python benchmarks/dispatch.py
	$(BIN)/python benchmarks/images.py
	$(BIN)/python benchmarks/scaffold.py
	$(BIN)/python benchmarks/federation.py
	$(BIN)/python benchmarks/data.py

clean:
	rm -rf site $(VENV) .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis
