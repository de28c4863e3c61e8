# `make demo` and `make test` set up what they need in .venv from a bare Python 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
BIN := .venv/bin

.PHONY: demo test lint docs soak bench clean

demo: .venv/ready
	@$(BIN)/c2srt demo

test: .venv/ready .venv/exiftool
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/mypy --platform win32 --no-warn-unreachable c2srt_cli
	@OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal

lint: .venv/ready
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .
	@$(BIN)/mypy

# docs/cli.md is what the commands' help says.
docs: .venv/ready
	@$(BIN)/python tools/cli_reference.py

# Kills embed, tag, train and build-graph, and compares what a repeated run leaves with an unbroken one; more kills of each:
# .venv/bin/python tools/soak.py --kills 20
soak: .venv/ready
	@$(BIN)/python tools/soak.py

bench: .venv/ready
	@for script in benchmarks/*.py; do $(BIN)/python $$script || exit; done

clean:
	rm -rf .venv demo

.venv/ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "c2srt needs Python 3.11 or newer: install it, or name it: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "c2srt needs Python 3.11 or newer, $(PYTHON) is older"; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv package"; exit 1; }
	@echo "setting up .venv (torch is large: a few minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt "pip>=25.1" \
		|| { echo "set-up failed: the package index cannot be reached (see above)"; exit 1; }
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[demo]' --group dev \
		|| { echo "set-up failed: some packages could not be installed (see above)"; exit 1; }
	@touch $@

# Sidecars are read back by exiftool where it can be installed; its tests say so where it cannot.
.venv/exiftool: .venv/ready
	@command -v exiftool >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		{ apt-get -qq update && apt-get -qq install -y --no-install-recommends libimage-exiftool-perl; } >/dev/null 2>&1; } || true
	@touch $@
