"""Rows about networks: containers on the default bridge, published ports, many at once, compose, throughput."""

import concurrent.futures
import json
import socket
import statistics
import subprocess
import sys
import time

PORT = 5000
PROJECT = "ltbench"


def able(daemons):
    """Those that can run a container on their default network here."""
    found = []
    for d in daemons:
        tried = subprocess.run([d.cli, "run", "--rm", *d.run_flags, "busybox", "true"], env=d.env, capture_output=True, text=True)
        if tried.returncode:
            print(f"bench: {d.name} has no network here: {tried.stderr.strip()}", file=sys.stderr)
        else:
            found.append(d)
    return found


def start_many(d, count, clients):
    """Seconds for `clients` at once to create and start `count` containers on the default bridge."""

    def one(n):
        body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"Init": False, **d.host_config}}
        status, data = d.call("POST", f"/containers/create?name=many{n}", body)
        if status == 201:
            status, data = d.call("POST", f"/containers/many{n}/start")
        if status != 204:
            raise SystemExit(f"bench: {d.name}: start: {data}")

    before = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(count)))
    spent = time.perf_counter() - before
    d.remove_all()
    return spent


def compose(d, services, verb):
    file = d.home / "compose.json"
    plugins = d.home / "cli/cli-plugins"
    if not plugins.exists():
        plugins.parent.mkdir(parents=True, exist_ok=True)
        plugins.symlink_to(d.options.target / "clients/config/cli-plugins")
    one = {"image": "busybox", "command": ["sleep", "1000"], "stop_signal": "SIGKILL"}
    file.write_text(json.dumps({"services": {f"s{n}": one for n in range(services)}}))
    return d.timed("compose", "-p", PROJECT, "-f", str(file), *verb)


def address(d, name):
    networks = json.loads(d.call("GET", f"/containers/{name}/json")[1])["NetworkSettings"]
    return networks["Networks"]["bridge"]["IPAddress"], networks["Ports"]


def receiver(d):
    """A container that swallows what it is sent, one sender after the other. With -i: at the end of its input nc would
    tell the sender to stop."""
    d.docker("run", "-di", "--name", "sink", "-p", f"127.0.0.1::{PORT}", *d.run_flags, "busybox", "sh", "-c", f"while :; do nc -l -p {PORT} >/dev/null; done")
    return address(d, "sink")


def between(d, ip, mib):
    """MiB per second from one container to another; the sender's container is there already."""
    before = time.perf_counter()
    d.docker("exec", "source", "sh", "-c", f"dd if=/dev/zero bs=1M count={mib} 2>/dev/null | nc {ip} {PORT}")
    return mib / (time.perf_counter() - before)


def into_port(port, mib):
    """MiB per second from the host through a published port, to the receiver's end."""
    block = bytes(1 << 20)
    for _ in range(100):  # until the receiver listens again
        before = time.perf_counter()
        try:
            with socket.create_connection(("127.0.0.1", port), 30) as s:
                for _ in range(mib):
                    s.sendall(block)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            return mib / (time.perf_counter() - before)
        except OSError:
            time.sleep(0.05)
    raise SystemExit("bench: the published port does not answer")


def throughput(d, rounds, mib):
    ip, ports = receiver(d)
    d.docker("run", "-d", "--name", "source", *d.run_flags, "busybox", "sleep", "1000")
    inner = [between(d, ip, mib) for _ in range(rounds)]
    outer = [into_port(int(ports[f"{PORT}/tcp"][0]["HostPort"]), mib) for _ in range(rounds)]
    d.remove_all()
    return statistics.median(inner), statistics.median(outer)


def measure(options, daemons, table, take_turns, medians):
    daemons = able(daemons)
    rounds = str(options.rounds)
    for what, flags in (("`docker run --rm busybox true` on the default bridge", []), ("the same with `-p 80`", ["-p", "80"])):
        times = take_turns(daemons, options.rounds, options.gap, lambda d, flags=flags: d.timed("run", "--rm", *flags, *d.run_flags, "busybox", "true"))
        table.add(what, medians(times), "ms", goal="≤ 0.25×", note=rounds)
    times = take_turns(daemons, 3, options.gap, lambda d: start_many(d, 40, 8))
    table.add("40 containers created and started by 8 clients", medians(times), "s", goal="≤ 0.33×", note="3")
    for d in daemons[:]:
        try:
            compose(d, 10, ["up", "-d", "--quiet-pull"])
            compose(d, 10, ["down", "-t", "0"])
        except SystemExit as error:
            print(f"bench: no compose with {d.name}: {error}", file=sys.stderr)
            d.remove_all()
            daemons.remove(d)
    ups, downs = {d.name: [] for d in daemons}, {d.name: [] for d in daemons}
    for _ in range(3):
        for d in daemons:
            ups[d.name].append(compose(d, 10, ["up", "-d"]))
            downs[d.name].append(compose(d, 10, ["down", "-t", "0"]))
    table.add("`docker compose up -d` of ten services", medians(ups), "s", goal="≤ 0.5×", note="3")
    table.add("`docker compose down` of them", medians(downs), "s", goal="≤ 0.5×", note="3")
    rates = {d.name: throughput(d, 3, 512) for d in daemons}
    table.add("MiB from container to container, by `nc`", {n: r[0] for n, r in rates.items()}, "/s", goal="≥ 1×", note="3")
    table.add("MiB from the host through a published port", {n: r[1] for n, r in rates.items()}, "/s", goal="≥ 1×", note="3")
