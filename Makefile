# Everything a developer does, one command each. `make` alone lists them.
#
# PY picks the interpreter: `make test PY=/usr/bin/python3.14`. The default one lives in .venv, another in
# .venv-VERSION. Rust is built for that interpreter, in release mode, once.

PY ?= python3
VERSION := $(shell $(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := $(if $(filter python3,$(PY)),.venv,.venv-$(VERSION))
PYTHON := $(VENV)/bin/python
# One answer to «for which Python», so that cargo never builds the extension twice.
export PYO3_PYTHON := $(abspath $(PYTHON))
# Cargo and pip say what goes wrong; the rest is noise.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
WHEELS := $(VENV)/wheels
TYPED := python/rondeau tests/typing examples
# Test runs of one Python: both drivers, unless told. `default` leaves the choice to the probe.
DRIVERS ?= default epoll

.PHONY: help run build test test-rust test-python differential fuzz quiet conformance upstream faults page soak valgrind asan asan-rust miri msrv refcounts ecosystem check format bench bench-rust clean

help:
	@echo 'make run          build, then cook the kitchen in Python, with a page of who waited for what, and in Rust'
	@echo 'make build        leave $(PYTHON) with rondeau installed, in release mode'
	@echo 'make test         every test, Rust and Python, with and without io_uring'
	@echo 'make test-rust    only these'
	@echo 'make test-python  only these; TESTS="tests/test_tcp.py -k echo" picks some'
	@echo 'make differential 100,000 random programs with asyncio and with the native names; PROGRAMS=1000 for fewer; what follows a write, WRITES=1000'
	@echo 'make fuzz         100,000 programs of each kind that try to end the process by a signal, to hang it, or to see a difference from asyncio;'
	@echo '                  PROGRAMS=1000 for fewer, ONLY="calls traces" picks kinds, SEED=calls:411 repeats one'
	@echo 'make quiet        10,000 runs of a loop beside processes that compute: the watchdog reports nothing; RUNS=1000 for fewer'
	@echo 'make upstream     the test suites of aiofiles, aioftp, aiohttp, anyio, janus, uvicorn, websockets and Tornado, on Rondeau; ONLY="anyio" picks one, NATIVE=1 tests all that is native'
	@echo 'make conformance  the own asyncio tests of the interpreter, on Rondeau; ONLY="test_events" picks some, NATIVE=1 tests all that is native'
	@echo 'make faults       fail each system call and each allocation in turn and look at what is left; FAULTS="--only streams --call accept" picks some'
	@echo 'make ecosystem    programs of ours with aiohttp, uvicorn, grpc, PostgreSQL, Redis, Dask ..., on asyncio and on Rondeau; ONLY="redis" picks some'
	@echo 'make page         the page of a recording in a real headless Chromium: clicks, keys, hostile names, 10,000 tasks, contrast'
	@echo 'make soak         500 loops, a million connections, a million tasks: memory and descriptors do not grow'
	@echo 'make valgrind     the programs of faults/ under valgrind'
	@echo 'make asan         the tests, and each failing call, with AddressSanitizer in our Rust'
	@echo 'make asan-rust    the tests of the Rust crates with AddressSanitizer, with and without io_uring'
	@echo 'make miri         tasks, wakers and the end of loops under Miri (rustup toolchain nightly, with miri and rust-src): some minutes'
	@echo 'make msrv         the oldest Rust that Cargo.toml names compiles all of it'
	@echo 'make refcounts    the tests on a debug interpreter (PY=python3-dbg): no run leaves a reference behind'
	@echo 'make check        formatting, clippy, rustdoc, ruff, mypy, and what msrv does'
	@echo 'make format       let rustfmt and ruff have their way'
	@echo 'make bench        Python: the table of ratios; ONLY="echo" picks some, FULL=1 takes all sizes, JSON=file keeps the figures,'
	@echo '                  BEFORE=COMMIT measures what changed since that commit'
	@echo 'make bench-rust   Rust: against tokio and smol; ONLY="timers" picks some, ONLY=growth shows memory and time of many'
	@echo 'make clean        remove what was built'
	@echo
	@echo 'PY=/path/to/python picks another interpreter (now: $(PY), Python $(VERSION), in $(VENV))'

# The environment, with everything that builds, tests and lints. Made anew when what it should contain changes.
$(VENV)/.ready: pyproject.toml
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Rondeau needs Python 3.11 or newer; PY=... picks one")'
	$(PY) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --upgrade 'pip>=25.1'
	$(PYTHON) -m pip install --quiet 'maturin>=1.8,<2' --group lint
	@touch $@

# Cargo knows whether anything changed; a wheel that is the same is not installed again.
build: $(VENV)/.ready
	@rm -rf $(WHEELS)
	$(VENV)/bin/maturin build --quiet --release --compatibility linux --interpreter $(PYTHON) --out $(WHEELS)
	$(PYTHON) -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/rondeau-*.whl

# The guest says after nine tenths of a second what goes on the cake; meanwhile everything else is on the stove.
run: build
	@echo '--- the kitchen in Python, on Rondeau'
	@mkdir -p target
	@(sleep 0.9; echo cherries) | $(PYTHON) -m rondeau trace --out target/ examples/kitchen.py
	@cargo build --quiet --release --package rondeau --example kitchen
	@echo; echo '--- the kitchen in Rust'
	@(sleep 0.6; echo cherries) | cargo run --quiet --release --package rondeau --example kitchen

test: test-rust test-python

# What threads share is run by loom too: every interleaving of its atomics. Loom has a target folder of its own, since its
# flag would have everything else built anew.
test-rust: $(VENV)/.ready
	cargo test --quiet --workspace --all-features
	RONDEAU_DRIVER=epoll cargo test --quiet --workspace --all-features
	RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR=target/loom cargo test --quiet --package rondeau-core --test loom_inbox --release
	RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR=target/loom cargo test --quiet --package rondeau --lib --release

# The command line does not depend on the driver; its tests, a process each, are run once.
test-python: build
	@set -e; skip=; for driver in $(DRIVERS); do \
	  if [ $$driver = default ]; then unset RONDEAU_DRIVER; else export RONDEAU_DRIVER=$$driver; fi; \
	  echo "--- Python $(VERSION), RONDEAU_DRIVER=$${RONDEAU_DRIVER:-(not set)}"; \
	  $(PYTHON) -m pytest --quiet $$skip $(TESTS); \
	  skip=--ignore=tests/test_cli.py; \
	done

# Into target/upstream goes what this fetches. SOURCES=folder is looked into first, for archives named NAME-VERSION.tar.gz.
upstream: build
	$(PYTHON) upstream/run.py --wheel $(WHEELS)/rondeau-*.whl $(if $(NATIVE),--native) $(if $(SOURCES),--sources $(SOURCES)) $(ONLY)

# The tests are the interpreter's: PY must have its package `test` (Debian: libpythonX.Y-testsuite).
# The limit of a minute a test is not for this one.
differential: build
	PROGRAMS=$(or $(PROGRAMS),100000) $(PYTHON) -m pytest --quiet -o faulthandler_timeout=0 tests/test_native_differential.py
	WRITES=$(or $(WRITES),20000) $(PYTHON) -m pytest --quiet -o faulthandler_timeout=0 tests/test_write_differential.py

# Hours. PYTHONMALLOC=debug in the environment is obeyed.
fuzz: build
	nice $(PYTHON) fuzz/run.py --programs $(or $(PROGRAMS),100000) $(if $(SEED),--seed $(SEED)) $(foreach kind,$(ONLY),--only $(kind))

# Some minutes: eight processes a processor compute meanwhile.
quiet: build
	RUNS=$(or $(RUNS),10000) $(PYTHON) -m pytest --quiet -o faulthandler_timeout=0 tests/test_watchdog_fooled.py

conformance: build
	$(PYTHON) conformance/run.py $(if $(NATIVE),--native) $(foreach text,$(ONLY),--only $(text))

faults: build
	$(PYTHON) -W ignore faults/sweep.py $(FAULTS)
	$(PYTHON) -W ignore faults/cancel.py
	$(PYTHON) -W ignore faults/memory.py

# Twenty minutes: 500 loops, a million connections, a million tasks. SOAK="--lifetimes 50 --connections 50000" is less.
soak: build
	nice $(PYTHON) -W ignore faults/soak.py $(SOAK)

# Python's own allocator would hide an object that is used after its end. Without io_uring, which valgrind does not know whole.
valgrind: build
	cd faults && RONDEAU_DRIVER=epoll PYTHONMALLOC=malloc valgrind --quiet --error-exitcode=9 --num-callers=24 \
	  $(abspath $(PYTHON)) -W ignore once.py

# AddressSanitizer watches each read and write of our Rust, through the tests and through every failing call. Its library is the C
# compiler's, loaded before the interpreter, which is not built with it; Python's own allocator would hide what is freed. RUSTC_BOOTSTRAP
# has a stable compiler take the -Z flags. A report ends the process, and is in target/asan/report.*. Left out are processes of their own, and
# what asks that nothing take long, which is not so here.
ASAN := target/asan
ASAN_TESTS = -o faulthandler_timeout=600 $(foreach name,cli watchdog_fooled,--ignore=tests/test_$(name).py) $(TESTS)
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
asan: build
	RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address -Zexternal-clangrt' \
	  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=1 CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true \
	  cargo build --quiet --release --package rondeau-python --target $(HOST) --target-dir $(ASAN)
	rm -rf $(ASAN)/site $(ASAN)/report.* && mkdir -p $(ASAN)/site && cp -r python/rondeau $(ASAN)/site/
	cp $(ASAN)/$(HOST)/release/lib_core.so $(ASAN)/site/rondeau/_core.so
	export PYTHONPATH=$(abspath $(ASAN)/site) PYTHONMALLOC=malloc LD_PRELOAD=$$(cc -print-file-name=libasan.so) \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path=$(abspath $(ASAN))/report && \
	  $(PYTHON) -m pytest --quiet $(ASAN_TESTS) && \
	  RONDEAU_DRIVER=epoll $(PYTHON) -m pytest --quiet $(ASAN_TESTS) && \
	  $(PYTHON) -W ignore faults/sweep.py $(FAULTS)

# The Rust face by itself; the toolchain's own runtime is linked in. Left out are tests that run cargo, and leaks: some tests leak on purpose.
asan-rust:
	@set -e; for driver in $(DRIVERS); do \
	  if [ $$driver = default ]; then unset RONDEAU_DRIVER; else export RONDEAU_DRIVER=$$driver; fi; \
	  echo "--- AddressSanitizer, RONDEAU_DRIVER=$${RONDEAU_DRIVER:-(not set)}"; \
	  RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Zsanitizer=address' CARGO_PROFILE_TEST_OPT_LEVEL=1 \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	  cargo test --quiet --package rondeau --package rondeau-core --package rondeau-driver --all-features --lib --tests \
	    --target $(HOST) --target-dir target/asan-rust -- --skip the_kitchen_ --skip the_cake_ --skip the_waiter_ --skip the_work_queue_; \
	done

# Miri sees what no sanitizer does: references that outlive their borrow, races that did not happen. It has neither io_uring nor all flags of
# epoll, so no sockets; and leaks are not looked at, since some tests leak on purpose.
MIRI = RONDEAU_DRIVER=epoll MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-ignore-leaks' cargo +nightly miri test --quiet --package rondeau --target-dir target/miri
miri:
	$(MIRI) --lib
	$(MIRI) $(foreach name,end_panics task_states task_panics loop_end wakers_on_threads foreign_wakers,--test $(name)) -- \
	  --skip many_threads_ --skip all_tasks_ --skip sockets --skip a_thousand_

# By that very compiler, which rustup fetches. Where it cannot, nothing is known, which is said.
MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
msrv: $(VENV)/.ready
	@if rustup toolchain install --profile minimal --no-self-update $(MSRV) >/dev/null 2>&1; then set -x; \
	  rustup run $(MSRV) cargo check --quiet --workspace --all-features --target-dir target/msrv; \
	else echo 'make msrv: there is no Rust $(MSRV) here, and rustup could not fetch it; nothing was checked'; fi

# PY is a debug interpreter (Debian: python3-dbg, PY=python3-dbg), which counts its references. A test is run nine times in its time.
# Those left out are processes of their own, or keep every processor busy for minutes.
refcounts: build
	PYTHONPATH=faults $(PYTHON) -m pytest --quiet -o faulthandler_timeout=900 -p refcounts -W ignore $(foreach name,cli faults watchdog_fooled,--ignore=tests/test_$(name).py) $(TESTS)

# Real peers need many packages, so they live in an environment of their own. As root on Debian the servers are installed too;
# elsewhere those that are missing are named, and the programs that need them fail.
ECOSYSTEM := $(VENV)-ecosystem
$(ECOSYSTEM)/.ready: ecosystem/requirements.txt
	$(PY) -m venv $(ECOSYSTEM)
	$(ECOSYSTEM)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(ECOSYSTEM)/bin/python -m pip install --quiet --requirement ecosystem/requirements.txt
	@touch $@

ecosystem: build $(ECOSYSTEM)/.ready
	$(ECOSYSTEM)/bin/python -m pip install --quiet --no-deps --force-reinstall $(WHEELS)/rondeau-*.whl
	$(ECOSYSTEM)/bin/python ecosystem/servers.py
	cd ecosystem && ../$(ECOSYSTEM)/bin/python -m pytest --quiet $(foreach name,$(ONLY),test_$(name).py)

# A browser is needed too: Debian's chromium-headless-shell, or the one that CHROMIUM names. Screenshots are left in target/page.
page: build
	$(PYTHON) -m pip install --quiet --requirement browser/requirements.txt
	$(PYTHON) -m pytest --quiet browser

check: $(VENV)/.ready
	cargo fmt --check
	cargo clippy --quiet --workspace --all-targets --all-features -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --quiet --no-deps --all-features --package rondeau-driver --package rondeau-core --package rondeau
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy $(TYPED)
	$(VENV)/bin/mypy conformance
	MYPYPATH=conformance $(VENV)/bin/mypy upstream/run.py upstream/sources.py upstream/progress.py
	@$(MAKE) --no-print-directory msrv

format: $(VENV)/.ready
	cargo fmt
	$(VENV)/bin/ruff check --quiet --fix-only .
	$(VENV)/bin/ruff format .

# BEFORE=COMMIT measures what has changed since: that commit is built beside this one, and both are arms of one run.
bench: build $(if $(BEFORE),build-before)
	$(PYTHON) -m pip install --quiet --requirement benches/requirements.txt
	$(PYTHON) benches/run.py $(foreach name,$(ONLY),--only $(name)) $(if $(FULL),--full) $(if $(JSON),--json $(JSON)) $(if $(BEFORE),--before target/before/site)

.PHONY: build-before
build-before: $(VENV)/.ready
	rm -rf target/before/site target/before/wheels && mkdir -p target/before/tree
	git archive $(BEFORE) | tar -x -C target/before/tree
	cd target/before/tree && CARGO_TARGET_DIR=$(abspath target/before/build) $(abspath $(VENV))/bin/maturin build --quiet --release --compatibility linux \
	  --interpreter $(abspath $(PYTHON)) --out $(abspath target/before/wheels)
	rm -rf target/before/tree
	$(PYTHON) -m pip install --quiet --no-deps --target target/before/site target/before/wheels/rondeau-*.whl

bench-rust:
	cargo run --quiet --release --package rondeau-bench -- $(ONLY)

clean:
	cargo clean
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
