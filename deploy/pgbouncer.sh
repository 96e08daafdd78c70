# Writes PgBouncer's configuration from the environment and executes PgBouncer.
set -eu
: "${DB_HOST:?}" "${DB_NAME:?}" "${DB_USER:?}" "${DB_PASSWORD:?}"
quoted() { printf '%s' "$1" | sed "s/$2/$2$2/g"; }
umask 077
printf '"%s" "%s"\n' "$(quoted "$DB_USER" '"')" "$(quoted "$DB_PASSWORD" '"')" >/tmp/users.txt
cat >/tmp/pgbouncer.ini <<EOF
[databases]
${DB_NAME} = host=${DB_HOST} port=${DB_PORT:-5432} dbname=${DB_NAME}
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /tmp/users.txt
pool_mode = transaction
max_client_conn = 1000
default_pool_size = ${POOL_SIZE:-20}
EOF
exec pgbouncer /tmp/pgbouncer.ini
