# Everything is made below .build; the work is in tests/run, scripts/demo and bench/run.
PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
RUN = $(or $(PYTHON),$(error Python 3.11 or newer is not on PATH)) tests/run

.PHONY: demo test lint sanity unit integration molecule bench clean

demo:
	$(or $(PYTHON),$(error Python 3.11 or newer is not on PATH)) scripts/demo

test:
	$(RUN)

lint sanity unit integration molecule:
	$(RUN) $@

bench:
	$(RUN) venv
	PATH="$(CURDIR)/.build/venv/bin:$$PATH" bench/run

# Go's module caches are read-only.
clean:
	chmod -R u+w .build .demo 2>/dev/null || true
	rm -rf .build .demo
