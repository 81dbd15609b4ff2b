"""What docker-py users do, once through. Prints "ok" at the end; any
difference is an AssertionError or an exception of docker-py itself."""

import sys
import threading

import docker

MARK = sys.argv[1]
LABELS = {"lighter.compat": MARK}
client = docker.from_env(timeout=60)


def run():
    out = client.containers.run("busybox", ["echo", "hello"], remove=True, network_mode="none", labels=LABELS)
    assert out == b"hello\n", out
    try:
        client.containers.run("busybox", "sh -c 'echo broken >&2; exit 4'", network_mode="none", labels=LABELS)
        raise AssertionError("no ContainerError")
    except docker.errors.ContainerError as error:
        assert error.exit_status == 4, error
        assert error.stderr == b"broken\n", error.stderr
    try:
        client.containers.run("busybox", "no-such-program", network_mode="none", labels=LABELS)
        raise AssertionError("no APIError")
    except docker.errors.APIError as error:
        assert error.response.status_code in (400, 500), error
        assert "executable file not found in $PATH" in error.explanation, error


def life():
    container = client.containers.create(
        "busybox", ["sh", "-c", "echo out; echo err >&2; sleep 1000"],
        name=f"{MARK}-py", labels=LABELS, environment={"A": "1"}, mem_limit="64m", network_mode="none", init=True)
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running", container.status
    assert container.attrs["HostConfig"]["Memory"] == 64 << 20
    for line in container.logs(stream=True, follow=True):
        if line == b"err\n":
            break
    code, output = container.exec_run(["sh", "-c", "echo $A$B; exit 3"], environment={"B": "2"})
    assert (code, output) == (3, b"12\n"), (code, output)
    code, (out, err) = container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True)
    assert (code, out, err) == (0, b"o\n", b"e\n")
    assert [c.id for c in client.containers.list(filters={"label": f"lighter.compat={MARK}", "status": "running"})] == [container.id]
    container.rename(f"{MARK}-py2")
    assert client.containers.get(f"{MARK}-py2").id == container.id
    container.stop(timeout=5)
    assert container.wait()["StatusCode"] == 143
    container.remove()
    try:
        client.containers.get(container.id)
        raise AssertionError("still there")
    except docker.errors.NotFound:
        pass


def attach():
    container = client.containers.create("busybox", "cat", stdin_open=True, labels=LABELS, network_mode="none")
    sock = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    sock._sock.sendall(b"typed\n")
    header = b""
    while len(header) < 8:
        header += sock._sock.recv(8 - len(header))
    size = int.from_bytes(header[4:], "big")
    assert header[0] == 1 and sock._sock.recv(size) == b"typed\n"
    sock.close()
    container.kill()
    assert container.wait()["StatusCode"] == 137
    container.remove()


def events():
    seen = []
    stream = client.events(decode=True, filters={"label": f"lighter.compat={MARK}", "event": ["create", "die"]})

    def read():
        for event in stream:
            seen.append(event["Action"])
            if event["Action"] == "die":
                return

    thread = threading.Thread(target=read)
    thread.start()
    client.containers.run("busybox", "true", remove=True, network_mode="none", labels=LABELS)
    thread.join(30)
    assert seen == ["create", "die"], seen
    stream.close()


def images():
    image = client.images.get("busybox")
    assert "busybox:latest" in image.tags
    assert image.tag(f"compat-{MARK}", "py")
    data = b"".join(client.images.get(f"compat-{MARK}:py").save(named=f"compat-{MARK}:py"))
    client.images.remove(f"compat-{MARK}:py")
    loaded = client.images.load(data)
    assert loaded[0].id == image.id, loaded
    client.images.remove(f"compat-{MARK}:py")
    try:
        client.images.get("no-such")
        raise AssertionError("no ImageNotFound")
    except docker.errors.ImageNotFound:
        pass
    assert len(image.history()) == 2


def system():
    assert client.ping()
    assert client.info()["OSType"] == "linux"
    assert client.version()["Os"] == "linux"
    usage = client.df()
    assert "Containers" in usage or "ContainerUsage" in usage  # before and from 1.52 on


for step in (system, run, life, attach, events, images):
    step()
print("ok")
