#!/usr/bin/env bash
# A whole Gibbon on this machine: a control plane, a data plane and a demo origin, on loopback.
#
#   deploy/run-local.sh              runs until Ctrl-C or SIGTERM
#   deploy/run-local.sh COMMAND…     runs COMMAND against it, ends with COMMAND's exit code
#
# Missing files in the data folder are created first; existing ones are used again. Environment variables:
#   RUN_BIN           the folder with the two programs               target/release
#   RUN_DATA          the data folder                                data
#   RUN_DATABASE_URL  a database instead of the embedded SQLite file
#   RUN_ADMIN_PORT, RUN_CLUSTER_PORT, RUN_CONTROL_STATUS_PORT        8001 8005 8008
#   RUN_PROXY_PORT, RUN_GATEWAY_STATUS_PORT, RUN_ORIGIN_PORT         8000 8007 9000
set -euo pipefail

bin=${RUN_BIN:-target/release}
data=${RUN_DATA:-data}
admin_port=${RUN_ADMIN_PORT:-8001}
cluster_port=${RUN_CLUSTER_PORT:-8005}
control_status_port=${RUN_CONTROL_STATUS_PORT:-8008}
proxy_port=${RUN_PROXY_PORT:-8000}
gateway_status_port=${RUN_GATEWAY_STATUS_PORT:-8007}
origin_port=${RUN_ORIGIN_PORT:-9000}

# In seconds. Requests in flight have `drain` seconds to finish, within `stop_deadline`.
start_deadline=30
drain=5
stop_deadline=10

# name of the child -> its process; `start` fills it, and notes their order in `order`.
declare -A children=()
# name of the child -> the command that starts it
declare -A commands=()
order=()

