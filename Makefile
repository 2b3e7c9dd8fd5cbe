# Two commands do all the set-up themselves: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test faults check install clean

demo: .venv/installed
	$(BIN)/workbench demo

test: .venv/installed check
	$(BIN)/pytest --numprocesses 2

# The whole fault matrix, some 45 minutes; its table is in build/faults.md. As root on a Linux
# machine all of its cases are played.
faults: .venv/installed
	WORKBENCH_FAULTS=full $(BIN)/pytest tests/faults --timeout 7200

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: .venv/installed

# torch comes first and alone: its version decides which of its companions pip takes.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed.")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist
