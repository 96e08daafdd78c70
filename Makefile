# TaskMaster. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# The first Python 3.11 or newer; override it with `make demo PYTHON=python3.12`.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif
PY := .venv/bin/python
# Python 3.12 and newer use the lock of the newest Django.
LOCK := $(shell "$(PYTHON)" -c 'import sys; print("requirements-next.txt" if sys.version_info >= (3, 12) else "requirements.txt")' 2>/dev/null)
DEV_LOCK := $(subst requirements.txt,requirements-dev.txt,$(LOCK))
# $(1): the output folder.
protoc = PATH="$$PWD/.venv/bin:$$PATH" $(PY) -m grpc_tools.protoc -I . --python_out=$(1) \
	--grpc_python_out=$(1) --mypy_out=$(1) --mypy_grpc_out=$(1) taskmaster/proto/taskmaster.proto

.PHONY: help setup setup-dev demo password test test-long test-docker test-k8s bench chaos example screenshots docs docs-links proto lint lock wheel clean \
	check-style check-types check-imports check-proto check-migrations

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## create .venv and install the locked packages
	@$(call install,$(LOCK),run)

# The development lock contains the other lock, so one call of pip is enough.
setup-dev:
	@$(call install,$(DEV_LOCK),dev) && cp $(LOCK) .venv/run.lock

demo: setup ## run web, coordinator and a worker pool; Ctrl+C stops them
	@exec $(PY) -m taskmaster.taskmaster_site.demo.main

password: setup ## set and print a new random password for the demo's user admin; the demo may be running
	@exec $(PY) -m taskmaster.taskmaster_site.demo.admin

test: setup-dev ## run the whole suite
	@$(PY) -m pytest $(ARGS)

test-long: setup-dev ## run the tests that take too long for `make test`
	@$(PY) -m pytest -m long -n 2 $(ARGS)

test-docker: setup-dev ## test the compose file and provider on a Docker engine: a running one, or (as root) a new one
	@TASKMASTER_TEST_DOCKER=1 $(PY) -m pytest -n 0 --timeout 1200 -rs tests/docker $(ARGS)

test-k8s: setup-dev ## test the provider kubernetes on the cluster of KUBECONFIG, in its own namespace
	@TASKMASTER_TEST_K8S=1 $(PY) -m pytest -n 0 --timeout 600 -rs tests/kubernetes $(ARGS)

example: setup ## checksum and compress a real folder tree, and verify it
	@exec $(PY) -m examples.run

bench: setup ## run the benchmarks, each figure beside a reference of the same run
	@exec $(PY) -m benchmarks $(ARGS)

# SECONDS is a variable of bash, so it is passed as an argument.
chaos: setup ## kill, freeze and disconnect a fleet under load: SECONDS= SEED= RATE= EVERY= DRAIN= KINDS=
	@exec $(PY) -m chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(RATE),--rate $(RATE)) $(if $(EVERY),--every $(EVERY)) $(if $(DRAIN),--drain $(DRAIN)) \
		$(if $(KINDS),--kinds "$(KINDS)")

screenshots: setup-dev ## take the README's screenshots (needs chromium)
	@exec $(PY) -m docs.screenshots

# `-W -n`: a broken link, a missing anchor or picture and a page that no list names are errors.
docs: setup-dev ## build the documentation site into .docs/html and check the links inside it
	@$(PY) -m sphinx -W --keep-going -n -q -b html -d .docs/doctrees docs .docs/html
	@echo "The documentation site is .docs/html/index.html"

docs-links: setup-dev ## check the links of the documentation to other sites
	@$(PY) -m sphinx -n -q -b linkcheck -d .docs/doctrees docs .docs/links

proto: setup-dev ## generate Python code and types from proto/taskmaster.proto
	@$(call protoc,.)

lint: check-style check-types check-imports check-proto check-migrations ## all checks except the tests

check-style: setup-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

check-types: setup-dev
	@$(PY) -m mypy

check-imports: setup-dev
	@PYTHONPATH=. $(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

check-proto: setup-dev
	@made="$$(mktemp -d)" && trap 'rm -rf "$$made"' EXIT && $(call protoc,"$$made") && \
		diff -r -x "*.proto" -x __init__.py -x __pycache__ "$$made/taskmaster/proto" proto || \
		{ echo "The generated files in proto/ are out of date; run: make proto" >&2; exit 1; }

check-migrations: setup-dev
	@$(PY) -m taskmaster.taskmaster_site.embedded_postgres run -- $(PY) manage.py makemigrations --check --dry-run

lock: ## recompile the locks (needs uv)
	@for job in "3.11 requirements" "3.11 requirements-dev" "3.13 requirements-next"; do set -- $$job; \
		source=$${2/-next/-dev}; \
		UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile -q --upgrade --generate-hashes \
			--python-version $$1 $$source.in -o $$2.txt; done

# The wheel is built from the sdist without an isolated venv, because .venv has the build backend.
wheel: setup-dev ## build the sdist and the wheel of django-taskmaster into dist/
	@rm -rf dist && $(PY) -m build --no-isolation --outdir dist .

clean: ## remove the venv, the data and the caches of tools
	@if [ -e .data/postgres ]; then $(PY) -m taskmaster.taskmaster_site.embedded_postgres remove; \
		elif [ -x $(PY) ]; then $(PY) -m taskmaster.taskmaster_site.embedded_postgres remove 2>/dev/null || true; fi
	@rm -rf .venv .venv-next .data dist .docs .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# $(1): a lock, $(2): the name of its stamp. Reinstalls when the lock or the Python has changed.
define install
	if [ -z "$(LOCK)" ]; then \
		echo "TaskMaster needs Python 3.11 or newer; $(or $(PYTHON:%="%" did not run),none was found). Set one: make PYTHON=/path/to/python3" >&2; exit 1; fi; \
	version="$$("$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"; \
	case "$$version" in 2.*|3.[0-9]|3.10) \
		echo "TaskMaster needs Python 3.11 or newer; $(PYTHON) is $$version. Set another: make PYTHON=/path/to/python3" >&2; exit 1;; esac; \
	if ! cmp -s $(1) .venv/$(2).lock || ! [ -d ".venv/lib/python$$version" ]; then \
		if ! [ -x .venv/bin/pip ] || ! [ -d ".venv/lib/python$$version" ]; then \
			echo "Creating the virtual environment .venv with Python $$version …"; \
			"$(PYTHON)" -m venv --clear .venv || { echo "python -m venv failed (on Debian: apt-get install python3-venv)." >&2; exit 1; }; \
		fi; \
		"$(PYTHON)" -I tools/install.py $(1) $(PY) && cp $(1) .venv/$(2).lock; \
	fi
endef
