# Two commands: `make demo` shows it at work, `make test` proves it. Each makes .venv if it is missing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench clean

demo: .venv/.demo
	$(BIN)/invoke demo

# three at a time, each with servers of its own: most tests wait for a server, not for a core
test: .venv/.dev
	$(BIN)/python -m pytest -n 3 --dist worksteal

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.dev
	$(BIN)/invoke bench

.venv/.demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[ops,embedded]'
	@touch $@

.venv/.dev: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/.demo

clean:
	-$(BIN)/invoke down
	rm -rf .venv .legal_store
