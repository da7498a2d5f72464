#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Writes docs/options.md, docs/mallctl.md and docs/mallctl.schema.json anew; call it after a change to options.def or
# names.def. tests/control/generated_docs_test.py fails until that is done.

set -euo pipefail
cd "$(dirname "$0")/../.."

bazel build --noshow_progress --ui_event_filters=-info //tools/generate_docs
for page in options mallctl; do
  bazel-bin/tools/generate_docs/generate_docs "$page" >"docs/$page.md"
done
bazel-bin/tools/generate_docs/generate_docs schema >docs/mallctl.schema.json
