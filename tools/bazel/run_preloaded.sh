#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a preload_test runs (see tests.bzl):
#   run_preloaded.sh preloaded|script LIBRARY [NAME=VALUE...] -- PROGRAM [ARGUMENT...]

set -euo pipefail

mode=$1
library=$PWD/$2
shift 2

variables=("SPANMALLOC_SO=$library")
if [[ $mode == preloaded ]]; then
  variables+=("LD_PRELOAD=$library")
fi
while [[ $1 != -- ]]; do
  variables+=("$1")
  shift
done
shift

# The loader only warns about a library it cannot preload; that must not pass for a test.
if [[ ! -r $library ]]; then
  echo "no library $library" >&2
  exit 1
fi

exec env "${variables[@]}" "$@"
