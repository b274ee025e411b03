# Every target creates .venv and installs missing packages.
#   make demo    the informers at work on the embedded API server, no cluster needed
#   make test    the tests            make test-real   the scenarios on a real etcd and kube-apiserver
#   make check   format, lint, types, layers, manual, tests: as in CI
#   make bench   the benchmarks (bench-quick: in two minutes)    make docs   the manual      make clean   remove all built files
#   make ui      the page in the browser, with a demo cluster    make screenshots   its pictures in the manual, taken anew
#   make lowest  the unit, wire and integration tests with the lowest versions of the dependencies
#   make soak    random schedules and faults, for hours          make mutants   deliberate bugs, all to be caught
#   make foreign clients in other languages: their answers on the embedded server beside those of a real one
#   make matrix  the unit tests on each Python that is here or can be installed
#   make release-check   all that a release needs but the upload: two builds compared, metadata, notes, SBOM, manual
#   make wheel-test   the built wheel in an environment of its own runs the demo and every program of the manual

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FOR    ?= 20
LOWEST_TESTS ?= tests/unit tests/wire tests/integrations

# Bytecode is written, whatever the environment says: the tests start hundreds of processes, which would compile each.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo ui screenshots test test-real foreign apiserver-assets check lint types layers format bench bench-quick guard mutants soak docs clean lowest matrix release-check wheel-test
.DEFAULT_GOAL := test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# One stamp per set of extras, renewed when the dependencies change.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

demo: $(VENV)/.installed-cli
	$(BIN)/kinformer demo --for $(FOR)

ui: $(VENV)/.installed-ui
	$(BIN)/kinformer ui --demo --open

screenshots: $(VENV)/.installed-test
	$(BIN)/python -m tests.browser.screenshots

test: $(VENV)/.installed-test
	$(BIN)/python -m tests.rewritten
	$(BIN)/pytest -n auto --dist worksteal

# The same scenarios as in `make test`, on a real control plane: it has to be here (KUBEBUILDER_ASSETS), or Go to build it.
# `make test-real K8S=1.37` takes another release of those that tests/apiserver/assets can build.
test-real: $(VENV)/.installed-test apiserver-assets
	$(if $(K8S),KUBEBUILDER_ASSETS=$$(tests/apiserver/assets/build --folder $(K8S))) $(BIN)/pytest -m real

# Clients in other languages, of those that are here: kubectl by a long sequence of commands.
foreign: $(VENV)/.installed-test
	$(BIN)/python -m tests.foreign

apiserver-assets:
	@tests/apiserver/assets/build $(K8S)

check: lint types layers docs test

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

layers: $(VENV)/.installed-test
	$(BIN)/lint-imports

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

bench-quick: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --quick

# Is anything slower? Ratios against committed bounds.
guard: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.guard

# Does the suite notice deliberate bugs?
mutants: $(VENV)/.installed-test
	$(BIN)/python -m tests.mutants

# Other examples of each property than in `make test`, 240,000 random schedules with a fresh seed, and ten real minutes
# under random faults: two to three hours on two cores. It goes on after a failure, and says how to play the same again.
# `make soak ARGS="--share 0.05"` takes a twentieth of the schedules, `ARGS="scopes --seed 4711"` plays one part again.
soak: $(VENV)/.installed-bench $(VENV)/.installed-test
	$(BIN)/python -m tests.soak $(ARGS)

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The view of a user: the built wheel in a separate environment, with the extras, runs the demo and the whole manual
# (whose "before" programs need the clients that they migrate from).
wheel-test: $(VENV)/.installed-test
	rm -rf dist build
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet "$$(ls dist/*.whl)[cli,compact,fastapi,opentelemetry,prometheus,testing,ui,webhooks]" \
		httpx2 kopf kubernetes pytest pytest-asyncio
	build/wheel/bin/kinformer demo --for 5
	KINFORMER_SNIPPET_PYTHON=$(CURDIR)/build/wheel/bin/python $(BIN)/pytest -q -n auto tests/docs/test_snippets.py

# The lowest versions of the direct dependencies that pyproject.toml allows, in an environment of their own.
lowest:
	rm -rf build/lowest
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet uv
	build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python --resolution lowest-direct \
		".[cli,compact,fastapi,opentelemetry,prometheus,starlette,testing,ui,webhooks]"
	build/lowest/bin/uv pip freeze --quiet --python build/lowest/bin/python | grep -v ^kinformer > build/lowest/constraints.txt
	build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python --constraint build/lowest/constraints.txt \
		hatchling httptools httpx httpx2 hypothesis looptime opentelemetry-sdk pytest pytest-asyncio pytest-timeout pytest-xdist uvloop
	build/lowest/bin/python -m pytest -q -n auto $(LOWEST_TESTS)

matrix:
	rm -rf build/uv
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet uv
	build/uv/bin/python -m release.matrix

# TAG=v1.2.3 asks for the section of that version in the changelog; without it "Unreleased" will do.
release-check: $(VENV)/.installed-test docs wheel-test
	$(BIN)/python -m release $(if $(TAG),--tag $(TAG)) --environment build/wheel/bin/python

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
