#!/usr/bin/env bash
# Podwright's release binary beside what people run today, in one run:  tests/bench.sh [OPTION...]
#
#   --full           also 100,000 small files, and 1 GiB in 20 files
#   --runs N         runs of each side, by turns (default 5); the medians are compared
#   --engine NAME    20.10 (default), 26.1, 28.5; with +containerd for that image store
#   --only PART      one of end, fetch, build, transfer, memory, start, output; may be repeated
#   --disk           the engine's images on this machine's disk, not on a tmpfs: nearer to a node, and several times noisier
#
#   end      a git server over http → image in a registry, against `git clone --depth 1 && docker build && docker push`
#   fetch    a source alone: git over http and ssh, 60,000 refs, a whole history, 100 submodules, against `git clone`; a tar by URL of
#            256 MiB (4 GiB with --full), against `curl | docker build -`
#   build    a directory → image, against `docker build` by the engine's own CLI, BuildKit and classic
#   transfer 20,000 files, built, two of them changed, built again: seconds, and what the daemon says that it was sent; from a
#            directory and from git, against `docker build` (26.1 and newer: buildx) of the same directory and of a fresh clone
#   memory   peak RSS and cgroup peak of the binary in its image, against the CLI's and git's own
#   start    exec to first event, and a build in which everything is cached, against the bare API call
#   output   a step that prints 1,000,000 lines, against the same build read raw by curl
#
# On Debian, as root, it installs what is missing. A slow figure fails nothing; what does not work fails. Some 10 minutes on
# 2 cores once the release binary is there.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"; exit 2; }

engine=20.10 data=4g options=()
while (($#)); do
  case $1 in
    --full) data=12g options+=("$1") ;;
    --disk) disk=disk ;;
    --engine) (($# >= 2)) || usage; engine=$2; shift ;;
    --runs | --only) (($# >= 2)) || usage; options+=("$1" "$2"); shift ;;
    *) usage ;;
  esac
  shift
done
up=()
[[ $engine != *+containerd ]] || up+=(--containerd-store)
# A shared disk's writeback would be most of what is measured.
[[ ${disk:-} ]] || up+=(--data-size "$data")

tests/env/install dockerd=docker.io docker-registry=docker-registry debootstrap=debootstrap git=git lighttpd=lighttpd ip=iproute2 \
  iptables=iptables curl=curl python3=python3 /bin/busybox=busybox-static /usr/bin/time=time cc=gcc /usr/include/stdio.h=libc6-dev /usr/sbin/sshd=openssh-server ssh-keygen=openssh-client /etc/ssl/certs/ca-certificates.crt=ca-certificates
((EUID == 0)) || { echo "bench.sh: the private engine needs root (namespaces and mounts)" >&2; exit 1; }
unset GIT_SSL_CAINFO SSL_CERT_FILE SSL_CERT_DIR DOCKER_HOST DOCKER_CONFIG RUST_LOG
unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy

echo "building the release binary"
program=$(images/program)

scratch=$(mktemp -d /tmp/podwright-bench.XXXXXX)
trap 'tests/env/engine down "$scratch/e" 2>/dev/null || true; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
tests/env/engine up "${engine%+*}" "$scratch/e" "${up[@]}"
DOCKER="tests/env/engine docker $scratch/e" images/build.sh podwright:bench -q >"$scratch/image.log" 2>&1 ||
  { cat "$scratch/image.log" >&2; exit 1; }
# What is in the engine's directory, the engine's own CLI sees too.
tests/env/engine exec "$scratch/e" python3 -B tests/bench/main.py "$program" "${options[@]}" --images-on "${disk:-tmpfs}"
