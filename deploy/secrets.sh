#!/bin/sh
# Makes the secrets of a deployment, once, and writes them to .env, which compose.yaml reads: sh deploy/secrets.sh
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
  echo ".env is there already; nothing was changed." >&2
  exit 1
fi
umask 077
word() { openssl rand -hex 24; }
{
  echo "# Made by deploy/secrets.sh. Keep a copy with the backups: without SECRET and JWT_PRIVATE_KEY everybody is"
  echo "# signed out, guests lose their reservations, and webhooks are signed by other secrets."
  echo "POSTGRES_PASSWORD=$(word)"
  echo "OWNER_PASSWORD=$(word)"
  echo "SERVER_PASSWORD=$(word)"
  echo "REDIS_PASSWORD=$(word)"
  echo "METRICS_TOKEN=$(word)"
  echo "SECRET=$(word)"
  printf 'JWT_PRIVATE_KEY="'
  openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 | awk '{ printf "%s\\n", $0 }'
  echo '"'
} > .env.half
mv .env.half .env
echo "Wrote .env, readable by you alone."
