# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the environment says about the network, as the go command reads it: netrc, private CAs, proxies; who else may give credentials.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import re
import ssl
import typing as t
import urllib.request

from .errors import SpecInvalid
from .urls import origin_of


@dataclasses.dataclass(frozen=True)
class Refused:
    """A server's 4xx answer to a request: its ``status``, its ``head`` (status line and headers, each on a line of its own, then an empty
    one), and the headers that were ``sent`` because an Authorize had given them."""

    status: int
    head: str
    sent: t.Mapping[str, str]


class Authorize(t.Protocol):
    """Gives the headers that authenticate a request. Called from many threads."""

    def __call__(self, url: str, refused: t.Optional[Refused] = None) -> t.Mapping[str, str]:
        """The headers for ``url`` (https, without credentials), none where nothing is known.

        Asked before a request, and once more with ``refused`` after a 4xx answer. The request is repeated when the headers are others then.

        :raises CommandFailed: whoever has to know them failed.
        """


_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def read_netrc(text: str) -> dict[str, tuple[str, str]]:
    """Machine to (login, password), read as the go command reads it: the first entry of a machine counts, ``default`` doesn't."""
    found: dict[str, tuple[str, str]] = {}
    machine = login = password = ""
    in_macro = False
    for line in text.split("\n"):
        if in_macro:
            in_macro = bool(line)
            continue
        words = line.split()
        for word, value in zip(words[0::2], words[1::2]):
            if word == "machine":
                machine, login, password = value, "", ""
            elif word == "login":
                login = value
            elif word == "password":
                password = value
            elif word == "macdef":
                in_macro = True
            if machine and login and password:
                found.setdefault(machine, (login, password))
                machine = login = password = ""
        if len(words) % 2 and words[-1] == "default":
            break
    return found


def netrc() -> dict[str, tuple[str, str]]:
    path = os.environ.get("NETRC") or os.path.join(os.path.expanduser("~"), ".netrc")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return read_netrc(stream.read())
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise SpecInvalid(f"{path} can't be read: {exc.strerror}", subject=path, hint="make it readable, or point NETRC elsewhere") from None


def _load_ca(context: ssl.SSLContext, variable: str, path: str) -> None:
    """Trust the certificates of a file or directory that the environment names."""
    try:
        if not os.path.isdir(path):
            context.load_verify_locations(cafile=path)
            return
        names = sorted(os.listdir(path))
        if any(_HASHED_NAME.fullmatch(name) for name in names):
            context.load_verify_locations(capath=path)
            return
        # OpenSSL finds only hashed names in a directory; Go reads every file, and people set these variables for Go.
        for name in names:
            with contextlib.suppress(ssl.SSLError, IsADirectoryError):
                context.load_verify_locations(cafile=os.path.join(path, name))
    except (OSError, ssl.SSLError) as exc:
        raise SpecInvalid(
            f"{variable} names {path}, which holds no certificates that can be read: {exc.strerror or exc}",
            subject=variable,
            found=path,
            hint="let it name a file of PEM certificates, or unset it",
        ) from None


def tls_context() -> ssl.SSLContext:
    """Verify servers by the system's CAs (SSL_CERT_FILE and SSL_CERT_DIR replace them) and by those of
    REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.

    :raises SpecInvalid: a variable names what can't be read.
    """
    context = ssl.create_default_context()
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if os.environ.get(variable):
            _load_ca(context, variable, os.environ[variable])
    for path in filter(None, os.environ.get("SSL_CERT_DIR", "").split(os.pathsep)):
        if os.path.isdir(path):
            _load_ca(context, "SSL_CERT_DIR", path)
    return context


class Proxies:
    """Which proxy a URL goes through, by the environment: HTTPS_PROXY, HTTP_PROXY and NO_PROXY in either case."""

    def __init__(self) -> None:
        self._proxies = urllib.request.getproxies()

    def for_url(self, url: str) -> str:
        """The proxy's URL, credentials included; empty for a direct connection."""
        scheme, host, port = origin_of(url)
        proxy = self._proxies.get(scheme, "")
        if not proxy or self._bypassed(host, port):
            return ""
        return proxy if "://" in proxy else "http://" + proxy

    def _bypassed(self, host: str, port: int) -> bool:
        # As Go does: this machine is never behind a proxy, and NO_PROXY may name networks.
        if host == "localhost":
            return True
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(host)
            if address.is_loopback:
                return True
            for entry in self._proxies.get("no", "").split(","):
                with contextlib.suppress(ValueError):
                    if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                        return True
        return bool(urllib.request.proxy_bypass(f"{host}:{port}"))
