"""No spelling of a private address passes for a public one."""

from __future__ import annotations

import pytest

from orchestrator.addresses import is_public_host


@pytest.mark.parametrize(
    "host",
    [
        *(
            "example.org",
            "EXAMPLE.org.",
            "8.8.8.8",
            "2606:4700:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ),
        *(
            "2002:808:808::1",
            "xn--bcher-kva.example",
            "b\u00fccher.example",
            "a.b.c.d.example",
            "_dns.a-b.example",
        ),
    ],
)
def test_public(host: str):
    """Names of several labels and global addresses may be asked for."""
    assert is_public_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.0.0.1.",
            "017700000001",
        ),
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0"),
        *(
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "192.88.99.1",
            "203.0.113.5",
        ),
        *(
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "ff02::1",
            "::127.0.0.1",
            "2001:db8::1",
        ),
        *("::ffff:127.0.0.1", "::ffff:a00:1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1"),
        *("2002:7f00:1::1", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "3fff::1", "5f00::1"),
        *(
            "localhost",
            "LOCALHOST.",
            "foo.localhost",
            "printer.local",
            "db.internal",
            "nas.home.arpa",
            "intranet",
        ),
        *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "", "."),
        *(
            "127.0.0.1\u3002",
            "127.0.0\u30021",
            "127.0.0%2e1",
            "127.0.0.1\\.example.org",
            "foo.localhos%74",
            "8.8.8.8%2edb.internal",
        ),
    ],
)
def test_not_public(host: str):
    """Loopback, private, link-local, multicast, reserved and documentation, however written or wrapped."""
    assert not is_public_host(host)
