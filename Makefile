# What there is to do here. Needs Python 3.11 or newer, git and make; no root, and no Redis.
# `make demo` is the place to start.

# A given PYTHON wins; else the newest of these that is new enough, and can make environments.
ENOUGH := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,\
	$(shell $(name) -c '$(ENOUGH)' 2>/dev/null && echo $(name))))

VENV := .venv
BIN := $(VENV)/bin
# What the store is compared with has requirements of its own, and stays out of the way of the tests.
BENCH := $(VENV)-bench
# Two processes: the tests start servers, and wait for them more than they compute.
JOBS ?= 2

.PHONY: help demo test lint lua twins bench clean

help:
	@echo "make demo    several gateways on one store, a crash in the middle, and proof (half a minute)"
	@echo "make test    all tests, against real servers"
	@echo "make lint    formatting, lint and types"
	@echo "make bench   the benchmarks, into benchmarks/ and docs/ (25 minutes; QUICK=1: two, written nowhere)"
	@echo "make lua     copy the blocks of lua/shared into the scripts"
	@echo "make twins   write the asyncio operations from the sync ones"
	@echo "make clean   remove what these commands have made"

demo: $(VENV)/.for-demo
	@$(BIN)/redisstore demo --seconds 20

test: $(VENV)/.for-test
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/.for-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

lua: $(VENV)/.for-demo
	$(BIN)/python tools/shared_blocks.py

twins: $(VENV)/.for-lint
	$(BIN)/python tools/async_twin.py
	$(BIN)/ruff check --quiet --fix --select I redisstore/aio
	$(BIN)/ruff format redisstore/aio

bench: $(BENCH)/.for-bench
	$(BENCH)/bin/python -m benchmarks $(if $(QUICK),--quick,--publish)

clean:
	rm -rf $(VENV) $(BENCH) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp says that the environment has what one purpose needs, of this pyproject.toml.
$(VENV)/.for-demo: EXTRAS := all
$(VENV)/.for-test: EXTRAS := test
$(VENV)/.for-lint: EXTRAS := test,lint
$(BENCH)/.for-bench: EXTRAS := bench

$(VENV)/.for-demo $(VENV)/.for-test $(VENV)/.for-lint: | $(BIN)/python
$(BENCH)/.for-bench: | $(BENCH)/bin/python
$(VENV)/.for-demo $(VENV)/.for-test $(VENV)/.for-lint $(BENCH)/.for-bench: pyproject.toml
	@echo "Installing redisstore[$(EXTRAS)] into $(@D) (a minute, the first time) ..."
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	@touch $@

$(BIN)/python $(BENCH)/bin/python:
	@test -n "$(PYTHON)" || { echo "redisstore needs Python 3.11 or newer, with venv (on Debian: apt install python3-venv); \
	found none. If it has another name: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c '$(ENOUGH)' || { echo "redisstore needs Python 3.11 or newer, with venv; $(PYTHON) is not" >&2; exit 1; }
	@echo "Creating $(@:/bin/python=) with $$("$(PYTHON)" --version) ..."
	@"$(PYTHON)" -m venv $(@:/bin/python=) || { rm -rf $(@:/bin/python=); exit 1; }
