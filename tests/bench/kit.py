"""What the bench stands on: the engine, its peers, trees of files, and runs that are measured. Standard library only.

Everything runs in the private engine's network (tests/env/engine exec) and lives below its directory, which the engine's own
CLI sees too. A run that fails ends the bench; a slow one is a figure.
"""

import hashlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

HOME = Path(os.environ["PODWRIGHT_ENGINE"])
SOCKET = HOME / "docker.sock"
# The engine's own CLI, in the engine's own file system.
DOCKER = ["nsenter", f"--mount={HOME}/proc/1/ns/mnt", "--", "/usr/bin/docker"]
ENV = {
    "PATH": os.environ["PATH"],
    "HOME": str(HOME / "home"),
    "DOCKER_HOST": f"unix://{SOCKET}",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "LC_ALL": "C",
}
for role in ("AUTHOR", "COMMITTER"):
    ENV |= {f"GIT_{role}_NAME": "bench", f"GIT_{role}_EMAIL": "bench@example.com"}
LOG = HOME / "run.log"


def die(message):
    sys.exit(f"bench: {message}")


# --- the engine ---------------------------------------------------------------------------------------------------------------


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(SOCKET))


def api(method, path):
    connection = Connection("docker", timeout=600)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status >= 400 and answer.status != 404:
        die(f"{method} {path}: {answer.status} {body[:300]}")
    return json.loads(body or "null")


def tidy():
    """A fresh cache: of what builds left on the engine nothing stays but the agent's own image."""
    for image in api("GET", "/images/json"):
        for name in image["RepoTags"] or []:
            if name != "podwright:bench" and name != "<none>:<none>":
                api("DELETE", f"/images/{name}?force=1")
    api("POST", "/images/prune?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D")
    api("POST", "/build/prune?all=1")
    # What is still to be written belongs to nobody's run.
    os.sync()


# --- runs ---------------------------------------------------------------------------------------------------------------------


