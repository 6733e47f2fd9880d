# lrvmotion: `make help` lists what can be made.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install root tools demo test check fuzz lint site docs schemas bench bench-full crash-matrix fleet-trial clean

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
BENCH := .bench
CRASH := .crash
# Most tests wait for a lab; whole files go to a worker, so that a file's tests share theirs.
WORKERS ?= 6
CORES ?= $(shell nproc)
FUZZ_S ?= 3600
export PYTHONDONTWRITEBYTECODE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Client tools that the lab needs; never a server package: that would open a port on this machine.
TOOLS := ip:iproute2 nft:nftables ping:iputils-ping ethtool:ethtool
# Off a terminal nobody can type a password.
ROOT := $(shell [ "$$(id -u)" = 0 ] || { [ -t 0 ] && echo sudo || echo sudo -n; })

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## make .venv with everything that demo, tests and benchmarks import

# Byte code is compiled here, by whoever owns the clone, so that root's runs have none to write into it.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3 install" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing; Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)/bin/pip install --quiet --editable . --group dev
	@$(VENV)/bin/python -m compileall -q src
	@touch $@

tools: ## install missing client tools of the lab (Debian and Ubuntu; root or sudo)
	@missing=""; for pair in $(TOOLS); do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; \
	  $(ROOT) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(ROOT) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

root:
	@$(ROOT) true 2>/dev/null || { echo "this needs root, to make network namespaces: run it as root, or with sudo set up" >&2; \
	  echo "  hint: without root, .venv/bin/lrvmotion lab up --no-net builds a lab on loopback" >&2; exit 1; }

demo: install root tools ## build the lab, move VMs stock, native and proxy over one bad circuit, restore every setting
	@$(ROOT) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/lrvmotion lab demo

test: install tools ## run every test that this machine can, and say what it skipped and why
	$(VENV)/bin/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

fuzz: install ## mutations of everything that is read from outside, for an hour; FUZZ_S=600 for ten minutes
	LRVMOTION_FUZZ_S=$(FUZZ_S) LRVMOTION_FUZZ_SEED=$$(date +%s) $(VENV)/bin/pytest tests/fuzz

check: lint ## lint and the unit tests, in under 90 seconds: before every commit
	$(VENV)/bin/pytest --quiet --numprocesses $(CORES) --dist loadfile tests/unit

lint: install ## format, lint, types, import contracts
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: install ## write docs/checks.md again, from the catalogue of findings
	$(VENV)/bin/python docs/generate.py

schemas: install ## write the JSON Schemas in docs/schemas again, from the types
	PYTHONPATH=tests $(VENV)/bin/python -m schemas

site: docs ## build docs/ as a site in .site, links checked
	$(VENV)/bin/mkdocs build --strict

bench: install tools root ## measure relayd beside its peers, on a plain path and on the circuit; under 6 minutes each
	@mkdir -p $(BENCH)
	$(ROOT) $(VENV)/bin/python benchmarks/relay.py --quick --json $(BENCH)/relay-quick.json --plots $(BENCH)
	$(ROOT) $(VENV)/bin/python benchmarks/wan.py --quick --json $(BENCH)/wan-quick.json --plots $(BENCH)

bench-full: install tools root ## the whole grid in the background, some six hours; again: goes on where it stopped
	@mkdir -p $(BENCH)
	@$(ROOT) setsid nohup sh -c 'flock -n 9 || { echo "it is running already"; exit 1; }; set -e; \
	  echo "to stop it: kill -- -$$$$"; \
	  [ -e $(BENCH)/relay.json ] || $(VENV)/bin/python benchmarks/relay.py --json $(BENCH)/relay.json --plots $(BENCH); \
	  $(VENV)/bin/python benchmarks/wan.py --resume --json $(BENCH)/wan.json --plots $(BENCH)' \
	  9>$(BENCH)/lock >>$(BENCH)/full.log 2>&1 </dev/null & echo "see $(BENCH)/full.log"

crash-matrix: install tools root ## kill the process at every journal byte and call and verify the restore; under 45 minutes
	@mkdir -p $(CRASH)
	$(ROOT) env PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m crash --json $(CRASH)/matrix.json --keep $(CRASH)/failed

fleet-trial: install tools root ## move a hundred VMs through faults and five relay crashes, and verify that none is lost; five minutes
	@mkdir -p $(CRASH)
	$(ROOT) env PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m crash.fleet --json $(CRASH)/fleet.json

clean: ## remove what was made here
	rm -rf $(VENV) $(BENCH) $(CRASH) .site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
