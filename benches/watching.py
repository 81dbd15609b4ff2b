"""Rows about what Lighter does beside running containers: looking at what they use, and indexing what they print.

CPU is utime and stime of the daemon itself, as /proc has them: the supervisors' share is the container's."""

import concurrent.futures
import json
import os
import sqlite3
import sys
import time

SAMPLED = 200
# Above what is asked for: a shell's pauses are never exact.
RATE = 52_000


def spent(d):
    """Seconds of CPU."""
    fields = open(f"/proc/{d.pid()}/stat").read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(d, work):
    """CPU of the daemon while `work` goes on, as a share of one core, and the seconds that took."""
    before, cpu = time.perf_counter(), spent(d)
    work()
    seconds = time.perf_counter() - before
    return 100 * (spent(d) - cpu) / seconds, seconds


def sampling(d, seconds):
    """With containers that sleep; the default interval of samples, and of looks at logs."""

    def one(n):
        body = {"Image": "busybox", "Cmd": ["sleep", "100000"], "HostConfig": {"NetworkMode": "none", **d.host_config}}
        d.call("POST", f"/containers/create?name=sampled{n}", body)
        status, data = d.call("POST", f"/containers/sampled{n}/start")
        if status != 204:
            raise SystemExit(f"bench: start: {data}")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(SAMPLED)))
    time.sleep(15)
    found = share(d, lambda: time.sleep(seconds))[0]
    kept = json.loads(d.call("GET", "/lighter/v1/metrics?container=sampled0")[1])["items"][0]["samples"]
    if len(kept) < seconds / 10:
        print(f"bench: only {len(kept)} samples were kept", file=sys.stderr)
    d.remove_all()
    return found


def printing(d, seconds):
    """A container that prints RATE lines a second: CPU, lines a second, and the share of lines that was not indexed."""
    script = f"i=0; while [ $i -lt {seconds * 10} ]; do seq {RATE // 10}; i=$((i+1)); usleep 85000; done"
    _, data = d.call("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sh", "-c", script], "HostConfig": {"NetworkMode": "none", **d.host_config}})
    one = json.loads(data)["Id"]
    printed = RATE // 10 * 10 * seconds

    def work():
        d.call("POST", f"/containers/{one}/start")
        d.call("POST", f"/containers/{one}/wait")

    cpu, took = share(d, work)
    # A search brings the index up to date first.
    d.call("GET", "/lighter/v1/logs/search?query=x")
    with sqlite3.connect(f"file:{d.home}/data/lighter.db?mode=ro", uri=True) as db:
        of = "JOIN logStreams s ON s.id = streamId WHERE s.shimContainerId = ?"
        (kept,) = db.execute(f"SELECT count(*) FROM logLines {of}", (one,)).fetchone()
        (gaps,) = db.execute(f"SELECT count(*) FROM logGaps {of}", (one,)).fetchone()
    if kept < printed and not gaps:
        print(f"bench: {printed - kept} lines are missing and no gap is told", file=sys.stderr)
    d.remove_all()
    return cpu, printed / took, 100 * (printed - kept) / printed


def measure(d, options, table):
    table.add(f"CPU of the daemon beside {SAMPLED} sleeping containers, of a core", {d.name: sampling(d, 60)}, "%", goal="≤ 2 %", note="60 s")
    # Less than what is kept of all lines: half a million.
    cpu, rate, missed = printing(d, 8)
    table.add(f"the same beside one that prints {rate / 1000:.0f},000 lines a second, of a core", {d.name: cpu}, "%", note="8 s")
    table.add("lines of it that were not indexed", {d.name: missed}, "%", goal="0, or told", note="1")
