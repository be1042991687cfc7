#!/bin/sh
# Run once by the postgres image, over an empty volume: the role that owns the tables, the one that serves, and neither
# a superuser, whom row security does not hold.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  --set owner="$OWNER_PASSWORD" --set server="$SERVER_PASSWORD" <<'SQL'
CREATE ROLE holdfast LOGIN PASSWORD :'owner';
CREATE ROLE holdfast_server LOGIN PASSWORD :'server';
GRANT holdfast_server TO holdfast WITH ADMIN OPTION;
CREATE DATABASE holdfast OWNER holdfast;
SQL
