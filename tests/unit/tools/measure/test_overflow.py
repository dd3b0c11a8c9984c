from __future__ import annotations

import pytest

from tools.measure import overflow

SNMP = """\
Ip: Forwarding DefaultTTL
Ip: 1 64
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors
Udp: 17568 0 9 17709 7 2
"""
SNMP6 = "Udp6InErrors                    4\nUdp6RcvbufErrors                3\n"


def test_both_families_count() -> None:
    assert overflow.parsed(SNMP, SNMP6) == 7 + 3


def test_a_kernel_that_counts_otherwise_is_an_error() -> None:
    with pytest.raises(overflow.Unreadable, match="the kernel counts no Udp6RcvbufErrors"):
        overflow.parsed(SNMP, "")


def test_only_what_is_new_counts() -> None:
    assert overflow.since({"a": 5, "gone": 9}, {"a": 7, "new": 1}) == 3
