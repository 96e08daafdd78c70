# TaskMaster. `make help` lists what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# The first Python that will do: `make demo PYTHON=python3.12` names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
# Python 3.12 and newer take the lock of the newest Django.
LOCK = $(shell $(PYTHON) -c 'import sys; print("requirements.txt" if sys.version_info < (3, 12) else "requirements-next.txt")')
DEV_LOCK = $(subst requirements.txt,requirements-dev.txt,$(LOCK))
PROTOC := -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=.

.PHONY: help setup setup-dev demo test bench example proto lint lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## make .venv and install what is locked
	@$(call install,$(LOCK),run)

setup-dev: setup
	@$(call install,$(DEV_LOCK),dev)

demo: setup ## run web, coordinator and two workers; Ctrl+C stops them
	@exec $(PY) -m taskmaster_site.demo

test: setup-dev ## run the whole suite
	@$(PY) -m pytest $(ARGS)

example: setup ## checksum and compress a real folder tree, and verify it
	@exec $(PY) -m examples.run

bench: setup ## measure, each figure beside its reference of the same run
	@exec $(PY) -m benchmarks $(ARGS)

proto: setup-dev ## generate Python code and types from proto/taskmaster.proto
	@PATH="$$PWD/.venv/bin:$$PATH" $(PY) $(PROTOC) proto/taskmaster.proto

lint: setup-dev ## ruff, mypy, import rules, proto, migrations
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@PYTHONPATH=. $(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(PY) -m tests.check_proto
	@$(PY) manage.py makemigrations --check --dry-run

lock: ## compile the locks anew (needs uv)
	@for job in "3.11 requirements" "3.11 requirements-dev" "3.13 requirements-next"; do set -- $$job; \
		source=$${2/-next/-dev}; \
		UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile -q --upgrade --generate-hashes \
			--python-version $$1 $$source.in -o $$2.txt; done

clean: ## remove the venv, the data and what tools left
	@if [ -f .data/postgres/postmaster.pid ]; then $(PY) -m taskmaster_site.postgres stop; fi
	@rm -rf .venv .venv-next .data .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# $(1): a lock, $(2): the name of its stamp. Installs again when the lock has changed.
define install
	if [ -z "$(PYTHON)" ]; then echo "TaskMaster needs Python 3.11 or newer; none was found. Name one: make PYTHON=/path/to/python3" >&2; exit 1; fi; \
	if ! cmp -s $(1) .venv/$(2).lock; then \
		[ -x $(PY) ] || $(PYTHON) -m venv .venv || { echo "python -m venv failed (on Debian: apt-get install python3-venv)." >&2; exit 1; }; \
		echo "Installing what $(1) locks …"; \
		$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) && cp $(1) .venv/$(2).lock; \
	fi
endef
