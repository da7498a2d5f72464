#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian 12 packages that are missing and says which. Called by every command of this
# folder with the groups it needs; when nothing is missing it only looks.
#
#   tools/bootstrap.sh [build] [test] [python] [run] [bench] [programs] [format] [aarch64]
#
# Without a group it is build.
#
# No service is started: redis, nginx and memcached are used as programs only.

set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  build:bazel-bootstrap
  build:bazel-platforms
  build:bazel-rules-java
  build:bazel-rules-proto
  build:bazel-skylib
  build:binutils
  build:clang-19
  build:libabsl-dev
  build:libc6-dev
  build:libstdc++-12-dev
  build:lld-19

  # And the programs of tests/programs/packages.txt.
  test:googletest
  test:libbenchmark-dev
  test:libclang-rt-19-dev
  test:python3
  test:python3-jsonschema
  test:python3-prometheus-client
  test:python3-rich

  # What starts tools/run; then its server, the server's client and the other allocators.
  python:python3
  run:libjemalloc2
  run:libmimalloc2.0
  run:libtcmalloc-minimal4
  run:python3
  run:python3-rich
  run:redis-server
  run:redis-tools

  bench:libbenchmark-dev
  bench:libjemalloc2
  bench:libmimalloc2.0
  bench:libtcmalloc-minimal4
  bench:python3
  bench:python3-matplotlib
  bench:python3-rich

  # The real programs of tools/benchmark, which does without those that are missing.
  programs:g++
  programs:ghostscript
  programs:jq
  programs:lua5.4
  programs:memcached
  programs:perl
  programs:redis-server
  programs:redis-tools
  programs:rocksdb-tools
  programs:sqlite3
  programs:z3

  format:clang-format-19
  format:git

  aarch64:g++-aarch64-linux-gnu
  aarch64:qemu-user-static
)
while read -r package; do
  [[ -z $package || $package == \#* ]] || packages+=("test:$package")
done <tests/programs/packages.txt

# Prints the packages of the groups, each once.
packages_of() {
  local group entry
  for group in "$@"; do
    if [[ " ${packages[*]}" != *" $group:"* ]]; then
      echo "tools/bootstrap.sh: no group named $group" >&2
      return 2
    fi
    for entry in "${packages[@]}"; do
      [[ $entry != "$group:"* ]] || echo "${entry#*:}"
    done
  done | sort -u
}

# Prints those of the packages that are not installed.
missing_of() {
  local installed package
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qxF "installed $package" <<<"$installed" || echo "$package"
  done
}

# Maintainer scripts ask this file before they start a service. A machine that has one keeps it.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  [[ ! -e $policy ]] || return 0
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy" "$log"' EXIT
}

apt_get() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -y -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600 "$@" </dev/null
}

# Package lists are fetched when there are none, or when the installation fails: they may be stale.
install() {
  local attempt
  for attempt in 1 2 3; do
    if [[ $attempt -gt 1 || -z $(find /var/lib/apt/lists -name '*_Packages*' -print -quit) ]]; then
      apt_get update || true  # of some source nobody needs, perhaps: the installation decides
    fi
    apt_get install --no-install-recommends "$@" && return
    dpkg --configure -a || true
  done
  return 1
}

list=$(packages_of "${@:-build}")
mapfile -t wanted <<<"$list"
mapfile -t missing < <(missing_of "${wanted[@]}")
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $EUID -eq 0 ]]; then
  exec 9>/var/lock/spanmalloc_bootstrap
  flock 9
  echo "Installing Debian packages: ${missing[*]}"
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  forbid_services
  if ! install "${missing[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
  fi
elif sudo -n true 2>/dev/null; then
  sudo -n "$PWD/tools/bootstrap.sh" "$@"
else
  echo "These Debian packages are missing; as root: apt-get install ${missing[*]}" >&2
  exit 1
fi

# Bazel listed the system's headers when it first looked for the compiler; let it look again.
if [[ -O bazel-out ]]; then
  bazel sync --configure --noshow_progress --ui_event_filters=-info
fi
