# `make demo` answers a question from the documents in examples/; `make test` runs all that CI runs.
# Each sets up .venv first. PYTHON=/path/to/python chooses the interpreter it is made with.

export QUESTION = How long does a full battery last without any sun?
ENV = sh scripts/make-env.sh .venv

.PHONY: help demo test test-real test-all-pythons requirements clean

help:
	@echo "make demo               answer a question from the documents in examples/documents"
	@echo "make test               run everything that CI runs"
	@echo "make test-real          of these, only the tests against a real model on this machine"
	@echo "make test-all-pythons   run the tests on each Python from 3.11 to 3.14 that is installed"
	@echo "make requirements       pin the newest versions that pyproject.toml allows"
	@echo "make clean              remove the environment and all caches"

demo:
	@$(ENV) requirements/all.txt -e .
	@.venv/bin/tta ask "$$QUESTION" --docs examples/documents

test:
	@$(ENV) requirements/dev.txt -e .
	@.venv/bin/python scripts/check.py

test-real:
	@$(ENV) requirements/dev.txt -e .
	@.venv/bin/python scripts/check.py real

test-all-pythons:
	@$(ENV) requirements/dev.txt -e .
	@.venv/bin/python scripts/check.py python3.11 python3.12 python3.13 python3.14

requirements:
	@$(ENV) requirements/dev.txt -e .
	@.venv/bin/python scripts/pin.py

clean:
	rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
