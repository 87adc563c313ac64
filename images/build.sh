#!/usr/bin/env bash
# Builds Podwright's image from the program compiled here, pulling nothing:  images/build.sh TAG [docker build's options...]
#
# DOCKER names the command to build with (default: docker).
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?images/build.sh TAG}
shift

certificates=/etc/ssl/certs/ca-certificates.crt
[[ -r $certificates ]] || { echo "images/build.sh: no $certificates here: install ca-certificates" >&2; exit 1; }
program=$(images/program)
# A directory of its own, so that two builds at once do not take each other's files.
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
install -D -m 0755 "$program" "$own/target/image/podwright"
install -D -m 0644 "$certificates" "$own/target/image$certificates"
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
read -ra docker <<<"${DOCKER:-docker}"
# As a tar on standard input, so that an engine that sees other directories than we do gets it too.
tar -c --exclude-vcs Dockerfile.builder .dockerignore Cargo.toml Cargo.lock .cargo src images/compile -C "$own" target/image |
  "${docker[@]}" build -f Dockerfile.builder -t "$tag" --build-arg PREBUILT=target/image \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" "$@" -
