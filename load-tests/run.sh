#!/usr/bin/env bash
# Runs a k6 scenario against a Gibbon of its own: the programs in RUN_BIN (target/release) and a demo origin,
# on free ports, with a temporary data folder. Ends with k6's exit code (99: a threshold was crossed).
#
#   load-tests/run.sh load-tests/smoke.js [k6 options]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

scenario=${1:?usage: load-tests/run.sh SCENARIO [k6 options]}
shift
k6=$(PATH=$root/target/tools/bin:$PATH type -P k6) || { echo "there is no k6; .ci/install installs it" >&2; exit 1; }

# Reserves a port while this script runs, and puts its number into the variable $1. As in the tests
# (entity/testkit/src/ports.rs), a lock reserves the port, and it lies outside of the kernel's range for
# outgoing connections.
reserve() {
    local first last number lock locks=${TMPDIR:-/tmp}/gibbon-test-ports
    mkdir --mode=1777 "$locks" 2>/dev/null || [[ -d $locks ]]
    read -r first last </proc/sys/net/ipv4/ip_local_port_range
    for number in $(shuf --input-range=20000-29999); do
        ((number < first || number > last)) || continue
        # A lock file that cannot be opened belongs to another user.
        { exec {lock}>>"$locks/$number"; } 2>/dev/null || continue
        if flock --nonblock "$lock" && ! (exec 3<>"/dev/tcp/127.0.0.1/$number") 2>/dev/null; then
            export "$1=$number"
            return
        fi
        exec {lock}>&-
    done
    echo "there is no free port" >&2
    return 1
}

for variable in RUN_{ADMIN,CLUSTER,CONTROL_STATUS,PROXY,GATEWAY_STATUS,ORIGIN,TARGETS}_PORT; do
    reserve "$variable"
done
export RUN_BIN=${RUN_BIN:-$root/target/release}
RUN_DATA=$(mktemp -d)
export RUN_DATA
export ADMIN=http://127.0.0.1:$RUN_ADMIN_PORT
beside=
trap '[[ -z $beside ]] || kill "$beside"; rm -rf "$RUN_DATA"' EXIT
# A program that runs beside the scenario, such as load-tests/targets.py.
if [[ -n ${RUN_BESIDE-} ]]; then
    "$root/$RUN_BESIDE" &
    beside=$!
fi

"$root/deploy/run-local.sh" "$k6" run --no-usage-report --quiet "$@" \
    --env "ADMIN=$ADMIN" \
    --env "PROXY=http://127.0.0.1:$RUN_PROXY_PORT" \
    --env "ORIGIN_PORT=$RUN_ORIGIN_PORT" \
    --env "TARGETS_PORT=$RUN_TARGETS_PORT" \
    "$scenario"
