# Every target sets up what it needs: a .venv with the pinned versions, rebuilt only when the pins change.
# The first Python that runs: pyenv also has commands for versions that are not enabled.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do $$p -c 1 2>/dev/null && command -v $$p && break; done)
VENV := .venv
PYTHONS ?= 3.10 3.11 3.12 3.13
RUN := $(VENV)/bin/python
PINS := requirements.txt requirements-dev.txt pyproject.toml lib/wslpet/cli/serving/setup.py
READY := $(VENV)/ready-$(shell cat $(PINS) | cksum | cut -d' ' -f1)
# The site generator has its own environment, since its packages are not part of the deployment.
DOCS_VENV := .venv-docs
DOCS_READY := $(DOCS_VENV)/ready-$(shell cksum < requirements-docs.txt | cut -d' ' -f1)
# Package index with CPU builds of torch, from PyTorch's page "Get started". By default pip installs a build with CUDA.
TORCH_INDEX ?=
HOST ?= 127.0.0.1
PORT ?= 8000
# URL of an OpenID Connect issuer, which turns accounts on; see SECURITY.md.
OIDC ?=
ACCOUNTS := $(if $(OIDC),MONAI_LABEL_AUTH_ENABLE=true MONAI_LABEL_AUTH_REALM_URI="$(OIDC)")
DEMO ?= demo/fed
START = exec env PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(ACCOUNTS) $(RUN) -m wslpet
# Not 8042, which an Orthanc that is installed already uses.
PACS_PORT ?= 8142
PACS := http://127.0.0.1:$(PACS_PORT)/dicom-web

# The study's phantoms have random seeds of their own: neither those of the training nor those of the end-to-end figures.
STUDY := work/study
# How much study-real trains: small, full, or try. Its checks: fewer clicked patients, other folds and random seeds.
PLAN ?= full
CHECKS ?= --curve --repeats 2

.PHONY: help setup demo demo-clicks demo-score demo-pacs serve test test-fast coverage test-pythons test-oldest-newest test-viewers lint docs e2e bench \
  study study-full study-real pretrain kills fuzz soak audit clean _serve-pacs

help:
	@echo "make demo              phantom cohort, server on http://$(HOST):$(PORT)"
	@echo "make demo-clicks       in another terminal: simulated clicks, a training, and the improvement"
	@echo "make demo-score        evaluates the weights in use on the demo's patients without a click"
	@echo "make demo-pacs         phantoms as DICOM on a PACS (Orthanc), for OHIF; installs it"
	@echo "make test              set up and run the tests"
	@echo "make test-fast         the tests that start no server and train nothing, in two minutes"
	@echo "make test-pythons      set-up, demo and fast tests on Python 3.10 to 3.13, from clean clones"
	@echo "make test-oldest-newest  fast tests without PyTorch on Python 3.10 and 3.13"
	@echo "make coverage          the tests, and which lines of the package they run"
	@echo "make test-viewers      the page and OHIF in Chromium, 3D Slicer's requests; installs what they need"
	@echo "make lint              ruff and mypy"
	@echo "make docs              the documentation as a site: work/site/index.html"
	@echo "make serve STUDIES=DIR server on your own scans: NIfTI in SUV, DICOM PET, or a DICOMweb address"
	@echo "make e2e               clicks, training and masks over HTTP, with figures"
	@echo "make bench             speed and memory, against the limit and MONAI Label's usual way"
	@echo "make study             the paper's comparison on 60 phantom patients, short: work/study/small/report.html"
	@echo "make study-full        the same on 100 hard phantoms, with longer trainings: under an hour"
	@echo "make study-real MIPS=DIR  the comparison on MIPs of real people with masks, resumable: some hours"
	@echo "make kills             the server and its writers killed 200 times each, nothing lost"
	@echo "make fuzz              ten minutes of made-up requests, no failure"
	@echo "make soak              a server at work for half an hour, plotted"
	@echo "make audit             known advisories about what is installed"
	@echo "make pretrain          train model/pretrained_wslpet.pt and model/segmenter.pt on phantoms"

setup: $(READY)

$(READY): $(PINS)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else "Python %d.%d found, 3.10 to 3.13 needed: make PYTHON=/path/to/python3.11" % v)'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q --disable-pip-version-check $(shell grep ^pip== requirements.txt)
	$(if $(TORCH_INDEX),$(RUN) -m pip install -q --disable-pip-version-check --index-url $(TORCH_INDEX) $(shell grep ^torch== requirements.txt))
	$(RUN) -m pip install -q --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(RUN) -m pip install -q --disable-pip-version-check --no-deps -e .
	$(RUN) -m wslpet setup
	touch $@

demo: setup
	@$(START) demo $(DEMO) --host $(HOST) --port $(PORT) $(ARGS)

demo-clicks: setup
	@$(RUN) -m wslpet demo-clicks $(DEMO) --url http://127.0.0.1:$(PORT)

demo-score: setup
	@$(RUN) -m wslpet demo-clicks $(DEMO) --url http://127.0.0.1:$(PORT) --clicks 0

