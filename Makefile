# TaskMaster. `make help` lists what there is.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# The first Python that will do: `make demo PYTHON=python3.12` names another.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif
PY := .venv/bin/python
# Python 3.12 and newer take the lock of the newest Django.
LOCK := $(shell "$(PYTHON)" -c 'import sys; print("requirements-next.txt" if sys.version_info >= (3, 12) else "requirements.txt")' 2>/dev/null)
DEV_LOCK := $(subst requirements.txt,requirements-dev.txt,$(LOCK))
# $(1): the folder to write to.
protoc = PATH="$$PWD/.venv/bin:$$PATH" $(PY) -m grpc_tools.protoc -I . --python_out=$(1) \
	--grpc_python_out=$(1) --mypy_out=$(1) --mypy_grpc_out=$(1) proto/taskmaster.proto

.PHONY: help setup setup-dev demo test test-docker test-k8s bench chaos example screenshots proto lint lock clean \
	check-style check-types check-imports check-proto check-migrations

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## make .venv and install what is locked
	@$(call install,$(LOCK),run)

setup-dev: setup
	@$(call install,$(DEV_LOCK),dev)

demo: setup ## run web, coordinator and a pool of workers; Ctrl+C stops them
	@exec $(PY) -m taskmaster_site.demo

test: setup-dev ## run the whole suite
	@$(PY) -m pytest $(ARGS)

test-docker: setup-dev ## the compose file and provider on a Docker engine: the one that answers, or its own (root)
	@TASKMASTER_TEST_DOCKER=1 $(PY) -m pytest -n 0 --timeout 1200 -rs tests/docker $(ARGS)

test-k8s: setup-dev ## the provider kubernetes on the cluster of KUBECONFIG, in a namespace of its own
	@TASKMASTER_TEST_K8S=1 $(PY) -m pytest -n 0 --timeout 600 -rs tests/kubernetes $(ARGS)

example: setup ## checksum and compress a real folder tree, and verify it
	@exec $(PY) -m examples.run

bench: setup ## measure, each figure beside its reference of the same run
	@exec $(PY) -m benchmarks $(ARGS)

# SECONDS is bash's own, so it travels as an argument.
chaos: setup ## kill, freeze and cut off a fleet under load: SECONDS= SEED= RATE= EVERY= DRAIN= KINDS=
	@exec $(PY) -m chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(RATE),--rate $(RATE)) $(if $(EVERY),--every $(EVERY)) $(if $(DRAIN),--drain $(DRAIN)) \
		$(if $(KINDS),--kinds "$(KINDS)")

screenshots: setup-dev ## take the README's pictures (needs chromium)
	@exec $(PY) -m docs.screenshots

proto: setup-dev ## generate Python code and types from proto/taskmaster.proto
	@$(call protoc,.)

lint: check-style check-types check-imports check-proto check-migrations ## all checks that run no test

check-style: setup-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

check-types: setup-dev
	@$(PY) -m mypy

check-imports: setup-dev
	@PYTHONPATH=. $(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

check-proto: setup-dev
	@made="$$(mktemp -d)" && trap 'rm -rf "$$made"' EXIT && $(call protoc,"$$made") && \
		diff -r -x '*.proto' -x __init__.py -x __pycache__ "$$made/proto" proto || \
		{ echo "The files in proto/ are not what taskmaster.proto gives; run: make proto" >&2; exit 1; }

check-migrations: setup-dev
	@$(PY) -m taskmaster_site.postgres run -- $(PY) manage.py makemigrations --check --dry-run

lock: ## compile the locks anew (needs uv)
	@for job in "3.11 requirements" "3.11 requirements-dev" "3.13 requirements-next"; do set -- $$job; \
		source=$${2/-next/-dev}; \
		UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile -q --upgrade --generate-hashes \
			--python-version $$1 $$source.in -o $$2.txt; done

clean: ## remove the venv, the data and what tools left
	@if [ -e .data/postgres ]; then $(PY) -m taskmaster_site.postgres remove; fi
	@rm -rf .venv .venv-next .data .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# $(1): a lock, $(2): the name of its stamp. Installs again when the lock or the Python has changed.
define install
	if [ -z "$(LOCK)" ]; then \
		echo "TaskMaster needs Python 3.11 or newer; $(or $(PYTHON:%="%" did not run),none was found). Name one: make PYTHON=/path/to/python3" >&2; exit 1; fi; \
	version="$$("$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"; \
	case "$$version" in 2.*|3.[0-9]|3.10) \
		echo "TaskMaster needs Python 3.11 or newer; $(PYTHON) is $$version. Name another: make PYTHON=/path/to/python3" >&2; exit 1;; esac; \
	if ! cmp -s $(1) .venv/$(2).lock || ! [ -d ".venv/lib/python$$version" ]; then \
		if ! [ -x .venv/bin/pip ] || ! [ -d ".venv/lib/python$$version" ]; then \
			"$(PYTHON)" -m venv --clear .venv || { echo "python -m venv failed (on Debian: apt-get install python3-venv)." >&2; exit 1; }; \
		fi; \
		echo "Installing what $(1) locks …"; \
		$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r $(1) && cp $(1) .venv/$(2).lock; \
	fi
endef
