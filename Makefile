# One task runner for people and CI alike. Every target first makes what it needs: a virtual
# environment in .venv with this package installed from the tree. Needed beforehand: Python 3.11 or
# later, make, git.
#
#   make demo [CHAT=history.jsonl.gz] [PHOTOS=folder]
#                                       two devices, one history, conflicts, a killed process; then only a folder
#                                       between them, and a laptop that recovers from it; then photos, a small
#                                       tablet, and room on the phone
#   make test [ARGS="-k erase"]         the tests; without ARGS, make encrypted as well
#   make encrypted                      the tests of encrypted files, with the SQLite that can do that
#   make check                          lint, types, import contracts, tests
#   make bench [N=1000000]              the benchmarks; without N: 10,000 and 100,000 messages
#   make large [ARGS="--bytes 500000000"]
#                                       a file of 2 GB attached, fetched over TCP and saved: speed and memory
#   make deep                           the property tests, many more examples (an hour or so)
#   make soak [SCHEDULES=10000 POINTS=100000 SEED=0]
#                                       the simulator: schedules of many devices with everything that goes
#                                       wrong, and power losses; an idle core does some two or three schedules
#                                       a second, or some sixty power losses: about an hour on two cores;
#                                       then make kills and make fuzz
#   make kills [KILLS=300]              processes killed while they write, import, compact, sync
#   make fuzz [INPUTS=1000000]          damaged and lying inputs of every kind (half an hour)
#   make mutants [ARGS="--module document/"]
#                                       one change at a time in document/, protocol/ and the store's transaction
#                                       code: do the tests notice? (an hour or two; --help says what else)
#   make docs                           the documentation, in build/site; warnings are errors
#   make format                         lay out the code as lint wants it

SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first interpreter found that is recent enough and can make environments.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$name"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
CHAT ?=
PHOTOS ?=
N ?=
ARGS ?=
SCHEDULES ?= 10000
POINTS ?= 100000
SEED ?= 0
KILLS ?= 300
INPUTS ?= 1000000
# Processes that share the tests. More than there are cores makes none of them faster.
WORKERS ?= 2

# Tests start hundreds of processes, and compiling takes each of them longer than all else that they begin with.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test encrypted deep soak kills fuzz mutants bench large docs lint types contracts check format clean

help:
	@sed -n 's/^#   //p' Makefile

# What the programs need, and on top of it what the checks need. A stamp says it is installed; a
# change of the dependencies installs again.
RUN := $(VENV)/.stamp-run
DEV := $(VENV)/.stamp-dev
DOCS := $(VENV)/.stamp-docs
# An SQLite that encrypts is the package `apsw` as well, so it lies in a folder of its own, to be put before.
CIPHER := $(VENV)/encrypted
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "msgsync needs Python 3.11 or later with its venv module" \
		"(on Debian: apt-get install python3-venv)" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(RUN): pyproject.toml | $(BIN)/python
	$(PIP) install --editable '.[cli,images]'
	@touch $@

# What has more has what the programs need as well.
$(DEV): pyproject.toml | $(BIN)/python
	$(PIP) install --editable '.[cli,dev]'
	@touch $(RUN) $@

$(DOCS): $(DEV)
	$(PIP) install --editable '.[cli,dev,docs]'
	@touch $@

$(CIPHER)/.stamp: pyproject.toml $(DEV)
	rm -rf $(CIPHER)
	$(PIP) install --no-deps --target $(CIPHER) 'apsw-sqlite3mc>=3.54,<4'
	@touch $@

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

demo: $(RUN)
	$(BIN)/python -m examples.two_devices $(if $(CHAT),"$(CHAT)")
	$(BIN)/python -m examples.never_online $(if $(CHAT),"$(CHAT)")
	$(BIN)/python -m examples.photos $(if $(PHOTOS),"$(PHOTOS)")

bench: $(RUN)
	$(BIN)/python -m benchmarks $(if $(N),--messages $(N))

large: $(RUN)
	$(BIN)/python -m benchmarks.largefile $(ARGS)

# A process that is done takes tests over from one that is not: the long ones lie side by side.
test: $(DEV) $(if $(ARGS),,encrypted)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

encrypted: $(CIPHER)/.stamp
	PYTHONPATH=$(CIPHER) $(BIN)/python -m pytest -n 0 tests/encrypted

deep: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) --hypothesis-profile=deep --timeout=3600 tests/property $(ARGS)

soak: $(DEV)
	$(BIN)/python -m tests.simulation.soak --schedules $(SCHEDULES) --points $(POINTS) \
		--first-seed $(SEED) --workers $(WORKERS)
	$(MAKE) kills fuzz

kills: $(DEV)
	$(BIN)/python -m pytest -n 0 -rP --kills $(KILLS) tests/faults/test_kills.py $(ARGS)

fuzz: $(DEV)
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS) --workers $(WORKERS) $(ARGS)

mutants: $(DEV)
	$(BIN)/python -m tests.mutation --workers $(WORKERS) $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

contracts: $(DEV)
	$(BIN)/lint-imports --no-logo

check: lint types contracts test

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
