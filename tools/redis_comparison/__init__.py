# SPDX-License-Identifier: Apache-2.0
"""Compares a real redis-server on several allocators. comparison.run() is the way in."""
