#!/usr/bin/env bash
# Join a cluster: cluster/start_worker.sh HEAD_IP:6379
#
# Copy the head's token (~/.ray/auth_token) to this machine first, readable by you alone.
set -euo pipefail
export RAY_AUTH_MODE=token
address="${1:?usage: cluster/start_worker.sh HEAD_IP:6379 [options of ray start]}"
shift
exec ray start --address="$address" --disable-usage-stats "$@"
