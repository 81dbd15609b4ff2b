"""Passes requests on to the containers of its project that have the label balancer.port, in turn.

GET /backends lists them; everything else goes to one of them.
"""

import http.client
import http.server
import json
import os
import socket
import threading
import urllib.parse
import urllib.request

LABEL = "balancer.port"
FILTERS = {"label": [LABEL, "com.docker.compose.project=" + os.environ["PROJECT"]]}


class Docker(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("localhost")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")

    def ask(self, path, filters=None):
        query = "?" + urllib.parse.urlencode({"filters": json.dumps(filters)}) if filters else ""
        self.request("GET", path + query)
        return self.getresponse()


backends = {}
turn = 0
lock = threading.Lock()


def look(id):
    """Where a container is, if it runs."""
    answer = Docker().ask(f"/containers/{id}/json")
    shown = json.load(answer) if answer.status == 200 else {"State": {}}
    with lock:
        if shown["State"].get("Running"):
            (network,) = shown["NetworkSettings"]["Networks"].values()
            backends[id] = network["IPAddress"] + ":" + shown["Config"]["Labels"][LABEL]
        else:
            backends.pop(id, None)


def follow():
    # First the events, then the list: what happens in between is seen twice, not never.
    events = Docker().ask("/events", FILTERS | {"type": ["container"], "event": ["start", "die"]})
    for container in json.load(Docker().ask("/containers/json", FILTERS)):
        look(container["Id"])
    for line in events:
        look(json.loads(line)["Actor"]["ID"])
    os._exit(1)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global turn
        with lock:
            all = sorted(backends.values())
            turn += 1
        if self.path == "/backends":
            status, body = 200, json.dumps(all).encode()
        elif not all:
            status, body = 503, b"no backend"
        else:
            status, body = 200, urllib.request.urlopen(f"http://{all[turn % len(all)]}{self.path}", timeout=5).read()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)


threading.Thread(target=follow, daemon=True).start()
http.server.ThreadingHTTPServer(("0.0.0.0", 80), Handler).serve_forever()
