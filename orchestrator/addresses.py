"""Which network addresses are on the public internet, whatever they are wrapped in.

An IPv6 address can carry an IPv4 one (mapped, 6to4, NAT64): what counts is where the packets would end. Lists
are IANA's special-purpose registries, as the standard library has them, with what it lets through added.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    # IETF protocol assignments, 6to4 relays; documentation, which Python 3.11 takes for global.
    for network in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16", "2001:db8::/32")
)
_NO_NAME = re.compile(r"[^A-Za-z0-9._\u0080-\U0010ffff-]")
_IDEOGRAPHIC_STOP = "\u3002"


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether packets to the address leave for the public internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _UNICAST6 or address.teredo is not None:
            return False
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_public_host(host: str) -> bool:
    """Whether the host of a URL may be on the public internet, as far as its spelling tells.

    Name resolution also takes digits and dots of other scripts, a final dot, and IPv4 addresses in fewer,
    octal or hexadecimal parts (`127.1`, `0177.0.0.1`). What no name holds (`%2e`, a backslash) makes others
    read another host (the URL standard). A name of one label has no address on the public internet
    (RFC 7085).
    """
    name = unicodedata.normalize("NFKC", host).replace(_IDEOGRAPHIC_STOP, ".").rstrip(".")
    if ":" not in name and _NO_NAME.search(name) is not None:
        return False
    address = literal(name)
    if address is not None:
        return is_public(address)
    return "." in name and not name.lower().endswith((".localhost", ".local", ".internal", ".home.arpa"))


def literal(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is itself, `None` if it is a name that must be resolved."""
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except (OSError, UnicodeError):
        return None
