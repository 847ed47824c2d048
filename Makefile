# GNU make 3.81 or newer, Linux and macOS. `make` alone lists the commands.

PROFILE ?= paper
FRESH ?= 0
# Which Python builds .venv; `make PYTHON=/path/to/python3.12 ...` names one.
PYTHON ?= python3.13 python3.12 python3.11 python3.14 python3 python

READY := .venv/.installed
VENV_PYTHON := .venv/bin/python

help:
	@echo "make figures   draw figures/ from the records (PROFILE=quick|smoke: smaller runs, FRESH=1: compute again)"
	@echo "make test      run the tests and check the notebooks"
	@echo "make records   compute what is missing of the paper's scale, write data/records/"
	@echo "make lab       open the notebooks in JupyterLab"
	@echo "make clean     remove .venv and build/"

figures: $(READY)
	@$(VENV_PYTHON) -m hetsyn_core.report.notebooks --profile $(PROFILE) $(if $(filter-out 0,$(FRESH)),--fresh)

# Only cells tagged nbval-check-output are compared; all cells must run. tests/conftest.py keeps
# the notebooks on profile smoke and away from figures/ and data/.
test: $(READY)
	@$(VENV_PYTHON) -m pytest tests notebooks --nbval-lax --nbval-current-env --nbval-cell-timeout=300

records: $(READY)
	@$(VENV_PYTHON) -m hetsyn_core.runs.experiments
	@$(VENV_PYTHON) -m hetsyn_core.report.claims

lab: $(READY)
	@HETSYN_PROFILE=$(PROFILE) $(VENV_PYTHON) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

clean:
	rm -rf .venv build

# The stamp holds the folder it was made in: a moved or copied checkout has a .venv that still points
# to the old place, so it is built again.
ifneq "$(shell cat $(READY) 2>/dev/null)" "$(CURDIR)"
$(READY): rebuild
endif

# The stamp comes last: an interrupted installation has none and is done again from an empty .venv.
$(READY): pyproject.toml
	@python=; found=; \
	for candidate in $(PYTHON); do \
	  version=`$$candidate -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null` || continue; \
	  found="$$found $$candidate is $$version;"; \
	  if $$candidate -c 'import sys; assert sys.version_info >= (3, 11); import venv, ensurepip' 2>/dev/null; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer with its venv module is needed (found:$${found:- none}): install one (Debian, Ubuntu: apt install python3-venv; macOS: brew install python) or name it: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	if [ ! -f $@ ] || [ "`cat $@`" != "$(CURDIR)" ]; then \
	  echo "Making .venv with $$python $$version"; \
	  rm -f $@; $$python -m venv --clear .venv || exit 1; \
	fi; \
	echo "Installing the packages of pyproject.toml into .venv (a minute or more, about 2 GB)"; \
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[test]' || exit 1; \
	echo "$(CURDIR)" > $@

.PHONY: help figures test records lab clean rebuild
