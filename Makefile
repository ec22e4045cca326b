# Each from nothing but Python with venv, make and a package index:
#   make speak  writes spoken digits by the weights that come with this repository,
#               and zero to nine in one file
#   make demo   trains a small WaveGAN on spoken digits and lets you hear it
#   make test   lint, format, types, imports, tests
#   make test-slow  tests that take longer: long runs, simulations, browsers
#   make test-distributed  runs of several devices and workers, some of them lost
#   make test-install  the container's steps, in an environment of their own; the notebook
# Another Python: make demo PYTHON=python3.12
# With an NVIDIA GPU: make demo GPU=1

PYTHON ?= python3
REQUIREMENTS := requirements$(if $(GPU),-gpu).txt
VENV := .venv
RUN := $(VENV)/bin/python
# Processes of tests: two more than processors, since some wait; each takes 3 GB.
JOBS = $(shell $(RUN) -c "import os; print(min(2 + (os.cpu_count() or 1), 4))")
# A file's tests share what they make; files keep the order of tests/conftest.py.
BY_FILE := --dist loadfile --no-loadscope-reorder

.PHONY: speak demo test test-slow test-distributed test-install clean

speak: $(VENV)/runtime
	$(RUN) train_wavegan.py generate --pretrained --n 20
	@# Weights that know no words cannot be asked for some.
	@if grep -q '"zero"' pretrained/config.json; then \
	$(RUN) train_wavegan.py generate --pretrained --say "zero one two three four five six seven eight nine"; \
	fi

demo: $(VENV)/runtime
	$(RUN) train_wavegan.py train ./demo --flagfile=flagfiles/demo.cfg
	$(RUN) train_wavegan.py preview ./demo --once --preview_n=40

test: $(VENV)/develop
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy .
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) -m pytest -n $(JOBS) $(BY_FILE) -m "not slow and not distributed and not install"

test-slow: $(VENV)/develop
	$(RUN) -m pytest -n $(JOBS) $(BY_FILE) -m slow

test-distributed: $(VENV)/develop
	$(RUN) -m pytest -n $(JOBS) $(BY_FILE) -m distributed

test-install: $(VENV)/develop
	$(RUN) -m pytest -m install

clean:
	rm -rf $(VENV) demo

$(VENV)/runtime: $(REQUIREMENTS) | $(VENV)/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	@touch $@

$(VENV)/develop: requirements.txt requirements-export.txt requirements-dev.txt | $(VENV)/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/runtime

$(VENV)/python:
	@$(PYTHON) -c "import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))" 2>/dev/null || \
	{ echo "needs Python 3.10 to 3.13 with venv, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1): install one, or name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# So that `python -m eval.score` works from any folder in this environment.
	@$(RUN) -c "import site; open(site.getsitepackages()[0] + '/wavegan.pth', 'w').write('$(CURDIR)\n')"
	@touch $@
