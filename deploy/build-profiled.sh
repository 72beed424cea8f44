#!/usr/bin/env bash
# Builds the data plane with the profile of a load. A build with counters on each branch runs the bench
# `compare`, and the compiler then arranges the program by the counts. Leaves both programs in
# target/profiled, the control plane as `make build` made it.
#
#   deploy/build-profiled.sh
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
out=$target/profiled
# The same path each time: it is among the inputs by which Cargo decides whether to build again.
work=$out/work

main() {
    local profdata
    profdata=$(find_profdata)
    rm -rf "$work"
    mkdir -p "$work"
    echo "building the data plane with counters"
    build "-Cprofile-generate=$work/counts"
    cp "$target/$host/release/gibbon-gateway" "$target/release/gibbon-control" "$work/"
    echo "asking through it"
    GIBBON_BENCH_ALONE=1 GIBBON_BENCH_SIZES=1,10000 GIBBON_BENCH_ROUNDS=1 GIBBON_TEST_BIN_DIR=$work \
        cargo bench -p benches --profile outside --locked --bench compare
    "$profdata" merge --output "$work/profile" "$work/counts"
    echo "building it by what was counted"
    build "-Cprofile-use=$work/profile"
    cp "$target/$host/release/gibbon-gateway" "$target/release/gibbon-control" "$out/"
    rm -rf "$work"
    echo "done: $out/gibbon-gateway, $out/gibbon-control"
}

# With a named target, the flags apply to the program, and not to code that runs during the build.
build() {
    RUSTFLAGS=$1 cargo build --release --locked --target "$host" -p gateway
}

# Only an LLVM of the compiler's version can read the counts; older ones cannot.
find_profdata() {
    local found
    for found in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" "llvm-profdata-$llvm" llvm-profdata; do
        if "$found" merge --version 2>/dev/null | grep --quiet "LLVM version $llvm\."; then
            echo "$found"
            return
        fi
    done
    echo "build-profiled: there is no llvm-profdata of LLVM $llvm; install it by \`rustup component add llvm-tools\`," \
        "or as package llvm-$llvm" >&2
    return 1
}

main
