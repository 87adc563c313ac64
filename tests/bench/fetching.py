"""The rows of `tests/bench.sh --only fetch`: getting a source, against what people run for it today."""

import json
import os
import random
import subprocess
import tarfile

import kit
from kit import DOCKER, HOME

# The aim, of the peer's median.
AIM = 1.0
SSH_PORT = 5003
SUBMODULES, REFS, COMMITS = 100, 60_000, 2_000


def phase(argv, name="fetch"):
    """Runs the agent; the seconds that one phase of it took, by its own events."""
    kit.timed(argv)
    for line in kit.LOG.read_text(errors="replace").splitlines():
        event = json.loads(line)
        if event["event"] == "phase.finished" and event["phase"] == name:
            return event["data"]["duration_ms"] / 1000
    kit.die(f"{argv} finished no {name}")


def by_turns(bench, name, ours, peer, runs=None, **env):
    """One row: the agent's fetch, and a clone into a directory that is gone again."""
    row = bench.row(name, "s", ratio_aim=AIM)
    for _ in range(runs or bench.runs):
        row.ours.append(phase(bench.agents("auto", "--no-push", "-t", "ours", "-f", "one.Dockerfile", *ours)))
        row.peer.append(kit.timed([*peer, str(HOME / "clone")], **env))
        subprocess.check_call(["rm", "-rf", HOME / "clone"])


def fetch(bench, full):
    web = kit.tree("web", 5000, 200, 8000)
    if not (web / ".git").exists():
        kit.repository(web)
    kit.git_server()
    url = lambda name: f"http://127.0.0.1:5002/{name}/.git"
    plain = ["--allow", "plain-http"]
    by_turns(bench, "git over http, one commit, 5,000 files", ["--git", url("web"), *plain], ["git", "clone", "-q", "--depth", "1", "--bare", url("web")])
    secret, command = ssh_server()
    ssh = f"ssh://root@127.0.0.1:{SSH_PORT}{HOME}/trees/web/.git"
    peer = ["git", "clone", "-q", "--depth", "1", "--bare", ssh]
    by_turns(bench, "git over ssh, one commit, 5,000 files", ["--git", ssh, "--source-secret", str(secret)], peer, GIT_SSH_COMMAND=command)
    refs(HOME / "trees" / "refs")
    # A commit that changed nothing else: the list of refs is all there is to wait for.
    by_turns(bench, f"git over http, {REFS:,} refs", ["--git", url("refs"), *plain], ["git", "clone", "-q", "--depth", "1", "--bare", url("refs")])
    history(HOME / "trees" / "history")
    whole = ["--git", url("history"), *plain, "--keep-git-dir", "--history", "0"]
    by_turns(bench, f"git with its .git, {COMMITS:,} commits", whole, ["git", "clone", "-q", url("history")])
    submodules(HOME / "trees")
    recursive = ["git", "clone", "-q", "--depth", "1", "--recursive", "--shallow-submodules", url("modules")]
    by_turns(bench, f"git, {SUBMODULES} submodules", ["--git", url("modules"), *plain, "--submodules"], recursive, runs=min(bench.runs, 3))
    tarball(bench, 4 << 10 if full else 256)


def ssh_server():
    """OpenSSH's, for root by one key; the agent's secret directory, and git's command for the same."""
    home, secret = HOME / "sshd", HOME / "ssh-secret"
    home.mkdir()
    secret.mkdir()
    for key in (home / "host", secret / "ssh-privatekey"):
        subprocess.check_call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    authorized = (secret / "ssh-privatekey.pub").read_text()
    (home / "authorized").write_text(authorized)
    known = f"[127.0.0.1]:{SSH_PORT} {(home / 'host.pub').read_text()}"
    (secret / "known_hosts").write_text(known)
    config = home / "config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{SSH_PORT}\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\nPidFile none\nUsePAM no\n"
        "StrictModes no\nPermitRootLogin prohibit-password\n"
        "SetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n"
    )
    os.makedirs("/run/sshd", exist_ok=True)
    kit.serve(SSH_PORT, ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)])
    return secret, f"ssh -i {secret}/ssh-privatekey -o UserKnownHostsFile={secret}/known_hosts -o IdentitiesOnly=yes"