main() {
    check_programs
    check_ports
    trap stop_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    make_cluster_pair
    start_all
    if (($# > 0)); then
        run_command "$@"
    else
        # From here on, a signal to end is a normal end of the run.
        trap 'exit 0' INT TERM HUP
        print_next_steps
        wait_for_end
    fi
}

check_programs() {
    local program
    for program in gibbon-control gibbon-gateway; do
        [[ -x $bin/$program ]] || fail "there is no $bin/$program; \`make run\` builds it"
    done
}

check_ports() {
    check_port "$admin_port" RUN_ADMIN_PORT "the Admin API"
    check_port "$cluster_port" RUN_CLUSTER_PORT "the cluster listener"
    check_port "$control_status_port" RUN_CONTROL_STATUS_PORT "the control plane's status"
    check_port "$proxy_port" RUN_PROXY_PORT "the proxy"
    check_port "$gateway_status_port" RUN_GATEWAY_STATUS_PORT "the data plane's status"
    check_port "$origin_port" RUN_ORIGIN_PORT "the demo origin"
}

check_port() {
    local port=$1 variable=$2 what=$3
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        fail "port $port, meant for $what, is in use: end what listens there, or set $variable to another port"
    fi
}

make_cluster_pair() {
    mkdir -p "$data/log"
    if [[ -e $data/cluster.crt && -e $data/cluster.key ]]; then return; fi
    say "making the cluster's certificate and key in $data"
    "$bin/gibbon-control" pki gen-cert "$data/cluster.crt" "$data/cluster.key" >"$data/log/pki.log" 2>&1 ||
        fail_with_log pki "cannot make the cluster's certificate and key"
}

start_all() {
    start origin "$bin/gibbon-gateway" echo --listen "127.0.0.1:$origin_port"
    start control env \
        GIBBON_DATA_DIR="$data/control" \
        GIBBON_ADMIN__LISTEN="127.0.0.1:$admin_port" \
        GIBBON_CLUSTER__LISTEN="127.0.0.1:$cluster_port" \
        GIBBON_CLUSTER__CERT="$data/cluster.crt" \
        GIBBON_CLUSTER__KEY="$data/cluster.key" \
        GIBBON_STATUS__LISTEN="127.0.0.1:$control_status_port" \
        ${RUN_DATABASE_URL:+GIBBON_DATABASE__URL="$RUN_DATABASE_URL"} \
        "$bin/gibbon-control" run
    wait_until_ready control "http://127.0.0.1:$control_status_port/status/ready"
    start gateway env \
        GIBBON_STATE_DIR="$data/gateway" \
        GIBBON_PROXY__LISTEN="127.0.0.1:$proxy_port" \
        GIBBON_PROXY__DRAIN_TIMEOUT="${drain}s" \
        GIBBON_CLUSTER__CONTROL_PLANES="127.0.0.1:$cluster_port" \
        GIBBON_CLUSTER__CERT="$data/cluster.crt" \
        GIBBON_CLUSTER__KEY="$data/cluster.key" \
        GIBBON_STATUS__LISTEN="127.0.0.1:$gateway_status_port" \
        "$bin/gibbon-gateway" run
    wait_until_ready gateway "http://127.0.0.1:$gateway_status_port/status/ready"
    wait_until_ready origin "http://127.0.0.1:$origin_port/"
}

# Starts a child in its own session. Ctrl-C then reaches only this script, which ends the children in order.
# If this script is killed, the kernel ends them.
start() {
    local name=$1
    shift
    setsid setpriv --pdeathsig TERM "$@" </dev/null >"$data/log/$name.log" 2>&1 &
    children[$name]=$!
    commands[$name]=$*
    order+=("$name")
}

wait_until_ready() {
    local name=$1 url=$2 deadline=$((SECONDS + start_deadline))
    until curl --silent --fail --output /dev/null --max-time 2 "$url"; do
        kill -0 "${children[$name]}" 2>/dev/null || fail_with_log "$name" "$name ended while starting"
        ((SECONDS < deadline)) || fail_with_log "$name" "$name is not ready after $start_deadline s ($url)"
        sleep 0.1
    done
}

run_command() {
    "$@" &
    children[command]=$!
    order+=(command)
    local code=0 ended
    wait -n -p ended || code=$?
    if [[ $ended != "${children[command]}" ]]; then report_dead "$ended"; fi
    unset 'children[command]'
    exit "$code"
}

# A child that ends, or is killed for a test of the others, leaves the others running.
wait_for_end() {
    local ended name
    while ((${#children[@]} > 0)); do
        wait -n -p ended || true
        name=$(name_of "$ended")
        unset "children[$name]"
        say "$name has ended, the others go on; its log is $data/log/$name.log. To start it again, in another terminal:"
        printf '\n  %s\n\n' "${commands[$name]}"
    done
    fail "all have ended"
}

report_dead() {
    local name
    name=$(name_of "$1")
    fail_with_log "$name" "$name ended by itself; ending the rest"
}

name_of() {
    local name
    for name in "${!children[@]}"; do
        if [[ ${children[$name]} == "$1" ]]; then echo "$name"; fi
    done
}

stop_all() {
    local code=$? name i deadline=$((SECONDS + stop_deadline))
    trap '' INT TERM HUP
    # The child started last ends first: the origin outlives the proxy's last requests.
    for ((i = ${#order[@]} - 1; i >= 0; i--)); do
        name=${order[i]}
        [[ -n ${children[$name]:-} ]] || continue
        kill -TERM "${children[$name]}" 2>/dev/null || true
        until ! kill -0 "${children[$name]}" 2>/dev/null; do
            if ((SECONDS >= deadline)); then
                say "$name does not end within $stop_deadline s: killing it; see $data/log/$name.log"
                kill -KILL "${children[$name]}" 2>/dev/null || true
                break
            fi
            sleep 0.05
        done
        wait "${children[$name]}" 2>/dev/null || true
    done
    ((${#order[@]} == 0)) || say "all stopped"
    exit "$code"
}

print_next_steps() {
    cat <<TEXT

Gibbon is running: Admin API on 127.0.0.1:$admin_port, proxy on 127.0.0.1:$proxy_port, a demo origin on 127.0.0.1:$origin_port.
Data and logs are in $data. Ctrl-C ends it. Try, in another terminal:

  # a service: where requests go
  curl -i -X POST http://127.0.0.1:$admin_port/services --data name=test --data host=127.0.0.1 --data port=$origin_port
  # a route to it: which requests
  curl -i -X POST http://127.0.0.1:$admin_port/services/test/routes --data 'paths[]=/'
  # a request through the data plane
  curl -i http://127.0.0.1:$proxy_port/get
  # the data planes, and what each of them holds
  curl -i http://127.0.0.1:$admin_port/clustering/status
  curl -i http://127.0.0.1:$admin_port/clustering/data-planes

TEXT
}

say() {
    printf 'run-local: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

fail_with_log() {
    local name=$1
    shift
    say "$*; the end of $data/log/$name.log:"
    tail -n 20 "$data/log/$name.log" >&2 || true
    exit 1
}

main "$@"
