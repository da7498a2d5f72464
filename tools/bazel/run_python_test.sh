#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a python_test runs (see tests.bzl): run_python_test.sh RUNNER FILE [ARGUMENT...]
exec /usr/bin/python3 "$@"