def timed(argv, **env):
    """Seconds from exec to exit. Its output is in LOG."""
    with open(LOG, "wb") as log:
        begun = time.perf_counter()
        status = subprocess.call(argv, env=ENV | env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        seconds = time.perf_counter() - begun
    if status != 0:
        die(f"{argv} ended with {status}:\n{LOG.read_text(errors='replace')[-3000:]}")
    return seconds


def cached():
    """Whether the build that LOG tells of took its COPY from the cache."""
    text = LOG.read_text(errors="replace")
    if text.startswith('{"v":'):
        return json.loads(text.splitlines()[-1])["data"]["steps"]["cached"] > 0
    return "CACHED" in text or "Using cache" in text


def peak_rss(argv, **env):
    """MiB of the largest process among the command's."""
    out = HOME / "rss"
    timed(["/usr/bin/time", "-f", "%M", "-o", str(out), *argv], **env)
    return int(out.read_text().split()[-1]) / 1024


def entries(reference):
    """What is in an image of a registry: each path with its kind, mode, link target and content."""
    subprocess.check_call([*DOCKER, "pull", "-q", reference], env=ENV, stdout=subprocess.DEVNULL)
    container = subprocess.check_output([*DOCKER, "create", reference, "none"], env=ENV, text=True).strip()
    found = {}
    with subprocess.Popen([*DOCKER, "export", container], env=ENV, stdout=subprocess.PIPE) as export:
        with tarfile.open(fileobj=export.stdout, mode="r|") as tar:
            for entry in tar:
                content = hashlib.sha256(tar.extractfile(entry).read()).digest() if entry.isreg() else None
                found[entry.name] = (entry.type, entry.mode, entry.linkname, content)
    subprocess.check_call([*DOCKER, "rm", container], env=ENV, stdout=subprocess.DEVNULL)
    return found


class Cgroup:
    """A memory cgroup above a run's own: its peak outlives the run. It counts the page cache of files first touched by the
    run, written ones among them, and for a container what runc does before it becomes the program."""

    def __init__(self):
        self.v1 = Path("/sys/fs/cgroup/memory").is_dir()
        self.name = f"podwright-bench-{os.urandom(4).hex()}"
        self.dir = Path("/sys/fs/cgroup/memory" if self.v1 else "/sys/fs/cgroup") / self.name

    def __enter__(self):
        if not self.v1:
            (self.dir.parent / "cgroup.subtree_control").write_text("+memory")
        self.dir.mkdir()
        return self

    def __exit__(self, *_):
        for _ in range(100):
            try:
                return self.dir.rmdir()
            except OSError:
                time.sleep(0.05)  # the container's own below it is being removed

    def peak(self):
        return int((self.dir / ("memory.max_usage_in_bytes" if self.v1 else "memory.peak")).read_text()) / 2**20

    def around(self, argv):
        return ["/bin/sh", "-c", f'echo $$ > {self.dir}/cgroup.procs && exec "$@"', "sh", *argv]


class Watch(threading.Thread):
    """The high-water mark of the engine's process of this name, read every 2 ms until it is gone: the mark only rises, so
    nothing but its last 2 ms can be missed."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.name_of, self.kib, self.over = name, 0, False

    def run(self):
        while not self.over:
            for process in (HOME / "proc").glob("[0-9]*"):
                try:
                    if (process / "comm").read_text().strip() == self.name_of:
                        status = (process / "status").read_text()
                        self.kib = max(self.kib, int(status.split("VmHWM:")[1].split()[0]))
                except (OSError, IndexError):
                    continue
            time.sleep(0.002)

    def stop(self):
        self.over = True
        self.join()
        assert self.kib > 0, f"{self.name_of} was never seen"
        return self.kib / 1024


# --- what is built ------------------------------------------------------------------------------------------------------------


def tree(name, files, least, most, seed=1):
    """Files of text of least..most bytes, 50 to a directory, each with content of its own."""
    root, rnd = HOME / "trees" / name, random.Random(seed)
    if root.exists():
        return root
    words = [rnd.randbytes(rnd.randint(1, 5)).hex() for _ in range(4000)]
    text = " ".join(rnd.choice(words) for _ in range(200_000)).encode()
    for number in range(files):
        directory = root / f"dir{number // 2500:02}" / f"sub{number // 50:04}"
        if number % 50 == 0:
            directory.mkdir(parents=True)
        size, at = rnd.randint(least, most), rnd.randrange(len(text) - most)
        (directory / f"file-{number:06}.txt").write_bytes(b"%d\n" % number + text[at : at + size])
    (root / "one.txt").write_text("one file\n")
    return dockerfiles(root)


def large(name, files, size):
    root, block = HOME / "trees" / name, random.Random(1).randbytes(1 << 20)
    root.mkdir(parents=True)
    for number in range(files):
        with open(root / f"large-{number:02}.bin", "wb") as file:
            for piece in range(size >> 20):
                file.write(b"%16d" % (number << 32 | piece) + block[16:])
            file.write(block[: size % (1 << 20)])
    (root / "one.txt").write_text("one file\n")
    return dockerfiles(root)


def dockerfiles(root):
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /src\n")
    (root / "one.Dockerfile").write_text("FROM scratch\nCOPY one.txt /one.txt\n")
    return root


def git(root, *arguments):
    subprocess.run(["git", "-C", root, *arguments], env=ENV, check=True, stdout=subprocess.DEVNULL)


def repository(root):
    # Both sides make the same image: a clone has a .git, and the agent's source has none.
    (root / ".dockerignore").write_text(".git\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "All of it")
    git(root, "repack", "-qad")


# --- peers --------------------------------------------------------------------------------------------------------------------


def serve(port, argv):
    """Starts a server; one that another part of the bench has started already goes on."""
    if socket.socket().connect_ex(("127.0.0.1", port)) == 0:
        return port
    with open(HOME / f"peer-{port}.log", "wb") as log:
        peer = subprocess.Popen(argv, env=ENV, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    for _ in range(200):
        if socket.socket().connect_ex(("127.0.0.1", port)) == 0:
            return port
        if peer.poll() is not None:
            break
        time.sleep(0.05)
    die(f"{argv[0]} does not serve: {(HOME / f'peer-{port}.log').read_text()[-1000:]}")


def registry():
    port, config = 5001, HOME / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: '{HOME}/registry'}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    return serve(port, ["docker-registry", "serve", str(config)])


def git_server():
    """Smart HTTP by git's own program: what is below trees/."""
    port, config = 5002, HOME / "lighttpd.conf"
    backend = Path(subprocess.check_output(["git", "--exec-path"], text=True).strip()) / "git-http-backend"
    config.write_text(
        f"""server.modules = ("mod_setenv", "mod_alias", "mod_cgi")
server.document-root = "{HOME}/trees"
server.bind = "127.0.0.1"
server.port = {port}
server.stream-response-body = 1
alias.url = ("/" => "{backend}/")
cgi.assign = ("" => "")
setenv.set-environment = ("GIT_PROJECT_ROOT" => "{HOME}/trees", "GIT_HTTP_EXPORT_ALL" => "1",
  "GIT_CONFIG_NOSYSTEM" => "1", "GIT_CONFIG_GLOBAL" => "/dev/null")
"""
    )
    return serve(port, ["lighttpd", "-D", "-f", str(config)])
