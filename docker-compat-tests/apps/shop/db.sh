# PostgreSQL, its data made on the first start.
set -eu
data=/var/lib/postgresql/data/db
if [ ! -s "$data/PG_VERSION" ]; then
    rm -rf "$data"
    initdb -D "$data" -A scram-sha-256 --auth-local=trust --pwfile=/run/secrets/password --no-sync -U postgres >/dev/null
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    postgres -D "$data" -k /tmp -c listen_addresses= &
    until psql -h /tmp -U postgres -c 'select 1' postgres >/dev/null 2>&1; do sleep 0.1; done
    psql -h /tmp -U postgres -v "password=$(cat /run/secrets/password)" postgres <<'END'
create role shop login password :'password';
create database shop owner shop;
END
    kill -INT $!
    wait $! || :
fi
exec postgres -D "$data" -k /tmp -c "listen_addresses=*"
