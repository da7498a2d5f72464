#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Formats every C and C++ file of the repository; with --check only names what would change.

set -euo pipefail
cd "$(dirname "$0")/.."

tools/bootstrap.sh format >&2

mode=(-i)
[[ ${1:-} == --check ]] && mode=(--dry-run --Werror)

git ls-files --cached --others --exclude-standard -z '*.h' '*.hpp' '*.c' '*.cc' |
  xargs -0 -r clang-format-19 "${mode[@]}" --
