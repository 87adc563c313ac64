"""The rows of `tests/bench.sh --only transfer`: what a second build of a large tree sends, two files of it changed."""

import json
import re

import kit
from kit import DOCKER, HOME

FILES, LARGE, LARGE_BYTES = 20_000, 4, 8 << 20
# The aim, of the peer's median.
AIM = 1.0
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def sent():
    """MB that the daemon says came for the context, announcements too, in the run that LOG tells of: its word for either side."""
    text = kit.LOG.read_text(errors="replace")
    if not text.startswith('{"v":'):
        found = re.findall(r"transferring context: ([0-9.]+)([kMG]?B)", text)
        return max(float(number) * UNITS[unit] for number, unit in found) / 1e6
    events = [json.loads(line) for line in text.splitlines()]
    progress = [event["data"] for event in events if event["event"] == "build.progress"]
    return max(one["current"] for one in progress if one["id"].startswith("transferring context")) / 1e6


def bodies():
    """Files whose bodies the agent sent."""
    lines = kit.LOG.read_text(errors="replace").splitlines()
    return next(json.loads(line)["data"]["files"] for line in lines if '"context.sent"' in line)


def change(root, number):
    """Another content of the same size."""
    for name in ("one.txt", "dir00/sub0007/file-000377.txt"):
        text = (root / name).read_bytes()
        (root / name).write_bytes(b"%08d" % number + text[8:])


def transfer(bench):
    root = kit.tree("transfer", FILES, 1 << 10, 4 << 10)
    for number in range(LARGE):
        (root / f"large-{number}.bin").write_bytes((b"%16d" % number) * (LARGE_BYTES // 16))
    kit.repository(root)
    url = f"http://127.0.0.1:{kit.git_server()}/transfer/.git"
    clone, rounds = HOME / "clone", iter(range(1, 1 << 20))
    script = 'rm -rf "$2" && git clone -q --depth 1 "$1" "$2" && shift 2 && exec "$@"'
    by_clone = lambda argv: ["/bin/sh", "-c", script, "sh", url, str(clone), *argv]

    def next_round():
        change(root, next(rounds))
        kit.git(root, "commit", "-q", "-a", "-m", "Two files")

    for copy, dockerfile in [("COPY .", "Dockerfile"), ("COPY one", "one.Dockerfile")]:
        ours = lambda *source: bench.agents("buildkit", *source, "-f", dockerfile, "--no-push", "-t", "ours")
        build = lambda place: [*DOCKER, "build", "--progress=plain", "-t", "peer", "-f", str(place / dockerfile), str(place)]
        directory = (ours("--directory", str(root)), build(root))
        git = (ours("--git", url, "--ref", "main", "--allow", "plain-http"), by_clone(build(clone)))
        for source, (agent, peer) in [("directory", directory), ("git", git)]:
            measure(bench, f"{source}, {copy}", agent, peer, next_round)
    kit.tidy()


def measure(bench, name, agent, peer, next_round):
    rows = {}
    for when in ("first", "changed"):
        rows[when] = bench.row(f"{name}, {when}", "s", ratio_aim=AIM), bench.row("  sent", "MB"), bench.row("  bodies", "files")
    for _ in range(min(bench.runs, 3)):
        for side, argv in [("ours", agent), ("peer", peer)]:
            kit.tidy()
            for seconds, megabytes, files in rows.values():
                next_round()
                getattr(seconds, side).append(kit.timed(argv, DOCKER_BUILDKIT="1"))
                assert not kit.cached(), "a change was not seen"
                getattr(megabytes, side).append(sent())
                if side == "ours":
                    files.ours.append(bodies())
