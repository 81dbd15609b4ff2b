#!/usr/bin/env python3
"""Measures Lighter against dockerd and Podman, all driven by the same docker
CLI or the same raw requests, taking turns within one run so that the machine's
moods fall on all alike. Prints a Markdown table of medians and ratios.

Started by benches/run.sh, which builds and fetches what is needed."""

import argparse
import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import images
import networks
import watching

REPO = Path(__file__).resolve().parent.parent


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=600)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(600)
        self.sock.connect(self.path)


def pss(pid):
    """Proportional set size in KiB."""
    try:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def processes(program, under):
    """Pids of processes running `program` with `under` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(entry / "exe")).removeprefix("memfd:").startswith(program) and under in (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"):
                    found.append(int(entry.name))
    return found


def wait_for(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: not within {seconds} s: {what}")
        time.sleep(0.002)


class Daemon:
    name = "?"
    # Its directory for what would be below /run.
    runtime = "exec"
    log_flags = []
    # Flags and settings that only this one needs to run containers here at all.
    run_flags = []
    host_config = {}

    def __init__(self, options, home):
        self.options, self.home = options, Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.socket = str(self.home / "docker.sock")
        self.process = None
        self.env = dict(os.environ, DOCKER_HOST=f"unix://{self.socket}", DOCKER_CONFIG=str(self.home / "cli"), DOCKER_CLI_HINTS="false")
        for name in ("DOCKER_CONTEXT", "DOCKER_API_VERSION"):
            self.env.pop(name, None)
        self.cli = str(options.target / "clients/bin/docker")

    def command(self):
        raise NotImplementedError

    def start(self):
        """Starts it; gives the seconds until it answers."""
        log = open(self.home / "log", "ab")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        before = time.perf_counter()
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(), start_new_session=True)
        wait_for(f"{self.name} answers (log: {self.home}/log)", self.answers)
        return time.perf_counter() - before

    def environment(self):
        return os.environ

    def answers(self):
        if self.process and self.process.poll() is not None:
            raise SystemExit(f"bench: {self.name} ended:\n" + (self.home / "log").read_text()[-2000:])
        try:
            return self.call("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def docker(self, *args, check=True, **more):
        return subprocess.run([self.cli, *args], env=self.env, check=check, capture_output=True, text=True, **more).stdout.strip()

    def timed(self, *args):
        before = time.perf_counter()
        done = subprocess.run([self.cli, *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True)
        spent = time.perf_counter() - before
        if done.returncode:
            raise SystemExit(f"bench: {self.name}: docker {' '.join(args)}: {done.stderr.decode()}")
        return spent

    def call(self, method, path, body=None, connection=None):
        own = connection or Connection(self.socket)
        own.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
        answer = own.getresponse()
        data = answer.read()
        if connection is None:
            own.close()
        return answer.status, data

    def load(self, path, seconds, connections=4):
        out = subprocess.check_output([self.options.target / "release/examples/load", self.socket, path, str(seconds), str(connections)], text=True)
        count, rate, _ = out.split()
        return int(count), float(rate)

    def pid(self):
        return self.process.pid

    def remove_all(self):
        ids = [c["Id"] for c in json.loads(self.call("GET", "/containers/json?all=1")[1])]
        connection = Connection(self.socket)
        for one in ids:
            self.call("DELETE", f"/containers/{one}?force=1&v=1", connection=connection)

    def memory(self):
        """PSS in KiB of what runs all the time."""
        return pss(self.process.pid)

    def keeper(self):
        """PSS in KiB of what a running container costs beside itself."""
        return None

    def prepare(self):
        """What a daemon keeps below /run is on a tmpfs, as /run is wherever people run one."""
        place = self.home / self.runtime
        place.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=711", "bench", place], check=True)

    def clean(self):
        with contextlib.suppress(Exception):
            self.remove_all()
        self.stop()
        # Helpers that tidy up behind ended containers would make files anew.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (processes("conmon", str(self.home)) or processes("podman", str(self.home))):
            time.sleep(0.05)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            mount = line.split()[1]
            if mount.startswith(str(self.home) + "/"):
                subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.home, ignore_errors=True)


class Lighter(Daemon):
    name = "Lighter"
    bridge, address = "ltbench0", "10.253.77.1/24"
    record = True

    def command(self):
        return [str(self.options.target / "lighter/lighterd"), "-H", f"unix://{self.socket}", "--data-root", f"{self.home}/data", "--exec-root", f"{self.home}/exec",
                "--pidfile", f"{self.home}/pid", "--engine", "linux", "--log-level", "warn", "--bridge", self.bridge, "--bip", self.address,
                *([] if self.record else self.options.no_record.split())]

    def keeper(self):
        found = processes("lighter-supervis", str(self.home))
        return statistics.median(pss(p) for p in found) if found else None

    def clean(self):
        super().clean()
        for pid in processes("lighter-supervis", str(self.home)):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)

    def recorded(self):
        """Requests in the store, when those of a flood are rows, too."""
        time.sleep(0.5)
        with contextlib.closing(sqlite3.connect(f"file:{self.home}/data/lighter.db?mode=ro", uri=True)) as db:
            count = lambda table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            wait_for("a flood's events are rows", lambda: count("shimEventRuns") == 0)
            return count("shimEvents")

    def cpu(self):
        """Seconds that the daemon has computed."""
        stat = Path(f"/proc/{self.pid()}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


class Dockerd(Daemon):
    name = "dockerd"

    def script(self, verb):
        env = dict(os.environ, DOCKERD_HOME=str(self.home), DOCKERD_FLAGS="--log-level error")
        subprocess.run([REPO / "scripts/dockerd.sh", verb, "bench"], env=env, check=True, stdout=subprocess.DEVNULL)

    def start(self):
        before = time.perf_counter()
        self.script("start")
        return time.perf_counter() - before

    def stop(self, remove=False):
        if remove:
            self.script("stop")
            return
        pid = int((self.home / "docker.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_for("dockerd ends", lambda: not Path(f"/proc/{pid}").exists())

    def answers(self):
        try:
            return self.call("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def pid(self):
        return int((self.home / "docker.pid").read_text())

    def memory(self):
        return pss(int((self.home / "docker.pid").read_text())) + sum(pss(p) for p in processes("containerd", str(self.home)) if p not in self.shims())

    def shims(self):
        return processes("containerd-shim", str(self.home))

    def keeper(self):
        found = self.shims()
        return statistics.median(pss(p) for p in found) if found else None

    def clean(self):
        self.stop(remove=True)


class Podman(Daemon):
    name = "Podman"
    runtime = "run"
    # What its compat service calls json-file is its own k8s-file.
    log_flags = ["--log-driver", "k8s-file"]
    # It sets these higher than a machine without CAP_SYS_RESOURCE allows.
    limits = {"nofile": 4096, "nproc": 4096}
    run_flags = [part for name, limit in limits.items() for part in ("--ulimit", f"{name}={limit}:{limit}")]
    host_config = {"Ulimits": [{"Name": name, "Soft": limit, "Hard": limit} for name, limit in limits.items()]}

    def command(self):
        return ["podman", "--root", f"{self.home}/root", "--runroot", f"{self.home}/run", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
                "--runtime", str(self.options.target / "peers/bin/runc"), "--storage-driver", "overlay", "system", "service", "--time", "0", f"unix://{self.socket}"]

    def environment(self):
        # Loopback may be plain HTTP, as it may for the others by themselves.
        registries = self.home / "registries.conf"
        registries.write_text('[[registry]]\nlocation = "localhost"\ninsecure = true\n')
        return dict(os.environ, TMPDIR=str(self.home), CONTAINERS_REGISTRIES_CONF=str(registries))

    def clean(self):
        with contextlib.suppress(Exception):
            self.remove_all()
        # Each exec leaves one behind that would run podman once more after five minutes, beside whatever is measured then.
        for pid in processes("conmon", str(self.home)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        super().clean()
        # Its parent groups, if empty: rmdir refuses the others.
        for group in sorted(Path("/sys/fs/cgroup").glob("*/libpod_parent/**/"), key=lambda p: -len(p.parts)):
            with contextlib.suppress(OSError):
                group.rmdir()

    def keeper(self):
        found = processes("conmon", str(self.home))
        return statistics.median(pss(p) for p in found) if found else None


def take_turns(daemons, rounds, gap, measure):
    times = {d.name: [] for d in daemons}
    for n in range(rounds + 1):
        for d in daemons:
            time.sleep(gap)
            spent = measure(d)
            if n:  # the first of each warms up
                times[d.name].append(spent)
    return times


def medians(times):
    return {name: statistics.median(values) for name, values in times.items() if values}


def api_run(d):
    """create, start, wait until ended, remove: the daemon's own share of `docker run`."""
    body = json.dumps({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", **d.host_config}})
    return int(subprocess.check_output([d.options.target / "release/examples/turn", d.socket, body])) / 1e6


def one_sample(d, container):
    before = time.perf_counter()
    status, data = d.call("GET", f"/containers/{container}/stats?stream=0&one-shot=1")
    spent = time.perf_counter() - before
    if status != 200 or not json.loads(data)["cpu_stats"]["cpu_usage"]["total_usage"]:
        raise SystemExit(f"bench: {d.name}: stats: {data}")
    return spent


def write_logs(d, mib):
    """A container printing 100-byte lines: (seconds to write, seconds to read back)."""
    line = "x" * 99
    one = d.docker("create", "--network", "none", *d.run_flags, *d.log_flags, "busybox", "sh", "-c", f"yes {line} | head -c {mib << 20}")
    before = time.perf_counter()
    d.call("POST", f"/containers/{one}/start")
    d.call("POST", f"/containers/{one}/wait")
    wrote = time.perf_counter() - before
    # HTTP/1.0 has no chunks, so that the time is the daemon's and not the parser's.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as c:
        c.connect(d.socket)
        before = time.perf_counter()
        c.sendall(f"GET /containers/{one}/logs?stdout=1&stderr=1 HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        buffer, count = bytearray(1 << 20), 0
        while n := c.recv_into(buffer):
            count += n
        read = time.perf_counter() - before
    if count < mib << 20:
        print(f"bench: {d.name} gave back {count} bytes of {mib << 20}", file=sys.stderr)
    d.call("DELETE", f"/containers/{one}?force=1")
    return wrote, read


def create_many(d, count):
    have = len(json.loads(d.call("GET", "/containers/json?all=1")[1]))
    c = Connection(d.socket)
    for n in range(have, count):
        status, data = d.call("POST", f"/containers/create?name=bench{n}", {"Image": "busybox", "Cmd": ["true"], "Labels": {"n": str(n)}, "HostConfig": {"NetworkMode": "none", **d.host_config}}, c)
        if status != 201:
            raise SystemExit(f"bench: {d.name}: create: {data}")
    c.close()


class Table:
    def __init__(self, daemons):
        self.names = [d.name for d in daemons]
        self.rows = []

    def add(self, what, values, unit, higher=False, goal="", note=""):
        scale, digits = {"ms": (1000, 1), "s": (1, 2), "MiB": (1 / 1024, 1), "/s": (1, 0), "%": (1, 1)}[unit]
        ours = values.get("Lighter")
        cells = [what]
        for name in self.names:
            v = values.get(name)
            cells.append("–" if v is None else f"{v * scale:.{digits}f} {unit}")
        for name in self.names:
            if name != "Lighter":
                v = values.get(name)
                cells.append("–" if not v or not ours else f"{ours / v:.2f}×")
        cells += [goal, note]
        self.rows.append(cells)
        print("  " + " | ".join(cells), file=sys.stderr, flush=True)

    def show(self):
        head = ["", *self.names, *[f"Lighter / {n}" for n in self.names if n != "Lighter"], "goal", "runs"]
        print("| " + " | ".join(head) + " |")
        print("|" + " --- |" * len(head))
        for row in self.rows:
            print("| " + " | ".join(row) + " |")


def record_cost(lighter, options, table):
    """Rate of /_ping with and without recording, and that none is lost. Two daemons take short turns, so that the machine's
    moods fall on both alike; what counts is the median of the turns' ratios."""
    plain = Lighter(options, f"{options.home}/unrecorded")
    plain.bridge, plain.address, plain.record = "ltbench1", "10.253.78.1/24", False
    plain.prepare()
    plain.start()
    try:
        for d in (lighter, plain):
            d.load("/_ping", 0.5)
        before, asked, rates = lighter.recorded(), 0, []
        for n in range(options.record_rounds):
            order = (lighter, plain) if n % 2 else (plain, lighter)
            turn = {d.record: d.load("/_ping", 0.5) for d in order}
            asked += turn[True][0]
            rates.append((turn[True][1], turn[False][1]))
        computed = lighter.cpu()
        lost = max(0, asked - (lighter.recorded() - before))
        later = (lighter.cpu() - computed) / asked
    finally:
        plain.clean()
    on, off = (statistics.median(rate[k] for rate in rates) for k in (0, 1))
    ratio = statistics.median(a / b for a, b in rates)
    table.rows.append(["`GET /_ping`, recorded / not recorded", f"{on:.0f} / {off:.0f} /s", *["–"] * (2 * len(table.names) - 2), "≥ 0.95×", f"{ratio:.3f}×, {lost} lost, {options.record_rounds} each; {later * 1e6:.1f} µs each when it is quiet"])


def run(options, daemons, table):
    for d in daemons:
        d.prepare()
        d.start()
        d.docker("load", "-q", "-i", str(options.target / "images/busybox.tar"))
    only = set(options.only.split(",")) if options.only else None

    def wanted(name):
        if only and name not in only:
            return False
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        return True

    rounds = f"{options.rounds}"
    if wanted("run"):
        times = take_turns(daemons, options.rounds, options.gap, lambda d: d.timed("run", "--rm", "--network", "none", *d.run_flags, "busybox", "true"))
        table.add("`docker run --rm --network none busybox true`", medians(times), "ms", goal="≤ 0.33×", note=rounds)
        times = take_turns(daemons, options.rounds, options.gap, api_run)
        table.add("create, start, wait, remove by the API", medians(times), "ms", goal="≤ 12 ms", note=rounds)
        times = take_turns(daemons, options.rounds, options.gap, lambda d: d.timed("ps", "-q"))
        table.add("of which the CLI with a trivial request (`docker ps -q`)", medians(times), "ms", note=rounds)
    if wanted("exec"):
        ids = {d.name: d.docker("run", "-d", "--network", "none", *d.run_flags, "busybox", "sleep", "100000") for d in daemons}
        times = take_turns(daemons, options.rounds, options.gap, lambda d: d.timed("exec", ids[d.name], "true"))
        table.add("`docker exec` of `true`", medians(times), "ms", goal="≤ 0.5×", note=rounds)
        times = take_turns(daemons, options.rounds, options.gap, lambda d: one_sample(d, ids[d.name]))
        table.add("one sample of a container's use (`stats?one-shot=1`)", medians(times), "ms", note=rounds)
        time.sleep(5)  # Lighter gives memory back after two quiet seconds
        table.add("a sleeping container's keeper (PSS)", {d.name: d.keeper() for d in daemons}, "MiB", goal="≤ 1.5 MiB", note="1")
        for d in daemons:
            d.remove_all()
    if wanted("idle"):
        for d in daemons:
            d.stop()
            d.start()
        time.sleep(6)
        table.add("idle daemon (PSS)", {d.name: d.memory() for d in daemons}, "MiB", goal="≤ 20 MiB", note="1")
    if wanted("logs"):
        wrote, read = {d.name: [] for d in daemons}, {d.name: [] for d in daemons}
        for _ in range(options.log_rounds):
            for d in daemons:
                w, r = write_logs(d, options.log_mib)
                wrote[d.name].append(w)
                read[d.name].append(r)
        table.add(f"{options.log_mib} MiB of 100-byte log lines, written", medians(wrote), "s", goal="≤ 0.33×", note=str(options.log_rounds))
        table.add("the same, read back by the API", medians(read), "s", goal="≤ 0.33×", note=str(options.log_rounds))
    if wanted("ping"):
        rates = take_turns(daemons, 3, 0.2, lambda d: d.load("/_ping", options.seconds)[1])
        table.add("`GET /_ping`", medians(rates), "/s", note="3")
    if wanted("record") and any(d.name == "Lighter" for d in daemons):
        record_cost(next(d for d in daemons if d.name == "Lighter"), options, table)
    if any(d.name == "Lighter" for d in daemons) and wanted("watching"):
        watching.measure(next(d for d in daemons if d.name == "Lighter"), options, table)
    if wanted("images"):
        images.measure(options, daemons, table, medians, options.image_rounds)
    if wanted("networks"):
        networks.measure(options, daemons, table, take_turns, medians)
    if wanted("list"):
        makers = [threading.Thread(target=create_many, args=(d, options.containers)) for d in daemons]
        for m in makers:
            m.start()
        for m in makers:
            m.join()
        for d in daemons:
            have = len(json.loads(d.call("GET", "/containers/json?all=1")[1]))
            if have < options.containers:
                raise SystemExit(f"bench: {d.name} lists {have} containers")
        rates = take_turns(daemons, 3, 0.2, lambda d: d.load("/containers/json?all=1", options.seconds)[1])
        table.add(f"`GET /containers/json?all=1`, {options.containers} containers", medians(rates), "/s", goal="≥ 5×", note="3")
        starts = {d.name: [] for d in daemons}
        for _ in range(3):
            for d in daemons:
                d.stop()
                starts[d.name].append(d.start())
        table.add(f"start of the daemon with {options.containers} containers", medians(starts), "s", goal="≤ 0.5 s", note="3")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=REPO / "target")
    parser.add_argument("--daemons", default="lighter,dockerd,podman", help="which to compare")
    parser.add_argument("--only", help="of: run,exec,idle,logs,ping,record,watching,images,networks,list")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--gap", type=float, default=0.1, help="seconds between runs; back-to-back runs hide the kernel's grace periods")
    parser.add_argument("--seconds", type=float, default=3, help="length of a load run")
    parser.add_argument("--containers", type=int, default=1000)
    parser.add_argument("--log-mib", type=int, default=1024)
    parser.add_argument("--image-mib", type=int, default=300)
    parser.add_argument("--image-rounds", type=int, default=3)
    parser.add_argument("--log-rounds", type=int, default=1)
    parser.add_argument("--record-rounds", type=int, default=30)
    parser.add_argument("--no-record", default="--record=false", help="flag that turns recording off")
    parser.add_argument("--home", default="/tmp/lighter/bench")
    options = parser.parse_args()
    options.target = options.target.resolve()
    kinds = {"lighter": Lighter, "dockerd": Dockerd, "podman": Podman}
    daemons = [kinds[name](options, f"{options.home}/{name}") for name in options.daemons.split(",")]
    table = Table(daemons)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        run(options, daemons, table)
    finally:
        for d in daemons:
            try:
                d.clean()
            except Exception as error:  # the others must be cleaned all the same
                print(f"bench: cleaning up {d.name}: {error}", file=sys.stderr)
        table.show()


if __name__ == "__main__":
    main()
