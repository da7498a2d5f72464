#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What tests of --config=aarch64 are run under: an arm64 program runs under qemu, a script as it is.

set -euo pipefail

if [[ $(head -c 4 "$1") == $'\x7fELF' ]]; then
  exec qemu-aarch64-static -L /usr/aarch64-linux-gnu "$@"
fi
exec "$@"
