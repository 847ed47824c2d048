# make figures | make test | make lab: each sets itself up in .venv first.
PROFILE ?= quick
FOUND := $(firstword $(foreach p,python3.13 python3.12 python3.11 python3 python,$(shell \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
PYTHON ?= $(FOUND)
BIN := .venv/bin

.PHONY: figures test lab clean

# Written last, so that an interrupted installation is done again.
.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "HetSyn needs Python 3.11 or newer: install it, or name one with make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing into .venv (about a minute) ..."
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

figures: .venv/installed
	@$(BIN)/python -m hetsyn_core.figures --profile $(PROFILE)

test: .venv/installed
	@$(BIN)/python -m pytest -q

lab: .venv/installed
	@$(BIN)/jupyter lab --notebook-dir=.

clean:
	rm -rf .venv build *.egg-info
