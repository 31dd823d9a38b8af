# make demo    install, train, export, quantize and benchmark on the embedded model and reviews
# make test    install what the tests need and run them
# make test-python PYTHON=python3.13   a wheel, and tests of each library, with another interpreter
# make test-lowest   the same at the lowest versions that pyproject.toml allows; KEEP=torch takes
#              torch's from constraints.txt
# make lint    format, lint, types, layers
# make docs    build the documentation into build/docs; a warning is an error
# make bench   reproduce the tables of docs/results (a night on 2 cores; needs data sets, see
#              docs/results/reproduce.md)
# make bench-peers   reproduce those beside other tools: two hours, most of them idle
#
# PYTHON=python3.12     another interpreter
# TORCH_INDEX=https://download.pytorch.org/whl/cpu
#                       take torch's CPU build where PyPI would give gigabytes of CUDA packages
# WORKERS=4             test in so many processes (2; 0: in pytest's own); ARGS is handed to pytest

PYTHON ?= python3
VENV ?= .venv
export TORCH_INDEX CONSTRAINTS

BIN := $(VENV)/bin
TRAIN := train optimum demo

# One thread for each process and what it starts: two processes share two cores.
WORKERS ?= 2
test test-python test-lowest test-transformers5: export OMP_NUM_THREADS ?= 1
# A worker has one half of the tests in order, so that most modules' fixtures are made once; who is
# done first takes over from the other.
PYTEST = -m pytest --numprocesses $(WORKERS) --dist worksteal

# The modules that carry the marker, so that pytest imports none that needs optimum, adapters or peft.
VERSIONS = $(shell grep -rl --include='test_*.py' mark.versions tests)
RUN_VERSIONS = -m "versions and not gpu and not data and not slow" $(VERSIONS) $(ARGS)

.PHONY: help demo test test-bare test-python test-lowest test-transformers5 lint docs bench bench-peers clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

demo:
	@$(PYTHON) scripts/install.py $(VENV) $(TRAIN)
	$(BIN)/edgeadapt train --output reviews --force
	$(BIN)/edgeadapt train --method full --output reviews-full --force
	$(BIN)/edgeadapt export reviews --quantize --max-drop 0.05 --force
	$(BIN)/edgeadapt export reviews-full --quantize --max-drop 0.05 --with-torch --force
	$(BIN)/edgeadapt bench --quick reviews reviews-full

test:
	@$(PYTHON) scripts/install.py $(VENV) $(TRAIN) test interop
	$(BIN)/python $(PYTEST) -m "not gpu and not data" $(ARGS)

# The device tier alone, from a wheel, in an environment that never saw torch or the checkout.
test-bare:
	@$(PYTHON) scripts/install.py --wheel $(VENV)-bare
	$(VENV)-bare/bin/python -I tests/bare_install.py

test-python:
	@$(PYTHON) scripts/install.py --wheel $(VENV)-python-bare
	$(VENV)-python-bare/bin/python -I tests/bare_install.py
	@$(PYTHON) scripts/install.py $(VENV)-python train test
	$(VENV)-python/bin/python $(PYTEST) $(RUN_VERSIONS)

test-lowest: export CONSTRAINTS = build/constraints-lowest.txt
test-lowest:
	@$(PYTHON) scripts/lowest_versions.py $(CONSTRAINTS)
	@$(PYTHON) scripts/install.py --wheel $(VENV)-lowest-bare
	$(VENV)-lowest-bare/bin/python -I tests/bare_install.py --any-size
	@$(PYTHON) scripts/lowest_versions.py $(CONSTRAINTS) train test --keep $(KEEP)
	@$(PYTHON) scripts/install.py $(VENV)-lowest train test
	$(VENV)-lowest/bin/python $(PYTEST) $(RUN_VERSIONS)

# The newest transformers, where optimum cannot be installed: the modules that carry the marker, so
# that pytest imports none that needs optimum, adapters or peft.
test-transformers5: TRANSFORMERS5 = $(shell grep -rl --include='test_*.py' mark.transformers5 tests)
test-transformers5:
	@CONSTRAINTS=constraints-transformers5.txt \
	$(PYTHON) scripts/install.py $(VENV)-transformers5 train test
	$(VENV)-transformers5/bin/python $(PYTEST) -k "not optimum" \
	-m "transformers5 and not gpu and not data and not slow" $(TRANSFORMERS5) $(ARGS)

lint:
	@$(PYTHON) scripts/install.py $(VENV) $(TRAIN) test lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs:
	@$(PYTHON) scripts/install.py $(VENV)-docs docs
	$(VENV)-docs/bin/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet \
	-b html docs build/docs
	@echo "build/docs/index.html"

bench:
	@$(PYTHON) scripts/install.py $(VENV) $(TRAIN) test interop
	$(BIN)/python benchmarks/reviews.py
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/quantization.py
	$(BIN)/python benchmarks/compression.py
	$(BIN)/python benchmarks/compression.py --time
	$(BIN)/python benchmarks/ranking.py
	$(BIN)/python benchmarks/recovery.py
	$(BIN)/python benchmarks/early_exit.py
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/stability.py
	$(BIN)/python benchmarks/cores.py
	$(BIN)/python benchmarks/layer_costs.py
	$(BIN)/python benchmarks/layer_costs.py bert-base
	$(BIN)/python benchmarks/kinds.py
	$(BIN)/python benchmarks/backbones.py
	$(BIN)/python benchmarks/footprint.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/tables.py

# Each peer in an environment of its own under artifacts/peers.
bench-peers:
	@$(PYTHON) scripts/install.py $(VENV) $(TRAIN) test interop
	$(BIN)/python benchmarks/accuracy.py sst2:adapter:0
	$(BIN)/python benchmarks/quantization.py sst2:0:default
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/loadgen.py
	$(BIN)/python benchmarks/measuring.py
	$(BIN)/python benchmarks/tables.py

clean:
	rm -rf $(VENV) $(VENV)-bare $(VENV)-docs $(VENV)-lowest $(VENV)-lowest-bare $(VENV)-python \
	$(VENV)-python-bare $(VENV)-transformers5 .mypy_cache .ruff_cache .pytest_cache build dist
