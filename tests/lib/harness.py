# SPDX-License-Identifier: MPL-2.0
"""Declares tests. A test is a function test_…(lab) in tests/net/test_*.py; it gets an empty Lab."""


def options(alone=False, timeout=60):
    """alone: sensitive to timing, nothing else runs beside it. timeout: seconds until it is ended."""
    def mark(function):
        function.alone = alone
        function.timeout = timeout
        return function
    return mark
