# GNU make 3.81 or newer, Linux and macOS. `make` alone lists the commands.

PROFILE ?= paper
FRESH ?= 0
# Which Python builds .venv; `make PYTHON=/path/to/python3.12 ...` names one.
PYTHON ?= python3.13 python3.12 python3.11 python3.14 python3 python
# For these every version in constraints.txt has a wheel, on Linux (x86-64, ARM) and on macOS (Apple silicon).
PYTHONS := 3.11 3.12 3.13 3.14

# Two stamps: what the notebooks need, and what the tests, the site and grading need besides. A stamp is
# written last, so what was interrupted is done again; the first holds the folder it was made in.
READY := .venv/.installed
TOOLS := .venv/.installed-test
VENV_PYTHON := .venv/bin/python
PIP_INSTALL := $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt

# On Linux pip takes the CUDA build of torch, unless a further index offers it the one for the CPU.
ifeq "$(shell uname)$(PIP_EXTRA_INDEX_URL)" "Linux"
SIZE := several GB with torch for GPUs; about 2 GB with PIP_EXTRA_INDEX_URL set to the address that the selector on pytorch.org shows for Linux, pip, CPU
else
SIZE := about 2 GB
endif

help:
	@echo "make figures   draw figures/ from the records (PROFILE=quick|smoke: smaller runs, FRESH=1: compute again)"
	@echo "make site      build the site, build/site/index.html"
	@echo "make browser   look at the site and at every notebook in JupyterLab with chromium"
	@echo "make test      check style, run the tests and the notebooks"
	@echo "make records   compute what is missing of the paper's scale, write data/records/"
	@echo "make lab       open the notebooks in JupyterLab"
	@echo "make coursework  exercises for students (build/coursework/), without solutions"
	@echo "make grade     SUBMISSIONS=folder: grade what comes back (build/grades/), see docs/teaching.md"
	@echo "make clean     remove .venv and build/"

figures: $(READY)
	@$(VENV_PYTHON) -m tools.figures --profile $(PROFILE) $(if $(filter-out 0,$(FRESH)),--fresh)

site: $(TOOLS)
	@$(VENV_PYTHON) -m tools.site

browser: $(TOOLS)
	@HETSYN_BROWSER=all $(VENV_PYTHON) -m pytest tests/test_site.py tests/test_browser.py -rs

coursework: $(TOOLS)
	@$(VENV_PYTHON) -m tools.coursework.assign $(if $(SOURCES),--sources "$(SOURCES)")

grade: $(TOOLS)
	@$(if $(SUBMISSIONS),,$(error which folder? make grade SUBMISSIONS=folder, with a folder per student in it))
	@$(VENV_PYTHON) -m tools.coursework.grade "$(SUBMISSIONS)" $(if $(SOURCES),--sources "$(SOURCES)")

# pytest runs the notebooks too, by nbval, and first: see pyproject.toml and conftest.py. Two of its processes share the
# files of tests: what a file makes once for its tests is made once.
test: $(TOOLS)
	@$(VENV_PYTHON) -m ruff format --check --quiet
	@$(VENV_PYTHON) -m ruff check --quiet
	@$(VENV_PYTHON) -m pytest -n 2 --dist loadscope --no-loadscope-reorder

records: $(READY)
	@$(VENV_PYTHON) -m hetsyn_core.runs.experiments
	@$(VENV_PYTHON) -m hetsyn_core.results.ledger

# .jupyter/ turns JupyterLab's question about news off, and its search for updates.
lab: $(READY)
	@HETSYN_PROFILE=$(PROFILE) JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	  $(VENV_PYTHON) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

clean:
	rm -rf .venv build

# A moved or copied checkout has a .venv that still points to the old place, so it is built again.
ifneq "$(shell cat $(READY) 2>/dev/null)" "$(CURDIR)"
$(READY): rebuild
endif

# Without its stamp .venv is made from nothing: an interrupted installation leaves none.
$(READY): pyproject.toml constraints.txt
	@python=; found=; \
	for candidate in $(PYTHON); do \
	  version=`$$candidate -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null` || continue; \
	  found="$$found $$candidate is $$version;"; \
	  case " $(PYTHONS) " in *" $$version "*) ;; *) continue ;; esac; \
	  if $$candidate -c 'import venv, ensurepip' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "One of Python $(PYTHONS) with its venv module is needed (found:$${found:- none}): install one (Debian, Ubuntu: apt install python3-venv; macOS: brew install python@3.13) or name it: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	if [ ! -f $@ ] || [ "`cat $@`" != "$(CURDIR)" ]; then \
	  echo "Making .venv with $$python $$version: a minute or more, $(SIZE)"; \
	  rm -f $@; $$python -m venv --clear .venv || exit 1; \
	fi; \
	echo "Installing the versions of constraints.txt into .venv"; \
	$(PIP_INSTALL) -e . || exit 1; \
	echo "$(CURDIR)" > $@

$(TOOLS): $(READY)
	@echo "Installing what the tests, the site and grading need besides: about 1 GB more"
	@$(PIP_INSTALL) -e '.[test]'
	@touch $@

.PHONY: help figures site browser coursework grade test records lab clean rebuild
