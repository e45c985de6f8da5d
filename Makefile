# make demo    train LeNet on handwritten digits and watch it
# make test    everything that proves it right, against PyTorch
# make bench   training-step times against PyTorch and JAX, as ratios
# make bench-others  the same for about a hundred other networks
# make lint    style, layering, types
# make fuzz    100,000 damaged checkpoints, read in every way (FUZZ='--cases N --seed S' for others)
# make sanitize  kernel tests under the address and undefined-behaviour sanitizers
# Each target makes the virtual environment it needs in .venv.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src native -type f -not -name '*.so' -not -name '*.pyc') CMakeLists.txt pyproject.toml

.PHONY: demo test fuzz bench bench-quick bench-others lint sanitize size coverage clean

demo: $(VENV)/.rushlight $(VENV)/.train
	$(BIN)/rushlight fit examples/recipes/digits.toml

test: $(VENV)/.rushlight $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal -q tests

fuzz: $(VENV)/.rushlight $(VENV)/.test
	$(BIN)/python -m tests.serialization.fuzz $(FUZZ)

bench: $(VENV)/.rushlight $(VENV)/.bench
	$(BIN)/python -m bench

bench-quick: $(VENV)/.rushlight $(VENV)/.bench
	$(BIN)/python -m bench --quick

bench-others: $(VENV)/.rushlight $(VENV)/.bench
	$(BIN)/python -m bench --others

lint: $(VENV)/.rushlight $(VENV)/.lint
	$(BIN)/ruff check src tests bench examples
	$(BIN)/lint-imports
	$(BIN)/mypy

# The sanitized build is separate; the runtime must be loaded before Python.
SANITIZED := build/sanitize
sanitize: $(VENV)/.rushlight $(VENV)/.test
	PATH=$(CURDIR)/$(BIN):$$PATH cmake -G Ninja -S . -B $(SANITIZED)/cmake -DRUSHLIGHT_SANITIZE=ON \
	  -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python
	PATH=$(CURDIR)/$(BIN):$$PATH cmake --build $(SANITIZED)/cmake
	rm -rf $(SANITIZED)/package && mkdir -p $(SANITIZED)/package
	cp -r src/rushlight $(SANITIZED)/package/ && cp $(SANITIZED)/cmake/*.so $(SANITIZED)/package/rushlight/
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
	  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 PYTHONPATH=$(SANITIZED)/package \
	  $(BIN)/python -m pytest -q -s -p no:cacheprovider tests/ops tests/random tests/autograd

size:
	@git ls-files 'src/*.py' 'native/*' | xargs wc -l | sort -rn | head -25

coverage: $(VENV)/.rushlight $(VENV)/.test
	$(BIN)/python -m tests.coverage docs/coverage.md

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

# No build isolation: the build tools stay at one path, so that a rebuild compiles only what has changed.
$(VENV)/.build-tools: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet "scikit-build-core>=0.10" "nanobind>=2.4" cmake ninja
	@touch $@

$(VENV)/.rushlight: $(SOURCES) $(VENV)/.build-tools
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/pip install --quiet --no-build-isolation --force-reinstall --no-deps .
	$(BIN)/pip install --quiet "numpy>=1.26"
	@touch $@

$(VENV)/.train: pyproject.toml $(VENV)/.build-tools
	$(BIN)/python tools/extras.py train | xargs -d '\n' $(BIN)/pip install --quiet
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.train
	$(BIN)/python tools/extras.py test | xargs -d '\n' $(BIN)/pip install --quiet
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.test
	$(BIN)/python tools/extras.py bench | xargs -d '\n' $(BIN)/pip install --quiet
	@touch $@

$(VENV)/.lint: pyproject.toml $(VENV)/.build-tools
	$(BIN)/python tools/extras.py lint | xargs -d '\n' $(BIN)/pip install --quiet
	@touch $@

clean:
	rm -rf build $(VENV)
