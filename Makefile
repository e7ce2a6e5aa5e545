# The daily commands. `make quick` while you work, `make` before you push.
PYTHON ?= .venv/bin/python

all: lint types test

lint: # style, and the directions of imports between the rooms
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

types:
	$(PYTHON) -m mypy

quick: # the tests that take under three minutes together
	$(PYTHON) -m pytest -n 4 --dist worksteal -m quick

test: # all of them, as the README says
	$(PYTHON) -m pytest -n 4 --dist worksteal

.PHONY: all lint types quick test
