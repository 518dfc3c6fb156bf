# make book    execute every notebook at its defaults, build the book, say where to open it
# make test    lint, run the tests on all cores, compare every stored notebook output with a rerun
# make install make .venv alone: enough for the command line and for Python
# make clean   remove what the two made

PYTHON ?= $(or $(shell command -v python3.11 2>/dev/null),python3)
BIN := .venv/bin

.PHONY: book test install clean

book: .venv/.ready
	@$(BIN)/python notebooks/run.py
	@$(BIN)/jupyter-book build -q book/ >/dev/null
	@$(BIN)/python -c "from pathlib import Path; print('Open', Path('_build/html/index.html').resolve().as_uri())"

test: .venv/.ready
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --dist loadfile --no-loadscope-reorder

install: .venv/.ready

clean:
	rm -rf .venv _build

# The mark is set last: an environment left half made is made anew.
.venv/.ready: pyproject.toml constraints.txt
	@echo "Installing the versions of constraints.txt into .venv (once, a few minutes)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[book,peers,test]"
	@touch $@
