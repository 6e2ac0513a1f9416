"""Who the client is behind proxies: what a proxy says of it counts only if the operator trusts that proxy.

Anybody can send `X-Forwarded-For`. It is read from the right, because each proxy adds the address it was
called from at that end: as long as an address is a trusted proxy's, what it added is believed; the first that
is not is the client. What stands further left is the client's own invention.

`X-Forwarded-For` wins over `Forwarded` (RFC 7239) where both are present. Common proxies set the first and
pass on the second as it came; one that sets `Forwarded` must take the other away.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from api.rest.visitor import Headers

HOPS_MAX = 32
"""chosen: nobody stands behind so many proxies; a longer list is somebody's attempt to keep us busy."""

_ELEMENT = re.compile(
    r"""(?i)(?:^|;)\s*(?P<name>for|proto)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<token>[^\s;,"]+))"""
)
_ADDRESS = re.compile(
    r"\[(?P<six>[0-9a-fA-F:.]+)\](?::\d+)?|(?P<four>[0-9.]+)(?::\d+)?|(?P<bare>[0-9a-fA-F:.]+)"
)


class Proxies:
    """The proxies whose word counts."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in trusted)
        # Answers for a peer and its headers are asked for with each request of a connection.
        self.trusts = lru_cache(maxsize=1_024)(self._trusts)
        self._client = lru_cache(maxsize=1_024)(self._client_of)

    def client(self, headers: Headers, peer: str) -> tuple[str, str]:
        """The client's address in its usual form, and the scheme it used, `""` where nobody trusted says it.

        Behind nobody trusted the address is the peer's.
        """
        if not self._networks or not self.trusts(peer):
            return (usual(peer) if ":" in peer else peer), ""
        return self._client(
            peer,
            headers.get(b"x-forwarded-for", b""),
            headers.get(b"forwarded", b""),
            headers.get(b"x-forwarded-proto", b""),
        )

    def _trusts(self, address: str) -> bool:
        """Whether this is the address of a trusted proxy."""
        try:
            found = ipaddress.ip_address(usual(address))
        except ValueError:
            return False
        return any(found.version == network.version and found in network for network in self._networks)

    def _client_of(self, peer: str, x_for: bytes, forwarded: bytes, x_proto: bytes) -> tuple[str, str]:
        if x_for:
            hops = [(hop.strip(), "") for hop in x_for.decode("latin-1").split(",")[-HOPS_MAX:]]
        else:
            hops = [_element(element) for element in forwarded.decode("latin-1").split(",")[-HOPS_MAX:]]
        client, scheme = usual(peer), ""
        for hop, its_scheme in reversed(hops):
            address = _address(hop)
            if not self.trusts(client) or not address:
                break
            client, scheme = address, its_scheme or scheme
        # The nearest proxy's word: it overwrites this header or is the last to have added to it.
        said = x_proto.decode("latin-1").rpartition(",")[2].strip() or scheme
        return client, said.lower() if said.lower() in ("http", "https") else ""


def _element(element: str) -> tuple[str, str]:
    """Address and scheme of one element of `Forwarded`, `""` for what it does not say."""
    found = {m["name"].lower(): m["quoted"] or m["token"] or "" for m in _ELEMENT.finditer(element)}
    return found.get("for", ""), found.get("proto", "")


def _address(hop: str) -> str:
    """The address a proxy has noted, in its usual form and without its port; `""` for anything else."""
    found = _ADDRESS.fullmatch(hop)
    return usual(found["six"] or found["four"] or found["bare"]) if found is not None else ""


@lru_cache(maxsize=1_024)
def usual(address: str) -> str:
    """The usual spelling of an address, `""` if it is none.

    A socket of both families shows an IPv4 address as `::ffff:10.0.0.1`; it is that IPv4 address.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
