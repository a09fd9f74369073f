# Each target makes .venv by itself from pyproject.toml and constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One thread a test process: threads that wait for each other are slower than none.
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.PHONY: demo test lint docs bench bench-gpu package clean

demo: $(INSTALLED)
	$(BIN)/mbrelease demo demo

test: $(INSTALLED)
	$(TEST_ENV) $(BIN)/pytest -n 2 --dist loadfile --durations 25 --durations-min 5

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet .github/workflows action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml

docs: $(INSTALLED)
	$(BIN)/python docs/generate_reference.py
	$(BIN)/mbrelease registry schema > registry.schema.json
	$(BIN)/python docs/generate_gallery.py
	$(BIN)/python docs/generate_graph.py

bench: $(INSTALLED)
	$(BIN)/python benchmarks/averaging.py
	$(BIN)/python benchmarks/cards.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/push.py
	$(BIN)/python benchmarks/registry.py
	$(BIN)/python benchmarks/retrieval.py
	$(BIN)/python benchmarks/selection.py
	$(BIN)/python benchmarks/selection_error_rates.py
	$(BIN)/python benchmarks/verify.py

bench-gpu: $(INSTALLED)
	$(BIN)/python benchmarks/evaluation.py --gpu

# Build the wheel, install it alone in a new environment, and look inside.
package: $(INSTALLED)
	rm -rf build/package && mkdir -p build/package
	$(BIN)/python -m build --wheel --no-isolation --outdir build/package .
	$(PYTHON) -m venv build/package/venv
	build/package/venv/bin/pip install --quiet --constraint constraints.txt build/package/*.whl
	cd build/package && venv/bin/mbrelease --version
	cd build/package && venv/bin/python ../../tests/check_package.py

clean:
	rm -rf $(VENV) build dist demo

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)
