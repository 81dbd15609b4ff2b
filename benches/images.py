"""Images for the benchmarks: one of eight layers made of this machine's own files, in a registry on loopback and in an
archive, and what it takes to pull and load it."""

import gzip
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path

LAYERS = 8


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def files_of(machine, wanted):
    """Files of the machine, `wanted` bytes of them, in the order of their names."""
    total = 0
    for top, dirs, names in os.walk(machine):
        dirs.sort()
        for name in sorted(names):
            path = Path(top, name)
            if path.is_symlink() or not path.is_file() or not os.access(path, os.R_OK):
                continue
            size = path.stat().st_size
            if total + size > wanted:
                continue
            total += size
            yield path
            if total > wanted - 65536:
                return


def layers(mib):
    """Eight tars of about the same size."""
    each = (mib << 20) // LAYERS
    buffer, tar, done = None, None, []
    for path in files_of("/usr", mib << 20):
        if tar is None:
            buffer = io.BytesIO()
            tar = tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT)
        info = tarfile.TarInfo(str(path).lstrip("/"))
        info.size, info.mode, info.mtime = path.stat().st_size, path.stat().st_mode & 0o7777, 1
        with open(path, "rb") as content:
            tar.addfile(info, content)
        if buffer.tell() >= each and len(done) < LAYERS - 1:
            tar.close()
            done.append(buffer.getvalue())
            tar = None
    if tar is not None:
        tar.close()
        done.append(buffer.getvalue())
    return done


class Registry:
    """Debian's docker-registry on a port of loopback."""

    def __init__(self, program, home):
        self.home = Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = self.home / "config.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {self.home}/data}}\nhttp:\n  addr: 127.0.0.1:{self.port}\n"
        )
        log = open(self.home / "log", "ab")
        self.process = subprocess.Popen([program, "serve", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.call("GET", "/v2/")
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"bench: no registry (log: {self.home}/log)") from None
                time.sleep(0.05)

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status >= 300:
            raise SystemExit(f"bench: registry: {method} {path}: {answer.status} {data!r}")
        return answer

    def blob(self, repository, data):
        digest = sha256(data)
        place = self.call("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
        path = "/v2/" + place.split("/v2/", 1)[1]
        self.call("PUT", f"{path}&digest={digest}", data, {"Content-Type": "application/octet-stream"})
        return {"digest": digest, "size": len(data)}

    def put(self, repository, tars):
        """Puts an image of these layers there, as `repository:latest`; gives its name."""
        kind = "application/vnd.docker"
        packed = [{"mediaType": f"{kind}.image.rootfs.diff.tar.gzip", **self.blob(repository, gzip.compress(tar, 6))} for tar in tars]
        config = json.dumps({
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine), "os": "linux",
            "config": {"Cmd": ["true"]}, "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars]},
            "history": [{"created_by": "bench"}] * len(tars),
        }).encode()
        config = {"mediaType": f"{kind}.container.image.v1+json", **self.blob(repository, config)}
        manifest = {"schemaVersion": 2, "mediaType": f"{kind}.distribution.manifest.v2+json", "config": config, "layers": packed}
        self.call("PUT", f"/v2/{repository}/manifests/latest", json.dumps(manifest), {"Content-Type": manifest["mediaType"]})
        return f"localhost:{self.port}/{repository}:latest"

    def stop(self):
        self.process.terminate()
        self.process.wait()


def peak(pid, begin):
    """The most memory (KiB) that a process had since `begin` was said, or says it."""
    if begin:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        return 0
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def settle():
    """What was written before must not be what a measurement waits for."""
    os.sync()


def remove(daemon, name):
    daemon.docker("rmi", "-f", name, check=False)
    settle()


def measure(options, daemons, table, medians, rounds):
    """Pull of everything, pull of what is there, load; in turns."""
    program = options.target / "peers/root/usr/bin/docker-registry"
    registry = Registry(program, Path(options.home) / "registry")
    archive = Path(options.home) / "image.tar"
    try:
        name = registry.put("bench/image", layers(options.image_mib))
        pulls, again, loads, peaks = ({d.name: [] for d in daemons} for _ in range(4))
        for n in range(rounds + 1):
            for d in daemons:
                pid = d.pid()
                peak(pid, True)
                spent = d.timed("pull", "-q", name)
                most = peak(pid, False)
                repeat = d.timed("pull", "-q", name)
                if not archive.exists():
                    d.docker("save", "-o", str(archive), name)
                remove(d, name)
                load = d.timed("load", "-q", "-i", str(archive))
                remove(d, name)
                if n:  # the first of each warms up
                    pulls[d.name].append(spent)
                    again[d.name].append(repeat)
                    loads[d.name].append(load)
                    peaks[d.name].append(most)
        size = f"{options.image_mib} MiB, {LAYERS} layers"
        table.add(f"`docker pull` of {size}, from a registry on loopback", medians(pulls), "s", goal="≤ 0.67×", note=str(rounds))
        table.add("the same when all is there", medians(again), "ms", goal="≤ 50 ms more than `docker ps`", note=str(rounds))
        table.add("most memory of the daemon while pulling (RSS)", medians(peaks), "MiB", goal="≤ 64 MiB", note=str(rounds))
        table.add(f"`docker load` of {size}", medians(loads), "s", goal="≤ 0.67×", note=str(rounds))
    finally:
        registry.stop()
        shutil.rmtree(registry.home, ignore_errors=True)
        archive.unlink(missing_ok=True)
