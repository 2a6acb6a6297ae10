# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet report as a page: one file that needs nothing else, no script, and is read on screens of any size, in the dark and on paper.

Names and messages come from hosts and inventories: all text goes through ``_escaped``, and a content security policy allows
the page nothing but its own style.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import html
import typing as t

from .records import DAMAGED, DIFFERS, DRIFT, FAILED, NOT_TRIED, PROBLEMS, UNREACHABLE, Json

# Of a fleet in which all is well, a page of rows is for those who look for one.
_FOLDED = 40

_LABELS = {
    UNREACHABLE: "unreachable",
    FAILED: "failed",
    DAMAGED: "damaged",
    DIFFERS: "differs",
    DRIFT: "drift",
    NOT_TRIED: "not tried",
}

# A build's statuses, with how they look and what they're called after a number.
_STATUSES = (
    ("differs", "bad", "differ"),
    ("mismatch", "bad", "differ"),
    ("failed", "bad", "failed"),
    ("would_build", "warn", "to build"),
    ("identical", "fine", "identical"),
    ("built", "fine", "built"),
    ("attested", "fine", "attested"),
)

_STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5b6675;--line:#d9dfe7;--page:#f5f7fa;--card:#fff;--ok:#1a7f4b;--bad:#c0272d;--warn:#9a6200;--none:#6b7480}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf2;--soft:#98a4b3;--line:#303a47;--page:#12171e;--card:#1a212b;--ok:#4cc38a;--bad:#ff7b7f;--warn:#f0b44c;--none:#9aa5b2}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1280px;margin:0 auto;padding:32px 24px 64px}
h1{margin:0;font-size:28px;line-height:1.2;letter-spacing:-.01em}
h2{margin:36px 0 12px;font-size:18px}
.verdict{font-size:17px;margin:6px 0 0}
.meta{color:var(--soft);font-size:13px;margin:4px 0 0}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:22px 0 12px}
.tile{flex:1 1 104px;background:var(--card);border:1px solid var(--line);border-top:4px solid var(--none);border-radius:8px;padding:10px 14px}
.tile b{display:block;font-size:26px;line-height:1.15;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}
.tile.zero b{color:var(--soft);font-weight:400}
.bar{display:flex;height:10px;border-radius:5px;overflow:hidden;background:var(--line)}
.bar i{display:block;min-width:3px}
.ok{--mark:var(--ok)}.unreachable,.failed,.damaged,.differs{--mark:var(--bad)}.drift{--mark:var(--warn)}.not_tried{--mark:var(--none)}
.tile:not(.zero){border-top-color:var(--mark,var(--none))}
.bar i{background:var(--mark)}.bar .failed{opacity:.85}.bar .damaged{opacity:.7}.bar .differs{opacity:.55}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-size:12px;font-weight:600;color:var(--soft);padding:9px 14px;border-bottom:1px solid var(--line);white-space:nowrap}
td{padding:9px 14px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>td{border-bottom:0}
td.host{font-weight:600;overflow-wrap:anywhere;min-width:190px}
td.num{white-space:nowrap;font-variant-numeric:tabular-nums}
td.why{width:46%;min-width:280px;overflow-wrap:anywhere}
small{display:block;color:var(--soft);font-weight:400;font-size:12.5px}
.badge{display:inline-block;margin:0 6px 0 0;padding:0 8px;border:1px solid var(--mark);border-radius:10px;color:var(--mark);
font-size:12px;line-height:1.5;font-weight:600;white-space:nowrap}
.bad{color:var(--bad);font-weight:600}.fine{color:var(--ok)}.warn{color:var(--warn);font-weight:600}.none{color:var(--soft)}
summary{cursor:pointer}
details.all>summary{font-size:15px;padding:6px 0 12px}
details dl{margin:8px 0 4px;font-size:13px}
dt{color:var(--soft);margin-top:6px}dd{margin:0}
pre{margin:0;font:12.5px/1.45 ui-monospace,"SF Mono",Menlo,"DejaVu Sans Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere}
footer{margin-top:40px;color:var(--soft);font-size:13px}
@media screen and (max-width:760px){
main{padding:20px 12px 40px}
table,tbody,tr,td,td.host,td.why{display:block;width:auto;min-width:0}
thead{display:none}
tr{padding:8px 0;border-bottom:1px solid var(--line)}
td{border:0;padding:2px 12px}
td.num{display:inline-block}
td[data-name]::before{content:attr(data-name) " ";color:var(--soft);font-size:12.5px}
td small{display:inline;margin-left:6px}
td br{display:none}
}
@media print{
@page{size:A4 landscape;margin:12mm}
:root{--ink:#000;--soft:#444;--line:#bbb;--page:#fff;--card:#fff;--ok:#1a7f4b;--bad:#b01f25;--warn:#8a5700;--none:#555}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:10.5pt}main{padding:0;max-width:none}
tr,.tile{break-inside:avoid}thead{display:table-header-group}
.attention details::details-content,details.all::details-content{content-visibility:visible;display:block;height:auto}
.attention details:not([open])>*,details.all:not([open])>*{display:block}
.scroll{overflow:visible}td{padding:5px 8px}td.host{min-width:130px}
}
"""


def render(document: t.Mapping[str, t.Any], title: str = "") -> str:
    """The page of a report.

    :param document: as docs/schemas/fleet.v1.json has it; its hosts are shown in their order.
    :param title: its headline; "" for one that names the journey.
    """
    hosts = t.cast("list[Json]", document["hosts"])
    journey = str(document["journey"])
    headline = title or f"Fleet: {journey}"
    attention = [host for host in hosts if host["problems"]]
    fine = [host for host in hosts if not host["problems"]]
    body = [
        f"<h1>{_escaped(headline)}</h1>",
        f'<p class="verdict">{_verdict(document["summary"])}</p>',
        f'<p class="meta">{_escaped(_when(document["when"]))} · trace {_escaped(document["trace_id"] or "none")} · '
        f"fails on: {_escaped(', '.join(_LABELS[problem] for problem in document['fail_on']) or 'nothing')}</p>",
        _tiles(document["summary"], hosts),
        _generations(hosts),
    ]
    if attention:
        body.append(f'<section class="attention"><h2>Needs attention ({len(attention)})</h2>{_table(journey, attention)}</section>')
    if fine:
        body.append(f"<h2>As they should be ({len(fine)})</h2>")
        folded = f'<details class="all"><summary>{_plural(len(fine), "host")}, by name</summary>{_table(journey, fine)}</details>'
        body.append(folded if len(fine) > _FOLDED else _table(journey, fine))
    body.append("<footer>By airgap.golang. The same as data is in the JSON and JUnit files beside this page.</footer>")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_escaped(headline)}</title><style>{_STYLE}</style></head><body><main>",
            *body,
            "</main></body></html>",
            "",
        ]
    )


def _escaped(value: t.Any) -> str:
    return html.escape(str(value), quote=True)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _when(when: str) -> str:
    return when.replace("T", " ").replace("Z", " UTC")


def _verdict(summary: t.Mapping[str, int]) -> str:
    if summary["hosts"] == summary["ok"]:
        return f'<span class="fine">All of {_plural(summary["hosts"], "host")} are as they should be.</span>'
    wrong = summary["hosts"] - summary["ok"]
    return f"{_plural(wrong, 'host')} of {summary['hosts']:,} {'needs' if wrong == 1 else 'need'} attention; the policy fails {summary['failing']:,}."


def _tiles(summary: t.Mapping[str, int], hosts: t.Sequence[Json]) -> str:
    tiles = [f'<div class="tile"><b>{summary["hosts"]:,}</b><span>hosts</span></div>']
    for word in ("ok", *PROBLEMS):
        zero = "" if summary[word] else " zero"
        tiles.append(f'<div class="tile {word}{zero}"><b>{summary[word]:,}</b><span>{_LABELS.get(word, word)}</span></div>')
    worst = [host["problems"][0] if host["problems"] else "ok" for host in hosts]
    shares = [(word, worst.count(word)) for word in (*PROBLEMS, "ok") if word in worst]
    parts = "".join(f'<i class="{word}" style="flex:{count}" title="{count:,} {_LABELS.get(word, word)}"></i>' for word, count in shares)
    return f'<div class="tiles">{"".join(tiles)}</div><div class="bar" role="img" aria-label="Share of hosts by their worst problem">{parts}</div>'


def _generations(hosts: t.Sequence[Json]) -> str:
    """How many hosts are at which generation."""
    active = [str(host["state"]["generation"] or "none known") for host in hosts]
    counts = sorted(((active.count(name), name) for name in set(active)), reverse=True)
    told = " · ".join(f"<b>{_escaped(name)}</b> on {count:,}" for count, name in counts)
    return f'<p class="meta">Generations: {told}</p>' if hosts else ""


def _table(journey: str, hosts: t.Sequence[Json]) -> str:
    verify = journey == "verify"
    heads = ["Host", "Generation", *(["Drift", "On disk"] if verify else []), "Builds", "Last word"]
    head = "".join(f"<th>{name}</th>" for name in heads)
    rows = "\n".join(_row(host, verify) for host in hosts)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'


def _row(host: Json, verify: bool) -> str:
    address = host["address"] if host["address"] != host["host"] else ""
    earlier = f"<small>as of {_escaped(_when(host['when']))}, not in this run</small>" if host["earlier"] else ""
    state = host["state"]
    cells = [
        f'<td class="host">{_escaped(host["host"])}<small>{_escaped(address)}</small>{earlier}</td>',
        f'<td class="num" data-name="Generation">{_escaped(state["generation"] or "–")}<small>{_escaped(_versions(state))}</small></td>',
    ]
    if verify:
        cells.append(f'<td class="num" data-name="Drift">{_drift(host["drift"])}</td>')
        cells.append(f'<td class="num" data-name="On disk">{_forensics(host["forensics"])}</td>')
    cells += [f'<td class="num" data-name="Builds">{_builds(host["builds"])}</td>', f'<td class="why">{_why(host)}</td>']
    return f"<tr>{''.join(cells)}</tr>"


def _versions(state: Json) -> str:
    return " · ".join(filter(None, (state["toolchain"] and f"go{state['toolchain']}", state["platform"])))


def _mark(kind: str, text: str) -> str:
    return f'<span class="{kind}">{_escaped(text)}</span>'


def _drift(drift: Json) -> str:
    count = len(drift["before"]) + len(drift["after"])
    if not drift["checked"]:
        return _mark("none", "–")
    return _mark("warn", _plural(count, "line")) if count else _mark("fine", "none")


def _forensics(forensics: Json) -> str:
    if not forensics["checked"]:
        return _mark("none", "–")
    if forensics["total"]:
        return _mark("bad", f"{forensics['total']:,} damaged")
    return _mark("fine", f"{forensics['things']:,} right" if forensics["things"] else "right")


def _builds(builds: Json) -> str:
    every = builds["builds"]
    if not builds["checked"]:
        return _mark("none", "–")
    statuses = [build["status"] for build in every]
    lines = [_mark(kind, f"{statuses.count(status):,} {label}") for status, kind, label in _STATUSES if status in statuses]
    changed = sum(1 for build in every if build["installed"] == "changed")
    if changed:
        lines.append(_mark("bad", f"{changed:,} changed since"))
    return "<br>".join(lines) or _mark("none", "none")


def _why(host: Json) -> str:
    """The last line of what went wrong, and what there is to unfold."""
    more = []
    for failure in host["failures"]:
        name = failure["task"] or failure["step"] or "this run"
        code = f"{failure['code']}: " if failure["code"] else ""
        more.append((name, f"<pre>{_escaped(code + failure['message'])}</pre>"))
    if host["state"]["parts"]:
        more.append((host["state"]["current"], f"<pre>{_escaped(', '.join(host['state']['parts']))}</pre>"))
    drift = [f"- {line}" for line in host["drift"]["before"]] + [f"+ {line}" for line in host["drift"]["after"]]
    if drift:
        wished = host["drift"]["wished"]
        more.append((f"drift from {wished}" if wished else "drift", f"<pre>{_escaped(chr(10).join(drift))}</pre>"))
    findings = host["forensics"]["findings"]
    if findings:
        lines = [_finding(finding) for finding in findings]
        left = host["forensics"]["total"] - len(findings)
        lines += [f"and {left:,} more"] if left > 0 else []
        more.append(("on disk", f"<pre>{_escaped(chr(10).join(lines))}</pre>"))
    for build in host["builds"]["builds"]:
        changed = ", changed after it was built" if build["installed"] == "changed" else ""
        hashes = f"sealed {_short(build['expected'])}, here {_short(build['sha256']) or 'none'}"
        text = f"{build['status']}{changed}: {hashes}, {build['seconds']:.1f} s\n{build['message']}"
        more.append((f"build {build['project']} {build['output']} {build['platform']}", f"<pre>{_escaped(text.strip())}</pre>"))
    badges = "".join(f'<span class="badge {problem}">{_LABELS[problem]}</span>' for problem in host["problems"])
    if not more:
        return badges + _escaped(host["reason"])
    items = "".join(f"<dt>{_escaped(name)}</dt><dd>{text}</dd>" for name, text in more)
    headline = _escaped(host["reason"]) if host["reason"] else f'<span class="none">{_plural(len(more), "detail")}</span>'
    return f"<details><summary>{badges}{headline}</summary><dl>{items}</dl></details>"


def _finding(finding: t.Mapping[str, str]) -> str:
    sides = ", ".join(f"{side} {_short(finding[side])}" for side in ("expected", "found") if finding.get(side))
    return f"{finding.get('problem', '')} {finding.get('path', '') or finding.get('subject', '')}" + (f" ({sides})" if sides else "")


def _short(value: str) -> str:
    """As much of a hash as people compare; all of it is in the data."""
    return value if len(value) <= 20 else f"{value[:16]}…"
