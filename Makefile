# What can be done here. Each target sets up what it needs; `make` alone puts the programs into .venv/bin.
#
#   make           the programs in .venv/bin
#   make demo      the whole job on one desk, without Bluetooth (PROTOCOL=bluezone|gaen|dp3t)
#   make test      linters, types and tests
#   make clean     remove what make made

PROTOCOL ?= bluezone
VENV := .venv
PYTHON := $(VENV)/bin/python
SETUP := $(VENV)/.set-up

.PHONY: all demo test lint clean

all: $(SETUP)

$(SETUP): setup.cfg pyproject.toml set-up.sh
	./set-up.sh $(VENV)
	touch $@

demo: $(SETUP)
	$(PYTHON) -m bluezoned.demo --protocol $(PROTOCOL)

lint: $(SETUP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint
	$(PYTHON) -m pytest -q

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