def refs(root):
    root.mkdir()
    kit.dockerfiles(root)
    (root / "one.txt").write_text("one file\n")
    kit.repository(root)
    head = subprocess.check_output(["git", "-C", root, "rev-parse", "HEAD"], env=kit.ENV, text=True).strip()
    lines = "".join(f"create refs/pull/{number}/head {head}\n" for number in range(REFS))
    subprocess.run(["git", "-C", root, "update-ref", "--stdin"], env=kit.ENV, check=True, input=lines, text=True)
    kit.git(root, "pack-refs", "--all")


def history(root):
    """A history of small changes to a few hundred files."""
    root.mkdir()
    rnd, stream = random.Random(1), []
    kit.git(root, "init", "-q", "-b", "main")
    files = {f"dir{n % 20:02}/file{n:03}.txt": rnd.randbytes(1500).hex() for n in range(300)}
    files |= {"one.txt": "one file\n", "one.Dockerfile": "FROM scratch\nCOPY one.txt /one.txt\n"}
    for number in range(COMMITS):
        changed = list(files) if number == 0 else rnd.sample(sorted(files)[:300], 3)
        stream.append(f"commit refs/heads/main\ncommitter bench <bench@example.com> {1_700_000_000 + number} +0000\ndata 1\nx\n")
        for name in changed:
            if number > 0:
                files[name] = rnd.randbytes(20).hex() + files[name][40:]
            stream.append(f"M 100644 inline {name}\ndata {len(files[name])}\n{files[name]}\n")
    subprocess.run(["git", "-C", root, "fast-import", "--quiet"], env=kit.ENV, check=True, input="".join(stream), text=True)
    kit.git(root, "repack", "-qad")


def submodules(trees):
    main = trees / "modules"
    main.mkdir()
    kit.dockerfiles(main)
    (main / "one.txt").write_text("one file\n")
    kit.git(main, "init", "-q", "-b", "main")
    lines = []
    for number in range(SUBMODULES):
        root = trees / f"module-{number:03}"
        root.mkdir()
        for file in range(10):
            (root / f"file-{file}.txt").write_text(f"{number} {file}\n" * 50)
        kit.git(root, "init", "-q", "-b", "main")
        kit.git(root, "add", "-A")
        kit.git(root, "commit", "-q", "-m", "All of it")
        head = subprocess.check_output(["git", "-C", root, "rev-parse", "HEAD"], env=kit.ENV, text=True).strip()
        lines.append(f'[submodule "m{number}"]\n\tpath = m/{number}\n\turl = ../../module-{number:03}/.git\n')
        kit.git(main, "update-index", "--add", "--cacheinfo", f"160000,{head},m/{number}")
    (main / ".gitmodules").write_text("".join(lines))
    kit.git(main, "add", ".gitmodules", "one.txt", "Dockerfile", "one.Dockerfile")
    kit.git(main, "commit", "-q", "-m", "All of it")


def tarball(bench, mebibytes):
    """A tar by URL, to an image: what it costs that everything is spooled and checked before the daemon sees it."""
    root = kit.large("tarball", 16, (mebibytes << 20) // 16)
    with tarfile.open(HOME / "trees" / "large.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(root, ".")
    url = "http://127.0.0.1:5004/large.tar"
    config = HOME / "files.conf"
    config.write_text(f'server.document-root = "{HOME}/trees"\nserver.bind = "127.0.0.1"\nserver.port = 5004\nserver.max-keep-alive-requests = 0\n')
    kit.serve(5004, ["lighttpd", "-D", "-f", str(config)])
    script = f"curl -sSf {url} | {' '.join(DOCKER)} build -t peer -"
    for builder, buildkit in {"classic": "0", "buildkit": "1"}.items():
        # The classic builder is told all of it again; BuildKit asks for what it needs.
        row = bench.row(f"a tar of {mebibytes} MiB by URL, {builder}", "s", ratio_aim=AIM if builder == "buildkit" else None)
        rss = bench.row(f"peak RSS of it, {builder}", "MiB", most=48.0)
        for _ in range(min(bench.runs, 3)):
            kit.tidy()
            ours = bench.agents(builder, "--archive", url, "--allow", "plain-http", "--no-push", "-t", "ours")
            row.ours.append(kit.timed(ours))
            kit.tidy()
            row.peer.append(kit.timed(["/bin/sh", "-c", script], DOCKER_BUILDKIT=buildkit))
        kit.tidy()
        rss.ours.append(kit.peak_rss(ours))
        rss.peer.append(kit.peak_rss([*DOCKER, "version"]))
