"""The shop's application: orders in PostgreSQL, counted in Redis."""

import http.server
import json
import os
import socket
import sys

import psycopg2


def database():
    with open("/run/secrets/password") as file:
        return psycopg2.connect(password=file.read(), connect_timeout=5)


def cache(*words):
    """One command of Redis, by its own protocol."""
    with socket.create_connection((os.environ["CACHE"], 6379), timeout=5) as connection:
        command = "*%d\r\n" % len(words) + "".join("$%d\r\n%s\r\n" % (len(word), word) for word in words)
        connection.sendall(command.encode())
        return connection.makefile().readline()[1:].strip()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path == "/health":
            return self.answer(200, {})
        with database() as db, db.cursor() as cursor:
            cursor.execute("select what from orders order by id")
            orders = [row[0] for row in cursor.fetchall()]
        self.answer(200, {"orders": orders, "visits": int(cache("INCR", "visits")), "by": socket.gethostname()})

    def do_POST(self):
        what = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with database() as db, db.cursor() as cursor:
            cursor.execute("insert into orders (what) values (%s)", (what,))
        self.answer(201, {"ordered": what})


if sys.argv[1:] == ["setup"]:
    with database() as db, db.cursor() as cursor:
        cursor.execute("create table if not exists orders (id serial primary key, what text not null)")
else:
    http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
