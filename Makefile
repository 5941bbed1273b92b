# make demo and make test work on a fresh clone by themselves: they make .venv first where it is missing.
# Another interpreter (3.11 to 3.13): make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := src tests benchmarks zoo studies

.PHONY: demo test check bench format clean

demo: $(READY)
	$(BIN)/acclimate demo --out demo-out

# A process for each core, each with one thread: two pools of threads on the same cores wait for each other.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

check: $(READY)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python benchmarks/run.py

format: $(READY)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# The stamp is written last, so that an interrupted installation is taken up again by the next make.
$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; got = sys.version_info[:2]; (3, 11) <= got <= (3, 13) or \
		sys.exit("got Python %d.%d; expected 3.11 to 3.13, such as: make PYTHON=python3.12" % got)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv -c constraints.txt
	$(BIN)/uv pip install --python $(BIN)/python -e '.[dev]' -c constraints.txt
	touch $(READY)

# Newest releases that all supported Pythons can install together; versions only, without addresses and hashes.
.PHONY: pins
pins: $(READY)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--quiet --no-header --no-annotate --output-file $(VENV)/pins
	{ echo '# Every package of every extra, for Python 3.11 to 3.13. Made by: make pins'; \
	  { sed 's/ *;.*//' $(VENV)/pins; $(BIN)/uv --version | sed 's/^uv \([^ ]*\).*/uv==\1/'; } | LC_ALL=C sort -u; } > constraints.txt

clean:
	rm -rf $(VENV) demo-out .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
