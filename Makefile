# On a fresh clone, start with `make demo` or `make test`. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo docs test test-engine test-images test-tools test-peers test-data test-rest test-waits base-image lint benchmark clean

# Install the package, and then the dependencies of its tests. A change of pyproject.toml installs both again.
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

# Run the manual's average over the organizations 2 and 3, without Docker.
demo: $(VENV)/package
	$(BIN)/algotools run master column_name=age --algorithm examples/average --organizations 2,3
	$(BIN)/algotools run average_partial column_name=age --algorithm examples/average --organizations 2,3

# Build the documentation into site/. A warning is an error. NO_MKDOCS_2_WARNING is the theme's switch for an unrelated notice.
docs: $(VENV)/package
	$(PIP) --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "the site is in site/index.html"

# The parts of the tests run in parallel, the longest part first. The first three parts mostly wait, for the engine or for a time
# limit, so they start at once and do not queue for a job slot. WITHOUT names folders and files to leave out.
PARTS ?= test-engine test-images test-waits test-data test-rest test-tools test-peers
WITHOUT ?=
PYTEST = $(BIN)/python -m pytest -q $(WITHOUT:%=--ignore=%)

IMAGES := tests/runtime/sandbox tests/image
DATA := tests/contract tests/data tests/payload
TOOLS := tests/cli tests/docs tests/project
PEERS := tests/peers tests/docs/test_from_vantage6.py
WAITS := $(wildcard tests/*/test_time_limits.py tests/*/*/test_time_limits.py)

test: $(VENV)/installed
	$(MAKE) -j 2 lint $(if $(filter test-engine test-images,$(PARTS)),base-image)
	$(MAKE) -j 4 $(PARTS)

# Tests that need a container engine are skipped without an engine. Tests of runs in containers count all containers of
# federations, so they are in one part. Tests of images and of the sandbox check only their own containers.
test-engine: $(VENV)/installed
	$(PYTEST) -m docker $(IMAGES:%=--ignore=%)

test-images: $(VENV)/installed
	$(PYTEST) -m docker $(filter-out $(WITHOUT),$(IMAGES))

# Both parts above use the base image, so `make test` builds the base image first.
base-image: $(VENV)/installed
	$(BIN)/algotools build --base >/dev/null 2>&1 || true

# Reading and writing values and databases.
test-data: $(VENV)/installed
	$(PYTEST) -m 'not docker' $(filter-out $(WITHOUT),$(DATA)) $(WAITS:%=--ignore=%)

# The tools that an author uses on the laptop. Most of these tests start separate processes.
test-tools: $(VENV)/installed
	$(PYTEST) -m 'not docker' $(filter-out $(WITHOUT),$(TOOLS)) $(PEERS:%=--ignore=%)
	$(BIN)/python -m pytest -q examples/average

# The first run installs the peers' packages in .peers, which takes about a minute.
test-peers: $(VENV)/installed
	$(PYTEST) -m 'not docker' $(PEERS)

test-rest: $(VENV)/installed
	$(PYTEST) -m 'not docker' $(DATA:%=--ignore=%) $(TOOLS:%=--ignore=%) $(PEERS:%=--ignore=%) $(WAITS:%=--ignore=%)

# Tests of peers that do not answer.
test-waits: $(VENV)/installed
	$(PYTEST) -m 'not docker' $(filter-out $(WITHOUT),$(WAITS))

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/installed
	$(BIN)/python benchmarks/dispatch.py
	$(BIN)/python benchmarks/images.py
	$(BIN)/python benchmarks/scaffold.py
	$(BIN)/python benchmarks/federation.py
	$(BIN)/python benchmarks/arguments.py
	$(BIN)/python benchmarks/waiting.py
	$(BIN)/python benchmarks/pooled.py
	$(BIN)/python benchmarks/data.py

clean:
	rm -rf site $(VENV) .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis
