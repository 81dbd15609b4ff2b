"""Rows about networks: containers on the default bridge, published ports, many at once, compose, throughput."""

import concurrent.futures
import json
import re
import shutil
import statistics
import subprocess
import sys
import time

# iperf3's own.
PORT = 5201
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


def program(d, name, *flags):
    """A container of the default bridge that has iperf3 and the libraries it wants."""
    binary = shutil.which("iperf3")
    linked = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout
    files = [binary, *re.findall(r"(/\S+) \(0x", linked)]
    packed = subprocess.run(["tar", "-chf", "-", *files], check=True, capture_output=True).stdout
    d.docker("create", "--name", name, *flags, *d.run_flags, "busybox", binary, "-s")
    subprocess.run([d.cli, "cp", "-", f"{name}:/"], env=d.env, input=packed, check=True, capture_output=True)
    d.docker("start", name)
    return binary


def received(d, *command):
    """MiB per second that iperf3's other end got in two seconds; asked again until the other end listens."""
    for _ in range(100):
        done = subprocess.run([*command, "-t", "2", "-J"], env=d.env, capture_output=True, text=True)
        told = json.loads(done.stdout or "{}")
        if "sum_received" in told.get("end", {}):
            return told["end"]["sum_received"]["bits_per_second"] / 8 / 2**20
        time.sleep(0.05)
    raise SystemExit(f"bench: iperf3 does not answer: {done.stdout} {done.stderr}")


def throughput(d, rounds):
    binary = program(d, "sink", "-p", f"127.0.0.1::{PORT}")
    program(d, "source")
    ip, ports = address(d, "sink")
    port = ports[f"{PORT}/tcp"][0]["HostPort"]

    inner = [received(d, d.cli, "exec", "source", binary, "-c", ip) for _ in range(rounds)]
    outer = [received(d, binary, "-c", "127.0.0.1", "-p", port) for _ in range(rounds)]
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
    rates = {d.name: throughput(d, 3) for d in daemons}
    table.add("MiB from container to container, by `iperf3`", {n: r[0] for n, r in rates.items()}, "/s", goal="≥ 1×", note="3")
    table.add("MiB from the host through a published port, by `iperf3`", {n: r[1] for n, r in rates.items()}, "/s", goal="≥ 1×", note="3")
