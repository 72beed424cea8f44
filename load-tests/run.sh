#!/usr/bin/env bash
# Runs a k6 scenario against a Gibbon of its own: the programs in RUN_BIN (target/release) and a demo origin,
# on ports of their own, with a data folder that is thrown away. Ends with k6's exit code (99: a threshold
# was crossed).
#
#   load-tests/run.sh load-tests/smoke.js [k6 options]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

scenario=${1:?usage: load-tests/run.sh SCENARIO [k6 options]}
shift
k6=$(PATH=$root/target/tools/bin:$PATH type -P k6) || { echo "there is no k6; .ci/install installs it" >&2; exit 1; }

# Below the kernel's range for outgoing connections, and not those of `make run`.
export RUN_ADMIN_PORT=18001 RUN_CLUSTER_PORT=18005 RUN_CONTROL_STATUS_PORT=18008
export RUN_PROXY_PORT=18000 RUN_GATEWAY_STATUS_PORT=18007 RUN_ORIGIN_PORT=19000
export RUN_BIN=${RUN_BIN:-$root/target/release}
RUN_DATA=$(mktemp -d)
export RUN_DATA
export ADMIN=http://127.0.0.1:$RUN_ADMIN_PORT
beside=
trap '[[ -z $beside ]] || kill "$beside"; rm -rf "$RUN_DATA"' EXIT
# A program that runs beside the scenario, such as load-tests/force-snapshots.py.
if [[ -n ${RUN_BESIDE-} ]]; then
    "$root/$RUN_BESIDE" &
    beside=$!
fi

"$root/deploy/run-local.sh" "$k6" run --no-usage-report --quiet "$@" \
    --env "ADMIN=$ADMIN" \
    --env "PROXY=http://127.0.0.1:$RUN_PROXY_PORT" \
    --env "ORIGIN_PORT=$RUN_ORIGIN_PORT" \
    "$scenario"
