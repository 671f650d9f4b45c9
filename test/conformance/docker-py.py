"""What a user of docker-py does to containers, against the socket in DOCKER_HOST. Prints one line a check."""
import io
import tarfile
import threading
import docker

IMG = "berth.test/busybox:1"
client = docker.from_env()


def check(name, ok):
    print(("ok " if ok else "FAILED ") + name)


check("ping", client.ping())
check("version", client.version()["ApiVersion"] == "1.51")
check("info", client.info()["OSType"] == "linux")
check("run gives output", client.containers.run(IMG, ["echo", "hello"], remove=True, network_mode="none") == b"hello\n")
try:
    client.containers.run(IMG, ["sh", "-c", "echo bad >&2; exit 3"], remove=True, network_mode="none")
    check("run raises on failure", False)
except docker.errors.ContainerError as error:
    check("run raises on failure", error.exit_status == 3 and b"bad" in error.stderr)
try:
    client.containers.run("nosuch:1", ["true"])
    check("unknown image", False)
except (docker.errors.ImageNotFound, docker.errors.APIError):
    check("unknown image", True)

box = client.containers.run(IMG, ["sleep", "1000"], detach=True, network_mode="none", labels={"a": "b"}, name="py")
check("list by label", [c.id for c in client.containers.list(filters={"label": "a=b"})] == [box.id])
check("exec_run", box.exec_run(["sh", "-c", "echo out; exit 4"]) == (4, b"out\n"))
check("exec_run demux", box.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output == (b"o\n", b"e\n"))
# A client that is slow to read the head: docker-py loses what comes together with it.
slow = True
burners = [threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(lambda: slow, False)]) for _ in range(3)]
for burner in burners:
    burner.start()
outputs = [box.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output for _ in range(20)]
slow = False
check("exec_run of a slow reader", outputs == [(b"o\n", b"e\n")] * 20)
check("exec_run stream", b"".join(box.exec_run(["seq", "3"], stream=True).output) == b"1\n2\n3\n")
check("exec_run tty", box.exec_run(["tty"], tty=True).output.strip() == b"/dev/pts/0")
check("top", box.top()["Titles"] is not None)
box.rename("py2")
box.reload()
check("rename", box.name == "py2")
box.stop(timeout=0)
box.reload()
check("stopped", box.status == "exited" and box.attrs["State"]["ExitCode"] == 137)
box.start()
box.kill()
check("wait", box.wait()["StatusCode"] == 137)
box.remove()
check("gone", client.containers.list(all=True, filters={"name": "py2"}) == [])

talk = client.containers.create(IMG, ["sh", "-c", "echo one; echo two >&2"], network_mode="none")
talk.start()
talk.wait()
check("logs", talk.logs(stdout=True, stderr=False) == b"one\n" and talk.logs(stdout=False, stderr=True) == b"two\n")
check("logs stream", b"".join(talk.logs(stream=True, stdout=True, stderr=False)) == b"one\n")
talk.remove()

meter = client.containers.run(IMG, ["sleep", "1000"], detach=True, network_mode="none", mem_limit="32m")
once = meter.stats(stream=False)
check("stats", once["memory_stats"]["limit"] == 32 << 20 and once["pids_stats"]["current"] == 1)
stream = meter.stats(decode=True)
frames = [next(stream), next(stream)]
check("stats stream", frames[1]["preread"] == frames[0]["read"])
meter.put_archive("/tmp", b"".join(client.images.get(IMG).save()))
chunks, status = meter.get_archive("/tmp/manifest.json")
check("archive", status["name"] == "manifest.json" and b"RepoTags" in b"".join(chunks))
check("diff", {"Path": "/tmp/manifest.json", "Kind": 1} in meter.diff())
check("export", "tmp/manifest.json" in tarfile.open(fileobj=io.BytesIO(b"".join(meter.export()))).getnames())
made = meter.commit("berth.test/py-made", "1", message="made here")
check("commit", made.history()[0]["Comment"] == "made here")
client.images.remove("berth.test/py-made:1")
meter.kill()
meter.wait()
check("stats of a stopped one", meter.stats(stream=False)["memory_stats"] == {})
usage = client.df()
check("df", meter.id in [c["Id"] for c in usage["Containers"]] and usage["LayersSize"] > 0 and usage["BuildCache"] == [])
check("prune containers", meter.id in client.containers.prune()["ContainersDeleted"])
check("prune images", client.images.prune(filters={"dangling": True})["SpaceReclaimed"] == 0)
check("prune volumes", client.volumes.prune()["SpaceReclaimed"] == 0)
check("prune networks", client.networks.prune()["NetworksDeleted"] in (None, []))

talker = client.containers.create(IMG, ["cat"], stdin_open=True, network_mode="none")
sock = talker.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
talker.start()
sock._sock.sendall(b"through the socket\n")
head = sock._sock.recv(8)
body = sock._sock.recv(100)
check("attach_socket", head[0] == 1 and body == b"through the socket\n")
sock.close()
talker.remove(force=True)

check("images", IMG in [t for i in client.images.list() for t in i.tags])
image = client.images.get(IMG)
image.tag("berth.test/py", "1")
check("tag", "berth.test/py:1" in client.images.get(IMG).tags)
saved = b"".join(image.save(named=True))
check("save", "manifest.json" in tarfile.open(fileobj=io.BytesIO(saved)).getnames())
client.images.remove("berth.test/py:1")
check("load", client.images.load(saved)[0].id == image.id)
check("history", len(image.history()) == 1)
events = client.events(since=0, until=2_000_000_000, decode=True, filters={"event": "create"})
check("events", next(events)["Action"] == "create")
events.close()
