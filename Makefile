# What can be done here. Each target sets up what it needs; `make` alone puts the programs into .venv/bin.
#
#   make           the programs in .venv/bin (make help shows this list)
#   make demo      the whole job on one desk, without Bluetooth (PROTOCOL=bluezone|gaen|dp3t)
#   make test      linters, types and tests
#   make lint      linters and types alone
#   make test-vm   the radio against the real bluetoothd, in a virtual machine (SUITE=trixie|bookworm, REPEAT=n,
#                  TESTS=files); needs root to build its disk once
#   make bench     what the desk costs
#   make bench-proximity  how well 2 m is told: tables and a page in build/, in five minutes (RECORDINGS=a directory
#                  with further sets)
#   make clean     remove what make made

PROTOCOL ?= bluezone
SUITE ?= trixie
REPEAT ?= 1
TESTS ?=
VENV := .venv
PYTHON := $(VENV)/bin/python
SETUP := $(VENV)/.set-up

.PHONY: all help demo test test-vm lint bench bench-proximity clean

all: $(SETUP)

$(SETUP): setup.cfg pyproject.toml set-up.sh
	./set-up.sh $(VENV)
	touch $@

help:
	@sed -n 's/^#   //p' Makefile

demo: $(SETUP)
	$(PYTHON) -m bluezoned.demo --protocol $(PROTOCOL)

lint: $(SETUP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint
	$(PYTHON) -m pytest -q

test-vm: $(SETUP)
	$(PYTHON) -m tests.system.host test --suite $(SUITE) --repeat $(REPEAT) $(TESTS)

bench: $(SETUP)
	$(PYTHON) tests/bench/desk.py

bench-proximity: $(SETUP)
	$(PYTHON) -m tests.bench.scorecard $(if $(RECORDINGS),--recordings $(RECORDINGS))

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
