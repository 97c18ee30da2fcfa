# A thin face over cargo: every target says what it installs and runs.
# Needed: rustup with the toolchain of rust-toolchain.toml, a C compiler, make.

CARGO ?= cargo
TARGET ?= $(or $(CARGO_TARGET_DIR),target)
WASM_TARGET := wasm32-unknown-unknown

.PHONY: help build test demo bench bench-etcd bench-rebuild bench-shadow bench-plugins wasm-target

help:                ## Show this list.
	@sed -n 's/^\([a-z-]*\): *[a-z -]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

build: wasm-target   ## Build the daemon and command line, optimised: target/release/mortise.
	$(CARGO) build --release --bin mortise
	sh tests/no-fault-points.sh $(TARGET)/release/mortise

# First with fault points: the suite that makes the kernel fail within its own process, and the program that the
# other suites crash, which is kept aside under a name of its own. Then the shipped program and all suites. Both
# take the whole workspace, so that what it depends on is compiled once.
FAULTS := --features mortise/fault-points,mortise-kernel/fault-points

test: wasm-target    ## Run the whole test suite.
	$(CARGO) build --workspace $(FAULTS) --bins --test rebuild_faults
	cp $(TARGET)/debug/mortise $(TARGET)/debug/mortise-fault-points
	$(CARGO) test --workspace $(FAULTS) --test rebuild_faults
	$(CARGO) build --workspace --bins --tests
	$(CARGO) test --workspace --no-fail-fast

demo: build          ## Start a node, load it, swap its compaction strategy twice under load.
	MORTISE=$(TARGET)/release/mortise sh examples/demo.sh

bench: wasm-target   ## Run the criterion benchmarks of the kernel and the plugin runtime.
	$(CARGO) bench --workspace

bench-etcd: build    ## Compare with etcd (must be on PATH) and with an empty transport; see docs/benchmarks.md.
	$(CARGO) run --release --bin bench-etcd -- $(BENCH_ARGS)

bench-rebuild: build ## Rebuild and convert 1 GiB under load, beside etcd's defrag; see docs/benchmarks.md.
	$(CARGO) run --release --bin bench-rebuild -- $(BENCH_ARGS)

bench-shadow: build  ## What a shadow costs puts and gets; see docs/benchmarks.md.
	$(CARGO) run --release --bin bench-shadow -- $(BENCH_ARGS)

bench-plugins: build ## What plugins cost the start of a node, and swaps the requests; see docs/benchmarks.md.
	$(CARGO) run --release --bin bench-plugins -- $(BENCH_ARGS)

# Plugins are compiled for this target by build scripts. rustup fetches it once; a toolchain that brings it
# already needs no rustup.
wasm-target:
	@if [ ! -d "$$(rustc --print sysroot)/lib/rustlib/$(WASM_TARGET)" ]; then \
		echo "installing the Rust target $(WASM_TARGET) through rustup: plugins are compiled for it"; \
		rustup target add $(WASM_TARGET); \
	fi
