# SPDX-License-Identifier: MIT
# A short front for meson: `make help` lists the targets. Missing packages are installed with apt.
BUILD      ?= build
FUZZ_SECONDS ?= 10
DEMO       ?= lab/demo.py
ARGS       ?=
JOBS       ?= $(shell nproc)
UNITS       = --no-suite live --no-suite qemu --no-suite house --no-suite fuzz --no-suite torture
SOURCES     = $(shell find base core sim live cli guest tests bench -name '*.[ch]')
# A test's time limit is to find a hang: a busy machine may take its time, a sanitizer takes more.
TEST        = meson test --print-errorlogs --num-processes $(JOBS) -t 3
LOGS        = $(BUILD) $(BUILD)-asan

export PATH := $(PATH):/usr/sbin:/sbin
.PHONY: all demo check bench asan tsan tidy fuzz format install clean help

all: ## build the program: build/godwit
	@tools/packages.sh build
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD)
	@ninja -C $(BUILD) -j $(JOBS)

demo: all ## watch a VM move there and back while a client talks to it (ARGS=--help)
	@tools/packages.sh --try vm
	@python3 $(DEMO) $(ARGS)

check: all ## every test; ends with "N passed, N failed, N skipped"
	@tools/packages.sh test
	@tools/packages.sh --try vm
	@tools/packages.sh --try browser
	@rm -f $(LOGS:%=%/meson-logs/testlog.json)
	-@$(TEST) --no-rebuild -C $(BUILD)
	-@$(MAKE) --no-print-directory asan
	@python3 tests/summary.py $(LOGS)

bench: all ## side by side with QEMU's own migration (ARGS=--help)
	@tools/packages.sh vm
	@$(BUILD)/godwit bench $(ARGS)

# meson builds what these tests need, and no more. Sanitizers and little optimization make gcc warn
# of what is not so: warnings are the plain build's business.
asan: ## unit tests under address and undefined-behaviour sanitizers
	@tools/packages.sh build
	@test -f $(BUILD)-asan/build.ninja || meson setup $(BUILD)-asan -Db_sanitize=address,undefined -Doptimization=1 -Dwerror=false
	@UBSAN_OPTIONS=halt_on_error=1 $(TEST) -t 10 -C $(BUILD)-asan $(UNITS)

tsan: ## unit tests under the thread sanitizer
	@tools/packages.sh build
	@test -f $(BUILD)-tsan/build.ninja || meson setup $(BUILD)-tsan -Db_sanitize=thread
	@$(shell setarch -R true 2>/dev/null && echo setarch -R) $(TEST) -t 10 -C $(BUILD)-tsan $(UNITS)

fuzz: ## every decoder under libFuzzer, FUZZ_SECONDS each
	@tools/packages.sh build test
	@tests/fuzz/run.sh --seconds $(FUZZ_SECONDS)

tidy: all ## clang-tidy over all sources
	@tools/packages.sh lint
	@find base core sim live cli tests -name '*.c' ! -path 'tests/fuzz/*' | xargs -P $(JOBS) -n 4 clang-tidy --quiet --extra-arg=-Wno-unknown-warning-option -p $(BUILD)

format: ## clang-format over all sources
	@tools/packages.sh lint
	@clang-format -i $(SOURCES)

install: all ## into PREFIX as meson was set up (DESTDIR is honoured)
	@meson install -C $(BUILD) --no-rebuild

clean: ## remove every build directory
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10
