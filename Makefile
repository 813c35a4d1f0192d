# Needs Python 3.11 or newer and make, nothing else: the rest is installed into .venv on first use.
# PYTHON=/path/to/python3 chooses the interpreter, VENV=folder the place.

VENV ?= .venv
BIN := $(VENV)/bin
export PIP_NO_INPUT := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Python of the image, or later; every platform. Where packages come from is left out: that is each machine's own.
# The image holds the extras that a container can be told to use.
COMPILE = $(BIN)/uv pip compile pyproject.toml --extra bulk --extra otel --extra redis \
    --universal --python-version 3.11 --generate-hashes --no-annotate --quiet --custom-compile-command "make lock" $(ARGS)

.PHONY: help serve test check test-compose test-all golden bench web docs fuzz lock audit sbom clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

serve: $(VENV)/.serve ## answer on http://127.0.0.1:8000 (VCODEC_HOST, VCODEC_PORT, ... are honoured)
	@exec $(BIN)/vcodec serve

test: check ## everything CI checks

check: $(VENV)/.dev ## formatting, lint, types, import contracts, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

test-compose: $(VENV)/.dev ## the compose stack: build it, break it, lose nothing; needs a container engine, takes minutes
	$(BIN)/python -m pytest -m docker tests/compose

test-all: $(VENV)/.dev ## every test, the slow ones and those for an accelerator too
	$(BIN)/python -m pytest -m ""

golden: $(VENV)/.dev ## rewrite the golden files from what the code does now; review the difference
	$(BIN)/python -m pytest --golden

bench: $(VENV)/.serve ## load a server of its own for 15 seconds; ARGS="--url ..." for another
	$(BIN)/vcodec bench $(ARGS)

web: $(VENV)/.dev ## compile the kernels that run in browsers; commit the result
	$(BIN)/python -m ziglang cc @service/virtual_codec/web/kernels.flags \
	    -o service/virtual_codec/web/kernels.wasm service/virtual_codec/web/networks.c service/virtual_codec/web/pixels.c

docs: $(VENV)/.dev ## build the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lock: $(VENV)/.supply ## pin what the container image holds, with hashes (ARGS=--upgrade: the newest); review the difference
	$(COMPILE) --output-file docker/requirements-cuda.lock
	$(COMPILE) --output-file docker/requirements.lock \
	    $$(sed -nE 's/^(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==.*/--no-emit-package \1/p' docker/requirements-cuda.lock)

audit: $(VENV)/.supply ## look for known holes in what is pinned; says so where the advisories cannot be had
	$(BIN)/python .ci/audit.py $(ARGS)

sbom: $(VENV)/.supply ## list what the image and this environment hold, as CycloneDX files in dist/
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements docker/requirements-cuda.lock --pyproject pyproject.toml \
	    --output-reproducible --output-file dist/sbom-image.cdx.json
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml \
	    --output-reproducible --output-file dist/sbom-environment.cdx.json

fuzz: $(VENV)/.dev ## look for half an hour for what breaks it; FUZZ_SECONDS=300 ARGS="--only http" for less
	$(BIN)/python -m tests.fuzz $(if $(FUZZ_SECONDS),--seconds $(FUZZ_SECONDS)) $(ARGS)

clean: ## remove what make made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.serve: pyproject.toml hatch_build.py | $(BIN)/python
	$(BIN)/python -m pip install --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml hatch_build.py | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $(VENV)/.serve $@

$(VENV)/.supply: pyproject.toml hatch_build.py | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[supply]'
	@touch $(VENV)/.serve $@

# A name on the PATH may be a stub that only prints an error, and some systems split venv off: each is tried.
$(BIN)/python:
	@for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3 python; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        echo "making $(VENV) with $$("$$python" -V) ($$python)"; \
	        exec "$$python" -m venv $(VENV); \
	    fi; \
	done; \
	echo "No Python 3.11 or newer with venv was found. Install one (Debian, Ubuntu: python3 and python3-venv)," >&2; \
	echo "or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1
