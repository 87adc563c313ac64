#!/usr/bin/env bash
# Podwright at work, from nothing:  images/demo.sh [--private]
#
# Uses the Docker engine of this machine if one answers, else (or with --private) starts one of its own. Starts a registry,
# builds the agent and its image, serves an example repository over git http, and runs the agent as its container, as a pod
# would: nobody's user, a read-only root, no capabilities. Then it pulls what was pushed by digest, runs it, and shows what it
# serves; then it commits a change to one file and does it all again. Everything it started ends with it.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

private=
case ${1:-} in "") ;; --private) private=yes ;; *) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"; exit 2 ;; esac

scratch=$(mktemp -d /tmp/podwright-demo.XXXXXX)
work=$scratch
engine='' children=()
cleanup() {
  local status=$?
  ((${#children[@]} == 0)) || kill "${children[@]}" 2>/dev/null || true
  if [[ -n $engine ]]; then
    tests/env/engine down "$engine" || true
  elif [[ -n ${docker:-} ]]; then
    ((${#containers[@]} == 0)) || "${docker[@]}" rm -f "${containers[@]}" >/dev/null 2>&1 || true
    "${docker[@]}" rmi -f podwright:demo "${pulled[@]}" >/dev/null 2>&1 || true
  fi
  rm -rf "$scratch"
  exit "$status"
}
pulled=() containers=()
trap cleanup EXIT
trap 'exit 130' INT TERM

command -v cargo >/dev/null || die "no Rust toolchain here: https://rustup.rs has one"
tests/env/install git=git lighttpd=lighttpd docker-registry=docker-registry /bin/busybox=busybox-static curl=curl python3=python3 \
  cc=gcc /usr/include/stdio.h=libc6-dev /etc/ssl/certs/ca-certificates.crt=ca-certificates

# The engine: its socket, and the command that talks to it.
socket=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)
socket=${DOCKER_HOST:-${socket:-unix:///var/run/docker.sock}}
# Its containers must share this machine's network: not a rootless engine's, not one's in a virtual machine.
is_this_machines() {
  local info
  info=$(docker info --format '{{.Name}} {{.SecurityOptions}}' 2>/dev/null) && [[ $info == "$(uname -n) "* && $info != *rootless* ]]
}
if [[ -z $private && $socket == unix://* ]] && is_this_machines; then
  socket=$(realpath "${socket#unix://}")
  docker=(docker) inside=()
  say "using the Docker engine at $socket"
else
  say "starting a Docker engine of our own"
  tests/env/install dockerd=docker.io ip=iproute2 iptables=iptables debootstrap=debootstrap
  version=$(dockerd --version | sed 's/^Docker version \([0-9]*\.[0-9]*\).*/\1/')
  case $version in 20.10 | 26.1 | 28.5) ;; *) version=26.1 ;; esac
  tests/env/engine up "$version" "$work/engine"
  engine=$work/engine socket=$work/engine/docker.sock
  # Whatever engine the user's own docker talks to, from here on it is this one.
  unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
  docker=("$here/tests/env/engine" docker "$engine") inside=("$here/tests/env/engine" exec "$engine")
  work=$engine # what is below it, the engine sees too
fi

say "building the agent and its image"
DOCKER="${docker[*]}" images/build.sh podwright:demo -q
"${docker[@]}" image ls podwright:demo

free_port() { "${inside[@]}" python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Starts a server in the engine's network and waits until it answers:  serve PORT LOG COMMAND...
serve() {
  local port=$1 log=$2
  shift 2
  "${inside[@]}" "$@" >"$log" 2>&1 &
  children+=($!)
  "${inside[@]}" curl -s -o /dev/null --noproxy '*' --retry 50 --retry-delay 1 --retry-connrefused --max-time 30 "http://127.0.0.1:$port/" ||
    die "$1 does not answer on port $port: $(tail -n 3 "$log")"
}

say "starting a registry and a git server"
registry=$(free_port)
mkdir "$work/registry"
cat >"$work/registry.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: "$work/registry"}}
http: {addr: "127.0.0.1:$registry"}
Y
serve "$registry" "$work/registry.log" docker-registry serve "$work/registry.yml"

repository=$work/git/example
mkdir -p "$work/git"
cp -r images/example "$repository"
cp /bin/busybox "$repository/busybox"
example() { git -C "$repository" -c user.name=demo -c user.email=demo@example.com -c commit.gpgsign=false "$@"; }
example init -q -b main
example add -A
example commit -q -m "The example"
port=$(free_port)
backend=/usr/lib/git-core/git-http-backend
[[ -x $backend ]] || backend=$(git --exec-path)/git-http-backend
cat >"$work/git.conf" <<C
server.modules = ("mod_setenv", "mod_alias", "mod_cgi")
server.document-root = "$work/git"
server.bind = "127.0.0.1"
server.port = $port
alias.url = ("/" => "$backend/")
cgi.assign = ("" => "")
setenv.set-environment = ("GIT_PROJECT_ROOT" => "$work/git", "GIT_HTTP_EXPORT_ALL" => "1")
C
serve "$port" "$work/git.log" lighttpd -D -f "$work/git.conf"
echo "registry: 127.0.0.1:$registry    repository: http://127.0.0.1:$port/example/.git"

mkdir "$work/out"
chmod 0777 "$work/out"

# One run of the agent as its container, and a look at what came of it.
build_and_look() {
  local begun=$SECONDS digest image container
  "${docker[@]}" run --rm --network host --read-only --user 65532:65532 --group-add "$(stat -c %g "$socket")" \
    --cap-drop ALL --security-opt no-new-privileges --tmpfs /workspace:rw,uid=65532,gid=65532,mode=0700 \
    --volume "$socket:/var/run/docker.sock" --volume "$work/out:/out" podwright:demo build \
    --git "http://127.0.0.1:$port/example/.git" --ref main --allow plain-http \
    --destination "127.0.0.1:$registry/demo/web:latest" --workspace /workspace --result-file /out/result.json --progress plain
  digest=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["image"]["digest"])' "$work/out/result.json")
  image=127.0.0.1:$registry/demo/web@$digest
  pulled+=("$image")
  "${docker[@]}" pull -q "$image" >/dev/null
  container=$("${docker[@]}" run -d --rm "$image")
  containers+=("$container")
  echo
  echo "running $image, which serves:"
  for _ in $(seq 50); do
    ! "${docker[@]}" exec "$container" /bin/wget -qO- http://127.0.0.1:8080/ 2>/dev/null || break
    sleep 0.1
  done
  "${docker[@]}" rm -f "$container" >/dev/null
  echo "(from source to running in $((SECONDS - begun)) s)"
}

say "source to image to registry, as nobody, in a container with a read-only root"
build_and_look

say "a change to one file, and again"
sed -i 's/Hello from a pod/Hello again, with a change/' "$repository/www/index.html"
example commit -qam "A change to one file"
build_and_look
