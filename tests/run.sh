#!/usr/bin/env bash
# Runs every check and test there is, on private engines of its own, and says how many passed.
#
#   tests/run.sh                  everything, on 20.10 (graph driver) and 26.1 (containerd store): what CI runs
#   tests/run.sh --engine 28.5    the end-to-end tests on this engine alone; with +containerd for that store; `podman` is one too;
#                                 may be repeated
#   tests/run.sh --table          with these: what became of the options of a build, in one table, and an error where that is unknown
#   tests/run.sh --only NAME      the end-to-end tests whose names hold NAME, and nothing else
#
# On Debian, as root, it installs what is missing; elsewhere it says what that is. At most 60 minutes on 2 cores from nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"; exit 2; }

engines=() only='' table=''
while (($#)); do
  case $1 in
    --engine) (($# >= 2)) || usage; engines+=("$2"); shift ;;
    --only) (($# >= 2)) || usage; only=$2; shift ;;
    --table) table=yes ;;
    *) usage ;;
  esac
  shift
done
# A choice of engines or tests cannot fill the ledger's tables.
whole=yes
[[ -z $only && ${#engines[@]} -eq 0 ]] || whole=
((${#engines[@]})) || engines=(20.10 26.1+containerd)

say() { printf '\n== %s\n' "$*"; }
die() { printf 'run.sh: %s\n' "$*" >&2; exit 1; }

install_needs() {
  command -v cargo >/dev/null || die "no Rust toolchain here: https://rustup.rs has one"
  tests/env/install dockerd=docker.io docker-registry=docker-registry debootstrap=debootstrap git=git git-lfs=git-lfs lighttpd=lighttpd \
    /usr/lib/lighttpd/mod_openssl.so=lighttpd-mod-openssl htpasswd=apache2-utils /bin/busybox=busybox-static ip=iproute2 \
    xz=xz-utils zstd=zstd bzip2=bzip2 zip=zip unzip=unzip iptables=iptables curl=curl python3=python3 \
    strace=strace /usr/bin/time=time cc=gcc /usr/include/stdio.h=libc6-dev /etc/ssl/certs/ca-certificates.crt=ca-certificates \
    /usr/sbin/sshd=openssh-server ssh-keygen=openssh-client squid=squid-openssl tinyproxy=tinyproxy microsocks=microsocks
  ! ldd /bin/busybox >/dev/null 2>&1 || die "/bin/busybox needs libraries: install busybox-static in its place"
  ((EUID == 0)) || die "the private engines need root (namespaces and mounts)"
}

install_deny() {
  if ! cargo deny --version >/dev/null 2>&1; then
    say "installing cargo-deny"
    cargo install cargo-deny --version 0.20.2 --locked --quiet
  fi
}

passed=0 failed=0 skipped=0 broken=()

# Runs a step that is one check.
check() {
  local name=$1
  shift
  say "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) broken+=("$name"); fi
}

# Runs a step that prints libtest's summaries, and adds up what they say.
tests() {
  local name=$1 log=$scratch/output ok=0
  shift
  say "$name"
  "$@" 2>&1 | tee "$log" || ok=$?
  local summary before=$passed
  while read -r summary; do
    [[ $summary =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed\;\ ([0-9]+)\ ignored ]] || continue
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
    ((BASH_REMATCH[2] == 0)) || broken+=("$name")
  done < <(grep '^test result: ' "$log" || true)
  if ((ok != 0 || passed == before)) && [[ " ${broken[*]-} " != *"$name"* ]]; then
    failed=$((failed + 1)) broken+=("$name")
  fi
}

# The end-to-end tests on one engine of our own.
end_to_end() {
  local engine=$1 dir=$scratch/${1//[^a-z0-9]/} options=()
  [[ $engine != *+containerd ]] || options+=(--containerd-store)
  say "bringing up $engine"
  if ! tests/env/engine up "${engine%+*}" "$dir" "${options[@]}"; then
    failed=$((failed + 1)) broken+=("engine $engine")
    return
  fi
  running=$dir
  # Of the way to a source, and of the forms that one has, no engine knows anything, and of what is scripted in its place neither:
  # those tests run beside the first one alone.
  local skips=()
  [[ $engine == "${engines[0]}" ]] || skips=(--skip archive_forms:: --skip artifacts:: --skip choosing:: --skip daemon_tls:: --skip doors::
    --skip git_source:: --skip harness_tests:: --skip lfs --skip misbehaviour:: --skip outputs:: --skip prepared:: --skip receive::
    --skip redirects:: --skip requests:: --skip scale:: --skip secrets_and_stdin:: --skip sessions::the_daemon_holds --skip ssh::
    --skip submodules:: --skip upload:: --skip workspace::)
  # A hung daemon ends the run with a word, not CI without one. Some 8 minutes when all is well.
  tests "end to end on $engine" timeout --verbose --kill-after 10 40m \
    tests/env/engine exec "$dir" env PODWRIGHT_TEST_LEDGER="$scratch/ledger" "$it" ${only:+"$only"} "${skips[@]}"
  tests/env/engine down "$dir"
  running=
}

# The path of a test binary, built.
built() { cargo test --quiet --no-run --message-format json --test "$1" | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("target", {}).get("name") == sys.argv[1] and message.get("executable"):
        print(message["executable"])' "$1"; }

cleanup() {
  [[ -z ${running:-} ]] || tests/env/engine down "$running" || true
  if ((failed)); then echo "logs and what the failed tests left are in $scratch"; else rm -rf "$scratch"; fi
}

started=$SECONDS
install_needs
scratch=$(mktemp -d /tmp/podwright.XXXXXX)
# Some peers are other users (squid, ssh-agent): what is theirs lies below, and they have to get there.
chmod 0711 "$scratch"
umask 022
trap cleanup EXIT
trap 'exit 130' INT TERM

if [[ $whole ]]; then
  install_deny
  # First: whatever comes after would bring a stale Cargo.lock up to date.
  check "Cargo.lock is up to date" cargo fetch --locked --quiet
  check "cargo fmt" cargo fmt --check
  # The two are no part of --all-targets, as no plain `cargo test` can run them.
  check "clippy" cargo clippy --quiet --all-targets -- -D warnings
  check "clippy of the end-to-end tests" cargo clippy --quiet --test it --test ledger -- -D warnings
  check "cargo deny" cargo deny --config .deny.toml --offline check bans licenses sources
  tests "unit tests" cargo test --quiet --no-fail-fast
fi
say "building"
cargo build --quiet
# Of it the tests build the image.
cargo build --quiet --release
it=$(built it)
ledger=$(built ledger)
# Of this machine's settings none may reach the tests' peers.
unset GIT_SSL_CAINFO AWS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR DOCKER_HOST DOCKER_CONFIG
unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
for engine in "${engines[@]}"; do end_to_end "$engine"; done
[[ -z $whole ]] || check "ledger" "$ledger" "$scratch/ledger"
[[ -n $whole || -z $table ]] || check "options" "$ledger" "$scratch/ledger" options

printf '\n%s s\n' $((SECONDS - started))
((${#broken[@]} == 0)) || printf 'failed: %s\n' "${broken[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && skipped == 0))