demo-pacs: setup
	@tools/debian-packages orthanc orthanc-dicomweb
	@test -f demo/dicom-truth/cohort.csv || \
	  $(RUN) -m wslpet phantom demo/dicom --patients 12 --preset plain --seed 2024 --orientation LPS --dicom
	@$(RUN) -m wslpet pacs demo/pacs --port $(PACS_PORT) --load demo/dicom --run $(MAKE) --no-print-directory _serve-pacs

_serve-pacs:
	@export MONAI_LABEL_DICOMWEB_CACHE_PATH="$(CURDIR)/demo/dicomweb"; $(START) serve $(PACS) --host $(HOST) --port $(PORT) --welcome long $(ARGS)

serve: setup
	@test -n "$(STUDIES)" || { echo "make serve STUDIES=folder of scans, or http://host:port/dicom-web"; exit 2; }
	@$(START) serve "$(STUDIES)" --host $(HOST) --port $(PORT) $(ARGS)

test: setup
	$(RUN) -m pytest -n 2 --dist loadfile $(ARGS)

# From clean clones of HEAD, one environment per Python version; the table is in work/pythons.
test-pythons:
	tools/try-pythons $(PYTHONS)

# The oldest and the newest Python; a Python that is missing is named.
test-oldest-newest: setup
	tools/test-light 3.10 3.13

test-fast: setup
	$(RUN) -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

# Lines that run only in a server process are not counted, since it is another process.
coverage: setup
	$(RUN) -m pytest -n 2 --dist loadfile --cov --cov-report=term $(ARGS)

# A missing viewer fails here. In `make test` its tests are skipped, unless VIEWERS=required.
test-viewers: setup
	@tools/debian-packages orthanc orthanc-dicomweb chromium
	VIEWERS=required $(RUN) -m pytest tests/browser $(ARGS)

lint: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

# The site's page of commands is generated from their help texts, for which the package must be installed.
docs: setup $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 WSLPET_PYTHON=$(RUN) $(DOCS_VENV)/bin/python -m mkdocs build --strict --quiet
	@echo work/site/index.html

$(DOCS_READY): requirements-docs.txt
	rm -rf $(DOCS_VENV)
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install -q --disable-pip-version-check -r requirements-docs.txt
	touch $@

e2e: setup
	$(RUN) -m benchmarks.end_to_end $(ARGS)

bench: setup
	$(RUN) -m benchmarks.speed $(ARGS)

# Both go on where they were interrupted. The full one's report is the one in docs/study/phantom.
study: setup
	@test -f $(STUDY)/plain-truth/cohort.csv || $(RUN) -m wslpet phantom $(STUDY)/plain --patients 60 --preset plain --seed 81
	OMP_NUM_THREADS=1 $(RUN) -m wslpet study $(STUDY)/plain --out $(STUDY)/small --plan small --resume $(ARGS)

study-full: setup
	@test -f $(STUDY)/hard-truth/cohort.csv || $(RUN) -m wslpet phantom $(STUDY)/hard --patients 100 --preset hard --seed 82
	OMP_NUM_THREADS=1 $(RUN) -m wslpet study $(STUDY)/hard --out $(STUDY)/full --plan full --resume $(ARGS)
	mkdir -p docs/study/phantom
	cd $(STUDY)/full && cp -r tables.md tables.tex report.html figures $(CURDIR)/docs/study/phantom/

# Images and networks that learned from them stay in work; the report has tables and curves only.
study-real: setup
	@test -n "$(MIPS)" || { echo "make study-real MIPS=folder of MIPs with masks (docs/reference/mips.md)"; exit 2; }
	OMP_NUM_THREADS=1 $(RUN) -m wslpet study "$(MIPS)" --out $(STUDY)/real --plan $(PLAN) --resume $(CHECKS) $(ARGS)
	mkdir -p docs/study/real
	cd $(STUDY)/real && cp -r tables.md tables.tex report.html figures $(CURDIR)/docs/study/real/

kills: setup
	KILLS=200 SERVER_KILLS=200 $(RUN) -m pytest tests/security/test_kills.py $(ARGS)

fuzz: setup
	FUZZ_SECONDS=600 $(RUN) -m pytest tests/security/test_fuzz.py $(ARGS)

soak: setup
	$(RUN) -m benchmarks.soak $(ARGS)

# --strict: a package that the advisory service does not know is an error. The exception's reason is in SECURITY.md.
audit: setup
	mkdir -p work
	$(RUN) -m pip list --format=freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > work/installed.txt
	$(RUN) -m pip_audit --requirement work/installed.txt --no-deps --disable-pip --strict --ignore-vuln CVE-2025-69872 $(ARGS)

pretrain: setup
	OMP_WAIT_POLICY=PASSIVE $(RUN) -m wslpet.data.pretraining.weights $(ARGS)
	$(RUN) -m wslpet.data.pretraining.segmenter

clean:
	rm -rf $(VENV) $(DOCS_VENV) demo work
