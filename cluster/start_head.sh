#!/usr/bin/env bash
# Start the head of a Ray cluster with token authentication; the dashboard listens on loopback only.
#
#   cluster/start_head.sh                    then, from a checkout on this machine:
#   ray job submit --working-dir . -- python jobs/full_pipeline.py --config jobs/configs/embedded.yaml
#
# Run it from the virtual environment whose Python the jobs are to use.  Options are handed to `ray start`.
set -euo pipefail
export RAY_AUTH_MODE=token
token="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
if [ -z "${RAY_AUTH_TOKEN:-}" ] && [ ! -s "$token" ]; then
  (umask 077 && mkdir -p "$(dirname "$token")" && python3 -c 'import secrets; print(secrets.token_hex(32))' > "$token")
fi
if [ -e "$token" ]; then chmod 600 "$token"; fi
exec ray start --head --dashboard-host=127.0.0.1 --disable-usage-stats "$@"
