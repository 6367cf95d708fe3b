#!/usr/bin/env bash
# Writes .env for docker-compose.yml with new random secrets, readable by you alone. An existing .env stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -e .env ]; then
    echo "make-env: .env exists; move it away first if you want new secrets" >&2
    exit 1
fi
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat >.env <<END
# Secrets of this deployment. Keep them out of version control.
POSTGRES_PASSWORD=$(secret)
RABBITMQ_PASSWORD=$(secret)
# The bearer token of the administrator: export FLOE_TOKEN=... for the floe command.
FLOE_ADMIN_TOKEN=$(secret)

# Where the api listens on this machine, and what the agents offer.
API_PUBLISH=127.0.0.1:8080
FLOE_TAGS=linux
FLOE_SLOTS=10
END
echo "make-env: wrote .env; next: docker compose up -d --build" >&2
