#!/bin/sh
# Runs a redis-server for this service alone: the settings of redis.conf and the user of users.acl beside it, with
# the password of SESSION_REDIS__PASSWORD; nobody else is let in. Arguments are redis-server's own.
set -eu
: "${SESSION_REDIS__PASSWORD:?is not set}"
here=$(cd "$(dirname "$0")" && pwd)
settings=$(cat "$here/redis.conf")
user=$(cat "$here/users.acl")
# As a digest, and through standard input: neither a file nor the list of processes has the password.
digest=$(printf %s "$SESSION_REDIS__PASSWORD" | sha256sum | cut -d ' ' -f 1)
unset SESSION_REDIS__PASSWORD
exec redis-server - "$@" <<EOF
$settings
user default off
$user on #$digest
EOF
