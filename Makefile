# On a fresh clone, start with `make demo` or `make test`. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo docs test test-all test-engine test-containers test-images test-tools test-peers test-data test-disclosure test-cluster test-rest test-waits test-python base-image lint benchmark clean

# Install the package, and then the dependencies of its tests. A change of pyproject.toml installs both again. Python compiles
# the modules that it imports; pip would compile all modules of all packages, which takes longer than their installation.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

$(VENV)/package: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "algotools needs Python 3.10 or newer; choose one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --editable .
	touch $@

$(VENV)/installed: $(VENV)/package
	$(PIP) --editable '.[adbc,dask,duckdb,ibis,polars,spark]' --group test --group lint --group docs
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

# The parts of the tests run in parallel, the longest part first: at the end a processor is idle only for a short time. Parts
# with containers mostly wait for the engine, so more parts run than there are processors.
PARTS ?= test-engine test-rest test-tools test-images test-containers lint test-disclosure test-data test-cluster test-peers test-waits
JOBS ?= 5
PYTEST = $(BIN)/python -m pytest -q

IMAGES := tests/runtime/sandbox tests/image
DATA := tests/contract tests/data tests/payload
DISCLOSURE := tests/adversary tests/disclosure
TOOLS := tests/cli tests/docs tests/project
PEERS := tests/peers tests/docs/test_from_vantage6.py
WAITS := $(wildcard tests/*/test_time_limits.py tests/*/*/test_time_limits.py)
ENGINE := $(shell grep -rl 'mark\.docker' tests --include='*.py' | sed 's/conftest\.py$$//' | sort)
# `test_whole_way.py` pushes an image like other tests of `test-engine`, and these share a registry that has the base.
CLUSTER := tests/conformance $(shell grep -rlE 'mark\.cluster' tests --include='*.py' | grep -v conftest | sort)
CONTAINERS := $(filter-out %/test_whole_way.py,$(filter tests/adversary/% tests/federation/%,$(ENGINE)))

test: $(VENV)/installed
	$(MAKE) -j $(JOBS) $(PARTS)

# Tests of a corpus or of many similar cases use a fixed sample, except here; see `sample` in pyproject.toml.
test-all: export ALGOTOOLS_TEST_ALL := 1
test-all: test

# Tests that need a container engine are skipped without an engine. Each part checks only its own containers.
test-engine: base-image
	$(PYTEST) -m docker $(filter-out $(CONTAINERS) $(IMAGES:%=%/%),$(ENGINE))

test-containers: base-image
	$(PYTEST) -m docker $(CONTAINERS)

test-images: base-image
	$(PYTEST) -m docker $(IMAGES)

base-image: $(VENV)/installed
	$(BIN)/algotools build --base >/dev/null 2>&1 || true

# Reading and writing values and databases.
test-data: $(VENV)/installed
	$(PYTEST) -m 'not docker and not cluster' $(DATA) $(WAITS:%=--ignore=%)

# The gate with its corpus of functions, and the adversary.
test-disclosure: $(VENV)/installed
	$(PYTEST) -m 'not docker and not cluster' $(DISCLOSURE)

# The tools that an author uses on the laptop. Most of these tests start separate processes.
test-tools: $(VENV)/installed
	$(PYTEST) -m 'not docker and not cluster' $(TOOLS) $(PEERS:%=--ignore=%)
	$(BIN)/python -m pytest -q examples/average

# The first run installs the peers' packages in .peers, which takes about a minute.
test-peers: $(VENV)/installed
	$(PYTEST) -m 'not docker and not cluster' $(PEERS)

test-rest: $(VENV)/installed
	$(PYTEST) -m 'not docker and not cluster' $(foreach part,$(DATA) $(DISCLOSURE) $(TOOLS) $(PEERS) $(WAITS),--ignore=$(part))

# Tests of peers that do not answer.
test-waits: $(VENV)/installed
	$(PYTEST) -m 'not docker and not cluster' $(WAITS)

# Real clusters on this machine: Dask, Slurm, Spark. Without the programs of Slurm, or Java, the tests are skipped. The first
# run downloads Spark into .spark, which takes about a minute.
test-cluster: $(VENV)/installed
	$(PYTEST) -m cluster $(CLUSTER)

# Tests that depend on the version of Python or of the libraries, for a second version: signatures, values, databases, facts
# about tables, processes, messages of Python itself, and the command line. The other tests would repeat what the first
# version has shown: containers and peers use their own Python, and federation, tools and documents run the same code.
# Property tests have fewer examples, and tests with many cases an eighth of them; these find the same kinds of faults.
ON_EACH_PYTHON := tests/conformance $(DATA) tests/declare tests/errors \
	$(addprefix tests/runtime/,dispatch extraction logs packaging pooled) \
	$(wildcard $(addprefix tests/disclosure/test_,content.py gate.py reductions.py rules.py tables.py)) \
	$(addprefix tests/cli/test_,choices.py decode.py schema.py) \
	$(addprefix tests/project/,check/test_declared_faults.py pytest_plugin/test_fixture.py)
NOT_ON_EACH_PYTHON := $(WAITS) tests/contract/test_policy.py tests/contract/test_round_trip.py tests/data/test_corpus.py \
	$(addprefix tests/runtime/dispatch/test_,databases.py outputs.py reach.py scan_ahead.py scratch.py)
MYPY := tests/declare/test_pooled.py::test_the_types_of_an_authors_project \
	tests/project/pytest_plugin/test_fixture.py::test_the_types_of_the_fixture_are_public
test-python: export ALGOTOOLS_TEST_FEW_EXAMPLES := 1
test-python: $(VENV)/installed
	$(PYTEST) -m 'not docker and not cluster' $(ON_EACH_PYTHON) $(NOT_ON_EACH_PYTHON:%=--ignore=%) $(MYPY:%=--deselect %)

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
	$(BIN)/python benchmarks/engines.py

clean:
	rm -rf site $(VENV) .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis
