# Everything is set up in .venv, once for each change of the requirements. `make PYTHON=python3.12 test` picks a Python.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python
ARGS ?=
# Exact versions where they were made: Python 3.11 on Linux. Elsewhere the bounds of requirements.txt hold.
LOCK = $(shell $(PYTHON) -c 'import sys; ok = sys.version_info[:2] == (3, 11) and sys.platform == "linux"; print("-c requirements-lock.txt" * ok)')
# Each of the two processes imports TensorFlow (15 seconds); a file's tests stay in one, for what their fixtures made.
TESTS := -m pytest -q -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help venv quickstart test test-slow check

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

venv: $(READY)

quickstart: $(READY) ## distil a real teacher on a generated task and show what came out (ARGS="--help" for options)
	@$(RUN) -m xtremedistil.quickstart $(ARGS)

test: $(READY) ## the tests, minutes on a CPU, no network
	@$(RUN) $(TESTS) $(ARGS)

test-slow: $(READY) ## the slow tests too
	@$(RUN) $(TESTS) -m "not gpu and not network" $(ARGS)

check: $(READY) ## ruff
	@$(RUN) -m ruff check . $(ARGS)

$(READY): requirements.txt requirements-lock.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "$(PYTHON) is `$(PYTHON) --version 2>&1 || true`; xtremedistil needs Python 3.10 to 3.13, for which TensorFlow has wheels." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; TensorFlow is about 600 MB) ..."
	@$(PYTHON) -m venv $(VENV) || $(PYTHON) -m virtualenv -q $(VENV) || { \
	  echo "Could not make $(VENV): install Python's venv module (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@$(RUN) -m pip install -q --disable-pip-version-check $(LOCK) -e '.[dev]' || { \
	  echo "pip could not install the requirements (its message is above)." >&2; \
	  echo "If it found no tensorflow: `$(RUN) --version` on this machine (`uname -sm`) has no TensorFlow wheel; try another PYTHON=." >&2; exit 1; }
	@touch $(READY)
