# What can be done here. Each target sets up what it needs; `make` alone puts the programs into .venv/bin.
#
#   make           the programs in .venv/bin (make help shows this list)
#   make demo      the whole job on one desk, without Bluetooth (PROTOCOL=bluezone|gaen|dp3t)
#   make test      linters, types and tests
#   make lint      linters and types alone
#   make test-vm   the radio against the real bluetoothd, in a virtual machine (SUITE=trixie|bookworm, REPEAT=n,
#                  TESTS=files, CROWD=minutes of a crowd, PATIENCE=factor for bounds of time on a busy machine); needs root to
#                  build its disk once
#   make bench     matching, store, radio, desk and a fleet's requests: what they cost, beside the limit, in half an hour;
#                  fuzzes 10 minutes
#   make bench-proximity  how well 2 m is told: tables and a page in build/, in five minutes (RECORDINGS=a directory
#                  with further sets)
#   make man       man pages and completions, after a change of a command or of config/bluezoned.toml
#   make bench-authority  downloads beside nginx, uploads a second, a million keys published; two workers on a
#                  PostgreSQL of its own (KEYS=n, SECONDS_EACH=n)
#   make install   the box on this machine (make install-authority: the authority; install.sh tells DESTDIR and more)
#   make uninstall the reverse; PURGE=1 forgets settings, keys and encounters too (make uninstall-authority)
#   make deb       the Debian packages into build/deb (ARCHITECTURES=amd64 arm64); make pin renews what they carry
#   make test-deb  the packages in bare Debian 12 and 13: install, upgrade, remove, purge; needs root
#   make test-vm-deb  the package in a Debian 13 with Bluetooth, in a virtual machine (PATIENCE as above); needs root
#   make image     a card to flash for a Pi Zero 2 W, 3 or 4, into build/image: a quarter of an hour of an idle machine,
#                  then five minutes each; needs root (URL=where the image will be fetched)
#   make test-image  the card in QEMU, as a bare board and as a Pi 3: ten minutes of an idle machine; needs root
#   make test-plug   its plug pulled, PULLS=50 times, at random moments: an hour of an idle machine; needs root
#   make wheels    all that make install needs into $(WHEELS), for machines without a network
#   make clean     remove what make made

PROTOCOL ?= bluezone
SUITE ?= trixie
REPEAT ?= 1
TESTS ?=
CROWD ?=
PATIENCE ?=
PULLS ?= 50
SEED ?= 1
ARCHITECTURES ?= amd64 arm64
VENV := .venv
PYTHON := $(VENV)/bin/python
SETUP := $(VENV)/.set-up

.PHONY: man all help demo test test-vm lint bench bench-authority bench-proximity install install-authority uninstall uninstall-authority deb test-deb test-vm-deb image test-image test-plug pin wheels clean
export DESTDIR PREFIX OPT WHEELS WHEEL PIP_ARGS PURGE URL

all: $(SETUP)

$(SETUP): setup.cfg pyproject.toml set-up.sh compile.sh bluezoned/protocols/sieve.c
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

# Pages are looked at with Chromium; these letters have every one of Vietnamese.
test: lint
	./need.sh chromium fonts-dejavu-core
	$(PYTHON) -m pytest -q

test-vm: $(SETUP)
	$(PYTHON) -m tests.system.host test --suite $(SUITE) --repeat $(REPEAT) $(if $(CROWD),--crowd-minutes=$(CROWD)) \
		$(if $(PATIENCE),--patience=$(PATIENCE)) $(TESTS)

bench: $(SETUP)
	./need.sh gcc libc6-dev libssl-dev
	$(PYTHON) -m tests.bench.matching
	$(PYTHON) -m tests.bench.store
	$(PYTHON) -m tests.bench.radio
	$(PYTHON) -m tests.bench.durability
	$(PYTHON) tests/bench/desk.py
	$(PYTHON) -m tests.bench.fleet
	$(PYTHON) -m tests.fuzz.key_export --count 30000
	$(PYTHON) -m tests.fuzz.advertisement --count 1000000
	$(PYTHON) -m tests.fuzz.stick --count 5000

bench-authority: $(SETUP)
	./need.sh nginx-light wrk
	$(PYTHON) -m tests.bench.authority $(if $(KEYS),--keys $(KEYS)) $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

bench-proximity: $(SETUP)
	$(PYTHON) -m tests.bench.scorecard $(if $(RECORDINGS),--recordings $(RECORDINGS))

man: $(SETUP)
	$(PYTHON) -m bluezoned.manual

install:
	./install.sh install box

install-authority:
	./install.sh install authority

uninstall:
	./install.sh uninstall box

uninstall-authority:
	./install.sh uninstall authority

deb: $(SETUP)
	$(PYTHON) debian/vendor.py fetch build/wheels
	debian/build.sh $(ARCHITECTURES)

test-deb: ARCHITECTURES := $(shell dpkg --print-architecture)
test-deb: deb
	$(PYTHON) -m pytest -q -o addopts= tests/package

test-vm-deb: ARCHITECTURES := amd64
test-vm-deb: deb
	$(PYTHON) -m tests.package.gather
	$(PYTHON) -m tests.system.host test --suite trixie $(if $(PATIENCE),--patience=$(PATIENCE)) tests/system/packaged.py

image: ARCHITECTURES := arm64
image: deb
	image/build.sh

test-image: image
	$(PYTHON) -m pytest -q -o addopts= -o timeout=7200 --import-mode=importlib tests/image

test-plug: image
	$(PYTHON) -m tests.image.plug --pulls $(PULLS) --seed $(SEED)

pin: $(SETUP)
	$(PYTHON) debian/vendor.py pin

wheels: WHEELS := $(if $(WHEELS),$(WHEELS),wheels)
wheels: $(SETUP)
	$(PYTHON) -m pip wheel --quiet --wheel-dir $(WHEELS) '.[authority]' 'setuptools>=68'

clean:
	rm -f bluezoned/protocols/libsieve.so
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
