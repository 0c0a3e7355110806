# The commands of onrecord. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
MEMBERS := $(sort $(wildcard libs/*) $(wildcard services/*))
MEMBER_FILES := $(MEMBERS:%=%/pyproject.toml)
NAMES := $(shell sed -n 's/^name = "\(.*\)"/\1/p' $(MEMBER_FILES))
COMPILE = $(UV) pip compile --system-certs --quiet --universal --generate-hashes --no-emit-index-url \
	--no-header --no-annotate -c constraints.in $(NAMES:%=--no-emit-package %)
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help

## Use it
.PHONY: demo up
demo: $(VENV)/.ready  ## place two real calls from end to end and check every promise
	@$(BIN)/onrecord demo
up: $(VENV)/.ready  ## run the five services and the embedded servers until Ctrl-C
	@$(BIN)/onrecord up $(ARGS)

## Measure it
.PHONY: bench bench-call bench-b2bua bench-fuzz-sip
bench: $(VENV)/.bench  ## run every bench and print a table
	@PYTHONPATH=tests $(BIN)/python -m bench
bench-call: $(VENV)/.ready  ## 50 recorded calls at once, beside the same phones without us
	@PYTHONPATH=tests $(BIN)/python -m bench.call
bench-b2bua: $(VENV)/.bench  ## SIP alone, beside sippy: CPU a call, 400 calls/s on a core, idle memory
	@PYTHONPATH=tests $(BIN)/python -m bench.b2bua
bench-fuzz-sip: $(VENV)/.ready  ## 100,000 broken SIP messages over UDP and TCP, and OPTIONS answered
	@PYTHONPATH=tests $(BIN)/python -m bench.fuzz_sip

## Work on it
.PHONY: setup check test test-kafka fuzz generate lock clean
setup: $(VENV)/.ready  ## make .venv from the lock
check: $(VENV)/.ready  ## lint, types, import direction, generated files, manifests
	@tools/check
test: $(VENV)/.ready  ## the whole suite against real peers (installs them by apt as root)
	@tools/peers
	@$(BIN)/pytest
test-kafka: $(VENV)/.ready  ## the bus on Apache Kafka, fetched by Maven (exit 77: not possible here)
	@tools/test-kafka
fuzz: $(VENV)/.bench  ## a minute of coverage-guided fuzzing for each parser
	@PYTHONPATH=tests $(BIN)/python -m fuzz
generate: $(VENV)/.ready  ## write the gRPC stubs and JSON Schemas anew
	@$(BIN)/python tools/generate.py
lock: $(VENV)/.ready  ## resolve all locks anew
	$(COMPILE) pyproject.toml $(MEMBER_FILES) -o requirements.lock
	$(COMPILE) --group dev --group embedded pyproject.toml $(MEMBER_FILES) -o requirements-dev.lock
	$(COMPILE) -c requirements-dev.lock --group bench pyproject.toml -o requirements-bench.lock
clean:  ## remove .venv and the embedded stack's data
	rm -rf $(VENV) .onrecord onrecord-demo.wav

.PHONY: help
help:  ## this list
	@awk '/^## /{printf "\n%s\n", substr($$0, 4)} /^[a-z0-9-]+:.*  ## /{split($$0, a, ":"); sub(/.*  ## /, ""); printf "  make %-14s %s\n", a[1], $$0}' $(MAKEFILE_LIST)

# uv itself comes by pip, from the lock and with its hashes; uv then installs the rest.
$(VENV)/.ready: requirements-dev.lock pyproject.toml $(MEMBER_FILES)
	@echo "Setting up $(VENV) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || \
		{ echo "$(PYTHON) must be Python 3.11 or later with its venv module (Debian: python3-venv)," \
		"or name another: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock || \
		{ echo "The packages cannot be had: is the package index reachable? pip says why above." \
		"A proxy or mirror is pip's own setting (pip config, PIP_INDEX_URL)."; exit 1; }
	@$(UV) pip install --quiet --no-config --system-certs --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@$(UV) pip install --quiet --no-config --python $(BIN)/python --no-deps --no-build-isolation $(foreach m,$(MEMBERS),-e ./$(m))
	@touch $@

# What only benches and fuzzers need: the peer, the fuzzing engine.
$(VENV)/.bench: requirements-bench.lock $(VENV)/.ready
	@$(UV) pip install --quiet --no-config --system-certs --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-bench.lock
	@touch $@
