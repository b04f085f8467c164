# Two commands do everything: `make demo` and `make test`. Both make .venv first.

VENV  = .venv
PY    = $(VENV)/bin/python
BUILD = build

# The first interpreter that is new enough; or say `make PYTHON=/path/to/python3`.
PYTHON = $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# Processes for the tests. BLAS runs on one thread in each: see tests/conftest.py.
JOBS = 2
# `loadfile` keeps the cells of one notebook, which share a kernel, in one process, in order.
PYTEST = $(PY) -m pytest -n $(JOBS) --dist loadfile
# Everything that is a test: files, docstrings, and the notebooks' saved outputs.
TESTS = tests flowbook --nbval --nbval-cell-timeout=300 notebooks

FLAGSHIP = notebooks/04-train-a-classifier.ipynb

.PHONY: help demo test test-all check format lab bench notebooks extension native lock clean distclean venv
.DEFAULT_GOAL := help

help:
	@echo 'make demo      execute the flagship notebook, say what it learned and where the result is'
	@echo 'make test      run the tests, without the slow ones'
	@echo 'make test-all  run all tests, with a second library as oracle'
	@echo 'make lab       open JupyterLab on the notebooks'
	@echo 'make bench     measure speed'
	@echo 'make check     formatting, lint, types, generated files'
	@echo 'make format    format the code and fix what can be fixed'
	@echo 'make notebooks execute the notebooks anew and keep what they show'
	@echo 'make native    build the native library (kernels/) into flowbook/native; needs a C++ compiler'
	@echo 'make extension build the view (extension/) into flowbook/static; needs Node 20'
	@echo 'make lock      pin the test environment again (UPGRADE=1: newest versions)'
	@echo 'make clean     remove build results; `make distclean` removes .venv, too'

demo: venv
	@$(PY) notebooks/run_demo.py $(FLAGSHIP) --output-dir $(BUILD)

test: venv
	$(PYTEST) -m 'not slow and not bench' $(TESTS) $(ARGS)

test-all: venv $(VENV)/.oracles
	$(PYTEST) -m 'not bench' $(TESTS) $(ARGS)

check: venv
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m flowbook.ops.stubs --check
	$(PY) -m flowbook.notebook.protocol_types --check

format: venv
	$(PY) -m ruff check --fix --exit-zero .
	$(PY) -m ruff format .

lab: venv
	$(PY) -m jupyterlab --notebook-dir=notebooks $(ARGS)

bench: venv
	$(PY) tests/bench/run.py $(ARGS)
	$(PY) tests/bench/attention.py
	$(PY) tests/bench/cells.py
	$(PY) tests/bench/view.py
	$(PY) tests/bench/live.py
	$(PY) tests/bench/scaling.py

# What it builds is committed, so that installing needs no Node; tests compare it with its sources.
extension: venv extension/node_modules/.package-lock.json
	$(PY) -m flowbook.notebook.protocol_types --write
	cd extension && npm run --silent build && npm run --silent test

extension/node_modules/.package-lock.json: extension/package-lock.json
	cd extension && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

notebooks: venv
	$(PY) tests/tools/renew_notebooks.py notebooks/*.ipynb

lock: venv
	$(PY) -m pip install --quiet uv
	$(PY) -m uv pip compile --quiet $(LOCK) --extra test pyproject.toml requirements/test.in -o requirements/test.lock
	$(PY) -m uv pip compile --quiet $(LOCK) -c requirements/test.lock requirements/oracles.in -o requirements/oracles.lock

LOCK = --universal --python-version 3.11 --generate-hashes --no-annotate --no-strip-extras \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

clean:
	rm -rf $(BUILD) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis flowbook/native/*.so $(VENV)/.native
	find flowbook tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

# The environment, in three steps; each is made again only when what it depends on changes.
venv: $(VENV)/.project $(VENV)/.native

$(VENV)/.created:
	@test -n "$(PYTHON)" || { \
		echo 'flowbook needs Python 3.11 or newer, and found none on the PATH.' >&2; \
		echo 'Install one, or name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) cannot make virtual environments.' >&2; \
		echo 'On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'making $(VENV): a few minutes, once'
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.locked: requirements/test.lock $(VENV)/.created
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.lock
	@touch $@

# The build backend is in the lock, so no isolated build environment is needed.
# JupyterLab's extension is copied into the environment, so another one is installed again; its
# folders are listed, too, as a file that went makes only them newer.
$(VENV)/.project: pyproject.toml $(shell find extension/labextension) $(VENV)/.locked
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Beside its sources, where an editable install finds it. Without a compiler flowbook runs on NumPy; a compiler that
# fails is an error.
NATIVE = $(BUILD)/native
COMPILERS = $(if $(filter default,$(origin CXX)),c++ g++ clang++,$(firstword $(CXX)))
native $(VENV)/.native: $(shell find kernels -type f) $(VENV)/.locked
	@if $(foreach each,$(COMPILERS),command -v $(each) >/dev/null ||) false; then \
		mkdir -p $(BUILD) && $(VENV)/bin/cmake -S kernels -B $(NATIVE) -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(VENV)/bin/ninja \
			-DPython_EXECUTABLE=$(CURDIR)/$(PY) -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=$(CURDIR)/flowbook/native >$(NATIVE).log && \
		$(VENV)/bin/cmake --build $(NATIVE) >>$(NATIVE).log || { cat $(NATIVE).log; exit 1; }; \
	else echo 'no C++ compiler: flowbook will run on NumPy, which is slower'; fi
	@touch $(VENV)/.native

$(VENV)/.oracles: requirements/oracles.lock $(VENV)/.project
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/oracles.lock
	@touch $@
