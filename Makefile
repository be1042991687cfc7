# Everything runs in .venv, made at the first use. `make run` and `make test` are all that a newcomer needs.

SHELL := /bin/sh
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
  INSTALL = uv pip install --quiet --python .venv/bin/python
else
  INSTALL = .venv/bin/python -m pip install --quiet --disable-pip-version-check
endif
GRAPHIQL = holdfast/graphiql
GRAPHIQL_SOURCES := $(shell find $(GRAPHIQL) -type f \
  -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.py' -not -name '*.pyc')
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --custom-compile-command 'make lock' pyproject.toml

.PHONY: help run install test lint types format graphiql features bench soak soak-jobs peers lock clean

help:
	@echo 'make run       install, start PostgreSQL, fill in demo data, serve on http://127.0.0.1:8000'
	@echo 'make test      lint, types and every test'
	@echo 'make format    format the sources       make lint, make types   check them'
	@echo 'make features  list the capabilities and the tests that show them'
	@echo 'make bench     what it reaches, beside bare baselines and servers on Node, in 7 minutes'
	@echo 'make soak      10,000 idle subscriptions for 5 minutes, then one change (MINUTES=5)'
	@echo 'make soak-jobs 1,000 jobs on one worker, each with its login and booking (JOBS=1000)'
	@echo 'make lock      renew requirements.lock and requirements-dev.lock (needs uv)'
	@echo 'make clean     remove .venv and what is built; data in var/ stays'

run: install graphiql .venv/.browser
	@exec .venv/bin/holdfast serve

install: .venv/.installed

# Tests start a hundred servers: where nothing compiled may be kept, each would compile all of us again.
test: .venv/.installed-dev graphiql
	@unset PYTHONDONTWRITEBYTECODE; start=$$(date +%s); \
	$(MAKE) --no-print-directory lint types && .venv/bin/pytest -n 3 --dist loadfile; code=$$?; \
	echo "make test: $$(( $$(date +%s) - start )) s"; exit $$code

lint: .venv/.installed-dev
	@.venv/bin/ruff check --quiet . && .venv/bin/ruff format --check --quiet . && .venv/bin/lint-imports > .venv/imports.log \
	  || { cat .venv/imports.log 2>/dev/null; exit 1; }

types: .venv/.installed-dev
	@.venv/bin/mypy --no-error-summary

format: .venv/.installed-dev
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format .

features: .venv/.installed-dev
	@.venv/bin/python -m tests.features

bench: .venv/.installed-dev peers
	@.venv/bin/python -m bench $(BENCH)

soak: .venv/.installed-dev
	@.venv/bin/python -m bench.soak $(MINUTES)

soak-jobs: .venv/.installed-dev
	@.venv/bin/python -m bench.soak_jobs $(JOBS)

peers: bench/peers/node_modules/.package-lock.json

bench/peers/node_modules/.package-lock.json: bench/peers/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
	  cd bench/peers && npm ci --silent --no-audit --no-fund && touch node_modules/.package-lock.json \
	    || echo 'npm failed: the rows against servers on Node are left out.'; \
	else \
	  echo 'No npm here: the rows against servers on Node are left out.'; \
	fi

graphiql: $(GRAPHIQL)/dist/graphiql.js

$(GRAPHIQL)/dist/graphiql.js: $(GRAPHIQL_SOURCES)
	@if command -v npm >/dev/null 2>&1; then \
	  cd $(GRAPHIQL) && npm ci --silent --no-audit --no-fund && npm run --silent build >/dev/null 2>&1 \
	    || echo 'npm failed: GraphiQL loads its scripts from a CDN.'; \
	else \
	  echo 'No npm here: GraphiQL loads its scripts from a CDN.'; \
	fi

.venv/.made:
	@test -x .venv/bin/python || if [ -n '$(UV)' ]; then \
	  uv venv --quiet --python '>=3.11' .venv; \
	else \
	  for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	  done; \
	  test -n "$$python" || { echo 'Holdfast needs Python 3.11 or newer (or uv), and found neither.'; exit 1; }; \
	  "$$python" -m venv .venv || { rm -rf .venv; echo 'Python has no venv: on Debian, apt install python3-venv'; exit 1; }; \
	fi
	@touch $@

.venv/.installed: requirements.lock pyproject.toml | .venv/.made
	@echo 'Installing ...'
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --editable .
	@touch $@

# Once: jobs at portals need a browser, and nothing else does. `rm .venv/.browser` has it tried again.
.venv/.browser: | .venv/.installed
	@.venv/bin/python -m automation.browsers.obtaining; touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

lock:
	@$(LOCK) --output-file requirements.lock $(UPGRADE)
	@$(LOCK) --group dev --constraint requirements.lock --output-file requirements-dev.lock $(UPGRADE)

clean:
	@rm -rf .venv build *.egg-info $(GRAPHIQL)/dist $(GRAPHIQL)/node_modules bench/peers/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
