# Two commands do everything on a fresh Debian machine: `make demo` and `make test`.
# Both install what is missing (as root: tests/servers/install says what), and build with the toolchain that is there.

export CARGO_TERM_COLOR ?= auto
DEMO ?= target/demo

.PHONY: demo test setup lint build bench fuzz

demo: setup ## real databases leave as verified archives and come back through stock clients
	cargo build --release --locked --bin dbferry --example demo
	target/release/examples/demo target/release/dbferry $(DEMO)

test: setup lint ## everything that CI runs
	# The same random cases every time, so that a change is judged by what it changed; leave the seed out to search further.
	PROPTEST_RNG_SEED=1 cargo nextest run --workspace --locked
	cargo test --doc --workspace --locked --quiet
	fuzz/run --fixed 1000
	deploy/check/run

lint: ## formatting, clippy, rustdoc; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet

setup: ## servers, compressors and the test runner
	tests/servers/install
	@cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked

bench: ## dbferry beside its peers; takes long
	benches/peers

fuzz: ## longer than in `make test`
	fuzz/run 300
