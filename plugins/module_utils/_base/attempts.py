# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it means that one attempt to get a URL failed: what is said of it, whether another one may help, and when.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http
import re
import typing as t

from .transfers import HAS_PYCURL, Answer
from .urls import scrub

if HAS_PYCURL:
    import pycurl

#: How many characters of a server's words are passed on.
ANSWER = 300

#: What a server may say when another attempt can help.
AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))

# CURLE_PROXY, for which pycurl has no name.
_E_PROXY = 97


class Refusal(Exception):
    """One attempt's failure: whether another one may help, and when the server asked for it (seconds)."""

    def __init__(
        self,
        said: str,
        *,
        status: t.Optional[int] = None,
        answer: str = "",
        final: bool = False,
        wait: t.Optional[float] = None,
        hint: str = "",
        head: str = "",
    ) -> None:
        super().__init__(said)
        self.said = said
        self.status = status
        self.answer = answer
        self.final = final
        self.wait = wait
        self.hint = hint
        self.head = head


def _retry_after(value: str) -> t.Optional[float]:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3): a number or a date; None when it's neither."""
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds())


def by_fault(answer: Answer) -> Refusal:
    """What a failure below HTTP means."""
    code, said = t.cast("tuple[int, str]", answer.fault)
    said = scrub(said)
    if answer.tunnel or code in (pycurl.E_COULDNT_RESOLVE_PROXY, _E_PROXY):
        return Refusal(
            f"the proxy did not connect: {said}",
            answer=said[:ANSWER],
            final=bool(answer.tunnel) and answer.tunnel not in AGAIN,
            hint="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and the proxy's rules",
        )
    if code in (pycurl.E_PEER_FAILED_VERIFICATION, pycurl.E_SSL_CACERT_BADFILE):
        return Refusal(f"the server's certificate is not trusted: {said}", final=True, hint="name the file of your private CA in SSL_CERT_FILE")
    if code in (pycurl.E_URL_MALFORMAT, pycurl.E_UNSUPPORTED_PROTOCOL):
        return Refusal(f"not a URL that can be asked: {said}", final=True)
    return Refusal(said, hint="check the network, and HTTPS_PROXY and NO_PROXY")


def by_status(answer: Answer) -> Refusal:
    """What a status that isn't 200 means."""
    text = answer.words.decode("utf-8", "replace")
    if "html" in answer.headers.get("content-type", ""):
        text = re.sub(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
    words = scrub(text)[:ANSWER]
    said = str(answer.status)
    with contextlib.suppress(ValueError):
        said += " " + http.HTTPStatus(answer.status).phrase
    hint = ""
    if answer.status in (401, 403):
        hint = "if it needs credentials, put them into the netrc file, or let GOAUTH give them (go help goauth)"
    elif answer.status == 407:
        hint = "put the proxy's user name and password into HTTPS_PROXY or HTTP_PROXY"
    return Refusal(
        f"{said}: {words}" if words else said,
        status=answer.status,
        answer=words,
        final=answer.status not in AGAIN,
        wait=_retry_after(answer.headers.get("retry-after", "")),
        hint=hint,
        head=_head_of(answer) if 400 <= answer.status < 500 and answer.status not in (*AGAIN, 407) else "",
    )


def _head_of(answer: Answer) -> str:
    """An answer's status line and headers."""
    phrase = ""
    with contextlib.suppress(ValueError):
        phrase = " " + http.HTTPStatus(answer.status).phrase
    return "\n".join([f"HTTP/1.1 {answer.status}{phrase}", *(f"{name.title()}: {value}" for name, value in answer.headers.items()), "", ""])
