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


_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----[^-]+-----END (?:X509 )?CERTIFICATE-----")


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


def _add_certificates(context: ssl.SSLContext, found: dict[bytes, bool], path: str) -> bool:
    """Note a file's certificates, and whether OpenSSL can read each; whether there is one that it can."""
    with open(path, "rb") as stream:
        here = _CERTIFICATE.findall(stream.read())
    for one in here:
        if one not in found:
            try:
                context.load_verify_locations(cadata=one.decode("ascii"))
                found[one] = True
            except (ssl.SSLError, ValueError):
                found[one] = False
    return any(found[one] for one in here)


def trusted_certificates() -> bytes:
    """What to verify servers by, as PEM: the system's CAs (SSL_CERT_FILE and SSL_CERT_DIR replace them) and those of
    REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE. Of a directory every file counts, as for Go, whatever it's called.

    :raises SpecInvalid: a variable names what can't be read.
    """
    defaults = ssl.get_default_verify_paths()
    # A variable that is set to nothing names nothing.
    files = [("SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE") or defaults.openssl_cafile)]
    files += [(variable, os.environ.get(variable, "")) for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")]
    directories = (os.environ.get("SSL_CERT_DIR") or defaults.openssl_capath).split(os.pathsep)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found: dict[bytes, bool] = {}
    for variable, path in files:
        if os.path.isdir(path):
            directories.append(path)
            continue
        try:
            if not path or (not os.environ.get(variable) and not os.path.exists(path)):
                continue
            any_sound = _add_certificates(context, found, path)
        except OSError as exc:
            raise _no_certificates(variable, path, exc.strerror or str(exc)) from None
        if not any_sound and os.environ.get(variable):
            raise _no_certificates(variable, path, "no certificate in PEM")
    seen: set[tuple[int, int]] = set()
    for directory in directories:
        with contextlib.suppress(OSError):
            for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
                # Most are there under two names.
                with contextlib.suppress(OSError):
                    info = entry.stat()
                    if entry.is_file() and (info.st_dev, info.st_ino) not in seen:
                        seen.add((info.st_dev, info.st_ino))
                        _add_certificates(context, found, entry.path)
    return b"".join(one + b"\n" for one, sound in found.items() if sound)


def _no_certificates(variable: str, path: str, why: str) -> SpecInvalid:
    return SpecInvalid(
        f"{variable} names {path}, which holds no certificates that can be read: {why}",
        subject=variable,
        found=path,
        hint="let it name a file of PEM certificates, or unset it",
    )


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
