"""The rows of tests/bench.sh: each side's runs by turns, then one table of medians. See there for what is compared."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
import urllib.parse
from dataclasses import dataclass, field

import fetching
import kit
import transfer
from kit import DOCKER, HOME, SOCKET

PARTS = ["end", "fetch", "build", "transfer", "memory", "start", "output"]
BUILDKIT = {"classic": "0", "buildkit": "1"}
# The aims: of the peer's median, or MiB and ms.
END_TO_END, CONTEXT, RSS, GIT_RSS, FIRST_EVENT, OUTPUT = 0.7, {"buildkit": 0.95, "classic": 1.0}, 48.0, 1.5, 10.0, 1.05


@dataclass
class Row:
    name: str
    unit: str
    ours: list = field(default_factory=list)
    peer: list = field(default_factory=list)
    ratio_aim: float | None = None  # of the peer's median
    most: float | None = None  # in the row's unit

    def verdict(self):
        """What was aimed at, and by what factor it was missed: at most 1 is met."""
        ours = statistics.median(self.ours)
        if self.ratio_aim is not None:
            return f"≤ {self.ratio_aim:.2f}×", ours / statistics.median(self.peer) / self.ratio_aim
        if self.most is not None:
            return f"≤ {self.most:.0f} {self.unit}", ours / self.most
        return "–", None


class Bench:
    def __init__(self, agent, runs, full):
        self.agent, self.runs, self.full, self.rows = agent, runs, full, []
        (HOME / "ws").mkdir(mode=0o777)
        (HOME / "ws").chmod(0o777)
        (HOME / "home").mkdir()

    def row(self, *arguments, **options):
        row = Row(*arguments, **options)
        self.rows.append(row)
        print(f"[{time.strftime('%H:%M:%S')}] {row.name}", file=sys.stderr, flush=True)
        return row

    def agents(self, builder, *arguments):
        return [self.agent, "build", "--builder", builder, "--workspace", str(HOME / "ws"), *arguments]

    # --- a git server to a registry

    def end(self):
        root = kit.tree("web", 5000, 200, 8000)
        kit.repository(root)
        registry, url = f"127.0.0.1:{kit.registry()}", f"http://127.0.0.1:{kit.git_server()}/web/.git"
        clone = HOME / "clone"
        script = 'git clone -q --depth 1 "$1" "$2" && docker() { %s "$@"; } && docker build -t "$3" "$2" && docker push "$3"' % " ".join(DOCKER)
        for builder, buildkit in BUILDKIT.items():
            row = self.row(f"git → registry, {builder}", "s", ratio_aim=END_TO_END)
            for run in range(self.runs):
                # A layer the registry never saw, for each side: our times are the commit's, a clone's are its own.
                (root / "round.txt").write_text(f"{builder} {run}\n")
                kit.git(root, "add", "-A")
                kit.git(root, "commit", "-q", "-m", f"{builder} {run}")
                kit.tidy()
                ours = self.agents(builder, "--git", url, "--ref", "main", "--allow", "plain-http", "-d", f"{registry}/ours:{builder}-{run}")
                row.ours.append(kit.timed(ours))
                assert not kit.cached(), "a fresh cache was not fresh"
                kit.tidy()
                peer = ["/bin/sh", "-c", script, "sh", url, str(clone), f"{registry}/peer:{builder}-{run}"]
                row.peer.append(kit.timed(peer, DOCKER_BUILDKIT=buildkit))
                assert not kit.cached(), "a fresh cache was not fresh"
                subprocess.check_call(["rm", "-rf", clone])
            assert kit.entries(f"{registry}/ours:{builder}-0") == kit.entries(f"{registry}/peer:{builder}-0"), "the images are not equal"

    # --- a source alone

    def fetch(self):
        fetching.fetch(self, self.full)

    # --- a directory to an image

    def build(self):
        trees = [("5,000 small files", kit.tree("small", 5000, 200, 8000), self.runs)]
        if self.full:
            fewer = min(self.runs, 3)
            trees.append(("100,000 small files", kit.tree("many", 100_000, 200, 2000), fewer))
            trees.append(("1 GiB in 20 files", kit.large("large", 20, (1 << 30) // 20), fewer))
        for what, root, runs in trees:
            for builder in BUILDKIT:
                for copy, dockerfile in [("COPY . /src", "Dockerfile"), ("COPY of one file", "one.Dockerfile")]:
                    self.contexts(f"{what}, {copy}, {builder}", root, dockerfile, builder, runs)

    def contexts(self, name, root, dockerfile, builder, runs):
        first, again = (self.row(f"{name}, {when}", "s", ratio_aim=CONTEXT[builder]) for when in ("fresh", "again"))
        sides = [
            (first.ours, again.ours, self.agents(builder, "--directory", str(root), "-f", dockerfile, "--no-push", "-t", "ours")),
            (first.peer, again.peer, [*DOCKER, "build", "-t", "peer", "-f", str(root / dockerfile), str(root)]),
        ]
        for _ in range(runs):
            for fresh, unchanged, argv in sides:
                kit.tidy()
                for samples, is_cached in [(fresh, False), (unchanged, True)]:
                    samples.append(kit.timed(argv, DOCKER_BUILDKIT=BUILDKIT[builder]))
                    assert kit.cached() == is_cached, f"{argv}: cached is {not is_cached}"

    # --- a tree of which two files changed

    def transfer(self):
        transfer.transfer(self)

    # --- memory

    def memory(self):
        small, archive = kit.tree("small", 5000, 200, 8000), HOME / "small.tar.gz"
        if not (HOME / "trees" / "web").exists():
            kit.repository(kit.tree("web", 5000, 200, 8000))
            kit.git_server()
        with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
            tar.add(small, ".")
        url = "http://127.0.0.1:5002/web/.git"
        sources = {
            "directory": (["--directory", str(small)], [*DOCKER, "build", "-t", "peer", str(small)]),
            "archive": (["--archive", str(archive)], ["/bin/sh", "-c", f"exec {' '.join(DOCKER)} build -t peer - < {archive}"]),
            "git": (["--git", url, "--allow", "plain-http"], ["git", "clone", "-q", "--depth", "1", url, str(HOME / "clone")]),
        }
        blob = max(file.stat().st_size for file in small.rglob("*.txt")) / 2**20
        for source, (arguments, peer) in sources.items():
            for builder in BUILDKIT:
                self.remember(source, builder, arguments, peer, blob)

    def remember(self, source, builder, arguments, peer, blob):
        rss = self.row(f"peak RSS, {source}, {builder}", "MiB")
        group = self.row(f"cgroup peak, {source}, {builder}", "MiB")
        for _ in range(min(self.runs, 3)):
            kit.tidy()
            with kit.Cgroup() as cgroup:
                watch = kit.Watch("podwright")
                watch.start()
                kit.timed(self.contained(builder, cgroup, *arguments))
                rss.ours.append(watch.stop())
                group.ours.append(cgroup.peak())
            kit.tidy()
            with kit.Cgroup() as cgroup:
                rss.peer.append(kit.peak_rss(cgroup.around(peer), DOCKER_BUILDKIT=BUILDKIT[builder]))
                group.peer.append(cgroup.peak())
            subprocess.check_call(["rm", "-rf", HOME / "clone"])
        rss.most = GIT_RSS * statistics.median(rss.peer) + blob if source == "git" else RSS

    def contained(self, builder, cgroup, *arguments):
        """The agent as a pod runs it: nobody, a read-only root, no capabilities."""
        mounts = [f"--volume={SOCKET}:/var/run/docker.sock", f"--volume={HOME}/trees:{HOME}/trees:ro"]
        mounts += [f"--volume={HOME}/small.tar.gz:{HOME}/small.tar.gz:ro", f"--volume={HOME}/ws:/workspace"]
        locks = ["--read-only", "--user=65532:65532", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        place = ["--network=host", f"--group-add={SOCKET.stat().st_gid}", f"--cgroup-parent=/{cgroup.name}"]
        agent = ["podwright:bench", "build", "--builder", builder, "--workspace=/workspace", "--no-push", "-t", "ours"]
        return [*DOCKER, "run", "--rm", *locks, *place, *mounts, *agent, *arguments]

    # --- small things

    def start(self):
        first = self.row("exec to first event", "ms", most=FIRST_EVENT)
        for _ in range(20):
            # No engine answers: the run ends at once, after it began like any other.
            begun = time.perf_counter()
            argv = self.agents("auto", "--directory", str(HOME / "home"), "--no-push", "-t", "x", "--limit-engine-wait", "0")
            process = subprocess.Popen(argv, env=kit.ENV | {"DOCKER_HOST": "unix:///none"}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            line = process.stdout.readline()
            first.ours.append((time.perf_counter() - begun) * 1000)
            assert b'"run.started"' in line, line
            process.communicate()
        root = HOME / "trees" / "none"
        root.mkdir(parents=True)
        kit.dockerfiles(root)
        (root / "one.txt").write_text("one file\n")
        with tarfile.open(HOME / "none.tar", "w") as tar:
            tar.add(root, ".")
        target = "http://docker/build?t=peer"
        call = ["curl", "-sSf", "--unix-socket", str(SOCKET), "-H", "Content-Type: application/x-tar", "--data-binary", f"@{HOME}/none.tar", target]
        for builder, what, peer in [
            ("classic", "the API call by curl", call),
            ("buildkit", "docker build", [*DOCKER, "build", "-t", "peer", str(root)]),
        ]:
            row = self.row(f"all cached, {builder}, against {what}", "ms")
            kit.tidy()
            ours = self.agents(builder, "--directory", str(root), "--no-push", "-t", "ours")
            for run in range(21):
                for samples, argv in [(row.ours, ours), (row.peer, peer)]:
                    samples.append(kit.timed(argv, DOCKER_BUILDKIT="1") * 1000)
                    assert run == 0 or kit.cached(), "not from the cache"
            # The first of each filled the cache.
            del row.ours[0], row.peer[0]

    # --- what steps print

    def output(self):
        """The classic builder's: BuildKit in the daemon clips what a step prints."""
        root, text = HOME / "trees" / "printing", "   Compiling a-crate-with-a-name v1.2.3 (/src/crates/a-crate-with-a-name)"
        root.mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "busybox")
        printing = json.dumps(["/busybox", "sh", "-c", f"yes '{text}' | head -n 1000000"])
        (root / "Dockerfile").write_text(f"FROM scratch\nCOPY busybox /busybox\nRUN {printing}\n")
        with tarfile.open(HOME / "printing.tar", "w") as tar:
            tar.add(root, ".")
        # Each label is a step of the classic builder's.
        labels = json.dumps({"org.opencontainers.image.source": str(root), "podwright.source.kind": "directory"})
        target = "http://docker/build?" + urllib.parse.urlencode({"t": "peer", "nocache": "1", "rm": "1", "labels": labels})
        call = ["curl", "-sSf", "--unix-socket", str(SOCKET), "-H", "Content-Type: application/x-tar", "--data-binary", f"@{HOME}/printing.tar", target]
        ours = self.agents("classic", "--directory", str(root), "--no-push", "-t", "ours", "--no-cache")
        row = self.row("a step that prints 1,000,000 lines, classic, against the API call by curl", "s", ratio_aim=OUTPUT)
        for _ in range(self.runs):
            for samples, argv in [(row.ours, ours), (row.peer, call)]:
                kit.tidy()
                samples.append(kit.timed(argv))
                said = kit.LOG.read_bytes()
                # Some go through a cut; more may be missing only where that is said, as on a machine that is busy with other things.
                assert said.count(text.encode()) >= 900_000 or b'"events.dropped"' in said, f"{argv}: lines are missing"

    # --- the table

    def report(self, engine, images_on):
        head = ["", "unit", "ours", "peer", "ratio", "aim", "met", "ours min–max", "peer min–max"]
        lines, missed = [head], []
        for row in self.rows:
            ours, peer = statistics.median(row.ours), statistics.median(row.peer) if row.peer else None
            aim, off = row.verdict()
            digits = 2 if row.unit == "s" else 1
            met = "" if off is None else "yes" if off <= 1 else "NO"
            ratio = f"{ours / peer:.2f}×" if peer else ""
            spans = [f"{min(side):.{digits}f}–{max(side):.{digits}f}" if side else "" for side in (row.ours, row.peer)]
            lines.append([row.name, row.unit, f"{ours:.{digits}f}", f"{peer:.{digits}f}" if peer else "", ratio, aim, met, *spans])
            if off is not None and off > 1:
                missed.append(f"  {row.name}: {100 * (off - 1):.0f} % over {aim}")
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        for line in lines:
            cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
            print("  ".join(cells).rstrip())
        noise = [(max(row.peer) / min(row.peer) - 1) * 100 for row in self.rows if row.unit == "s"]
        if noise:
            print(f"\nnoise: a peer's slowest run took {min(noise):.0f}–{max(noise):.0f} % longer than its fastest, {statistics.median(noise):.0f} % in the median row")
        print(f"engine {engine['Version']} (API {engine['ApiVersion']}), its images on {images_on}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Linux {platform.release()}")
        print("missed:\n" + "\n".join(missed) if missed else "every aim is met")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("agent")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--images-on", required=True)
    parser.add_argument("--only", action="append", choices=PARTS)
    options = parser.parse_args()
    bench = Bench(options.agent, options.runs, options.full)
    for part in PARTS:
        if not options.only or part in options.only:
            getattr(bench, part)()
    bench.report(kit.api("GET", "/version"), options.images_on)


main()
