#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing on Debian 12 and says what it installs. Called by tools/build, tools/test
# and tools/run; calling it again costs a moment.
#
#   tools/bootstrap.sh [build] [test] [run] [bench] [format] [aarch64]      default: build

set -euo pipefail

packages=(
  build:bazel-bootstrap
  build:bazel-platforms
  build:bazel-rules-java
  build:bazel-rules-proto
  build:bazel-skylib
  build:clang-19
  build:lld-19
  build:binutils
  build:libc6-dev
  build:libstdc++-12-dev
  build:libabsl-dev
  test:googletest
  test:libclang-rt-19-dev
  test:python3
  run:python3
  run:python3-rich
  bench:libbenchmark-dev
  bench:python3
  bench:python3-rich
  bench:python3-matplotlib
  format:clang-format-19
  aarch64:g++-aarch64-linux-gnu
  aarch64:qemu-user-static
)

is_installed() {
  [[ $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) == 'install ok installed' ]]
}

missing=()
for group in "${@:-build}"; do
  known=false
  for entry in "${packages[@]}"; do
    [[ ${entry%%:*} == "$group" ]] || continue
    known=true
    package=${entry#*:}
    [[ " ${missing[*]} " == *" $package "* ]] || is_installed "$package" || missing+=("$package")
  done
  if [[ $known == false ]]; then
    echo "tools/bootstrap.sh: no group named $group" >&2
    exit 2
  fi
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $EUID -ne 0 ]]; then
  echo "These packages are missing; as root: apt-get install ${missing[*]}" >&2
  exit 1
fi

echo "Installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$log" 2>&1
}
# A fresh machine has no package lists, or stale ones; one update settles both.
if ! install; then
  apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  install || { cat "$log" >&2; exit 1; }
fi
