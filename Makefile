# Every habit of this repository. `make` alone lists them.
# PYTHON=/path/to/python3.11 chooses the interpreter.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SMALL_MODEL := qwen2.5-coder-0.5b
VLLM := .vllm
VLLM_MODEL := smollm2-135m
SYSTEMD := .systemd-tree
WORKERS ?= 2
KILLS ?= 1000
FUZZED := tests/attacks $(addprefix tests/property/test_,$(addsuffix .py,answer cli_visible_property containment_property evidence_fuzz \
  fronting_property note_frontmatter_property note_links_property note_text_property policy_locality_property \
  task_file_property)) tests/unit/test_chat_stream.py tests/unit/test_checkpoint.py tests/unit/test_hidden.py

.DEFAULT_GOAL := help
.PHONY: help system setup setup-dev models night clean-night test check format lint vllm-setup test-vllm test-systemd fuzz chaos bench bench-setup clean distclean
.DELETE_ON_ERROR:

help: ## list the habits
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

system: ## install what is needed from the system (FOR=night or test); as an ordinary user, say the command
	@.ci/system-packages $(or $(FOR),test)

setup: $(VENV)/.installed ## make the virtual environment and install Pantheon into it
setup-dev: $(VENV)/.installed-dev ## the same, with what tests and checks need

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "No Python found. Install Python 3.11 or newer, or say PYTHON=/path/to/python3." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11. Say PYTHON=/path/to/python3.11." >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || \
	  { echo "venv failed. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) install --quiet --upgrade pip
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	@echo "Installing Pantheon and what it needs; this takes a minute." >&2
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.made
	@echo "Installing Pantheon, what it needs and what its tests need; this takes a minute." >&2
	@$(PIP) install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed

models: setup ## fetch and verify the small model that the tests use
	@$(BIN)/pantheon models pull $(SMALL_MODEL)

night: setup ## one whole night over the sample notes: model, repository, queue, night, report
	@$(MAKE) --no-print-directory system FOR=night
	@$(BIN)/pantheon models pull
	@samples/first_night.sh $(BIN)/pantheon .night/repository

clean-night: ## forget the sample repository, so that the next `make night` starts over
	rm -rf .night

test: setup-dev models ## everything: checks and all tests, the small model and a browser included
	@$(MAKE) --no-print-directory system
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n $(WORKERS)

check: setup-dev format lint ## before a commit: format, lint, types, import direction, fast tests
	$(BIN)/python -m pytest -n $(WORKERS) tests/unit tests/property

format: setup-dev ## format the code
	$(BIN)/ruff format .

lint: setup-dev ## ruff, mypy --strict, import direction
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

vllm-setup: setup-dev $(VLLM)/.ready ## install vLLM for CPUs into an environment of its own and prepare a very small model

$(VLLM)/.ready: tests/vllm/requirements.txt tests/vllm/convert_model.py
	@"$(PYTHON)" -m venv $(VLLM)/venv
	@echo "Installing vLLM; this takes some minutes and 3 GiB." >&2
	@$(VLLM)/venv/bin/python -m pip --disable-pip-version-check install --quiet --requirement tests/vllm/requirements.txt
	@# Their wheels are built for CUDA and break the import of vLLM; it does not need them for text.
	@$(VLLM)/venv/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes torchvision torchaudio torchcodec
	@HF_HUB_OFFLINE=1 $(VLLM)/venv/bin/python tests/vllm/convert_model.py "$$($(BIN)/pantheon models pull $(VLLM_MODEL) | cut -f 2)" $(VLLM)/$(VLLM_MODEL)
	@touch $@

test-vllm: vllm-setup ## the contract, a real night and vLLM's own features against a real vLLM on this machine's CPU
	$(BIN)/python -m pytest -m vllm tests/vllm

$(SYSTEMD)/.ready:
	@command -v debootstrap systemd-nspawn >/dev/null || { echo "Install debootstrap and systemd-container." >&2; exit 1; }
	@rm -rf $(SYSTEMD)
	@debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3-minimal,libpython3-stdlib,git,procps bookworm $(SYSTEMD)
	@mkdir -p $(SYSTEMD)/opt/pantheon $(SYSTEMD)/opt/site $(SYSTEMD)/var/lib/project
	@touch $@

test-systemd: setup-dev $(SYSTEMD)/.ready ## the daemon under a real systemd in a container (as root, Python 3.11)
	PANTHEON_SYSTEMD_TREE=$(abspath $(SYSTEMD)) $(BIN)/python -m pytest -m systemd tests/integration/test_systemd_container.py

fuzz: setup-dev ## damage every format that anybody else writes, at random, many times (EXAMPLES=)
	PANTHEON_FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/python -m pytest -q -m hypothesis $(FUZZED)

chaos: setup-dev ## kill -9 a night at 1,000 random instants and count what breaks (KILLS=, SEED=)
	@$(BIN)/python -m pantheon.testing.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))

bench: setup-dev ## run every benchmark and print its table; peers too, once `make bench-setup` was run
	@mkdir -p .bench; set -e; for script in benchmarks/*.py benchmarks/engine/replay.py benchmarks/throughput/client.py; do \
	  echo "== $$script"; $(BIN)/python "$$script"; done
	@$(BIN)/python benchmarks/engine/run.py --json .bench/engine.json --markdown .bench/engine.md
	@$(BIN)/python benchmarks/engine/growth.py .bench/engine.json .bench/growth.svg

bench-setup: ## install the systems that the engine is measured beside, in an environment of their own
	@"$(PYTHON)" -m venv .bench/venv
	@.bench/venv/bin/python -m pip --disable-pip-version-check install --quiet --requirement benchmarks/engine/peers.txt

clean: ## remove caches and build results
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find pantheon tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean clean-night ## clean, and remove the virtual environment
	rm -rf $(VENV)
