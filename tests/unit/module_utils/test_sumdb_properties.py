# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For whatever log, records and older heads: a snapshot has what RFC 6962's own proofs need, and not a bit of it can change."""

from __future__ import annotations

import base64
import contextlib
import functools
import pathlib
import re
import tempfile
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import ModuleRefused
from ansible_collections.airgap.golang.plugins.module_utils._go.snapshotcheck import Checked, check, files_below, parse_lookup
from ansible_collections.airgap.golang.plugins.module_utils._go.sumdb import Snapshot
from ansible_collections.airgap.golang.plugins.module_utils._go.tlog import Head, Tile, parse_head
from ansible_collections.airgap.golang.tests.support.toy_database import Log, Signer, h1, parse_path, record, sha256

SIGNER = Signer(seed=bytes(32))
LARGEST = 70000
bounded = settings(derandomize=True, deadline=None, max_examples=40)
Files = t.Dict[str, bytes]
Range = t.Tuple[int, int]


@functools.lru_cache(maxsize=None)
def log() -> Log:
    """Record N is example.org/mN@v1.0.N: big enough for three levels of tiles."""
    return Log(SIGNER, [record(*module(n), h1(f"zip{n}"), h1(f"mod{n}")) for n in range(LARGEST)])


def module(number: int) -> tuple[str, str]:
    return f"example.org/m{number}", f"v1.0.{number}"


def fetch(size: int) -> t.Callable[[str], bytes]:
    """``Log.serve``, for logs of any size without a list of all their paths."""

    def answer(path: str) -> bytes:
        if path == "latest":
            return log().head(size)
        if path.startswith("tile/"):
            return log().tile(parse_path(path))
        number = int(path.rpartition(".")[2])
        return b"%d\n%b\n%b" % (number, log().texts[number], log().head(size))

    return answer


class World(t.NamedTuple):
    """A log's size, numbers of records in it, sizes of older heads."""

    size: int
    records: list[int]
    older: list[int]


# Sizes near those at which a level begins are where arithmetic goes wrong.
EDGES = [1, 2, 255, 256, 257, 511, 512, 513, 65535, 65536, 65537, 65791, 65792, 65793]
sizes = st.one_of(st.sampled_from(EDGES), st.integers(1, 2000), st.integers(1, LARGEST))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    size = draw(sizes)
    inside = st.one_of(st.integers(0, size - 1), st.sampled_from([edge - 1 for edge in EDGES if edge <= size]))
    older = st.one_of(st.integers(0, size), st.sampled_from([edge for edge in EDGES if edge <= size]))
    return World(size, draw(st.lists(inside, max_size=5, unique=True)), draw(st.lists(older, max_size=3, unique=True)))


def snapshot(world: World) -> Files:
    with tempfile.TemporaryDirectory() as directory:
        Snapshot(directory, SIGNER.key, fetch(world.size), workers=2).build([module(n) for n in world.records], world.older)
        return dict(files_below(directory))


def checked(files: Files, world: World, known: t.Sequence[int] = ()) -> Checked:
    heads = [parse_head(log().head(size), SIGNER.key) for size in known]
    return check(sorted(files.items()), SIGNER.key, older=world.older, known=heads)


# -- what a client needs, from RFC 6962 sections 2.1.1 and 2.1.2


def split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion(number: int, low: int, high: int) -> t.Iterator[Range]:
    """The subtrees of an audit path."""
    if high - low > 1:
        middle = low + split(high - low)
        if number < middle:
            yield from inclusion(number, low, middle)
            yield middle, high
        else:
            yield from inclusion(number, middle, high)
            yield low, middle


def consistency(older: int, low: int, high: int) -> t.Iterator[Range]:
    """The subtrees of a consistency proof."""
    if older == high:
        yield low, high
    elif low < older:
        middle = low + split(high - low)
        if older <= middle:
            yield from consistency(older, low, middle)
            yield middle, high
        else:
            yield from consistency(older, middle, high)
            yield low, middle


def complete(ranges: t.Iterable[Range]) -> t.Iterator[Range]:
    """Each subtree as those of a power of two, which are what tiles hold."""
    for low, high in ranges:
        while low < high:
            width = 1 << ((high - low).bit_length() - 1)
            yield low, low + width
            low += width


def held(files: Files) -> set[Range]:
    """Every subtree whose hash follows from some tile."""
    found: set[Range] = set()
    for path in files:
        if path.startswith("tile/"):
            tile = parse_path(path)
            width = 256**tile.level
            row = [(n * width, (n + 1) * width) for n in range(tile.number * 256, tile.number * 256 + tile.width)]
            while row:
                found.update(row)
                step = row[0][1] - row[0][0]
                row = [(low, low + 2 * step) for low, _high in row if low % (2 * step) == 0 and (low + step, low + 2 * step) in found]
    return found


@bounded
@given(worlds())
def test_a_snapshot_has_what_proofs_need_and_passes(world: World) -> None:
    files = snapshot(world)
    result = checked(files, world, world.older)
    assert result.head.size == world.size
    assert {key: one.id for key, one in result.records.items()} == {module(n): n for n in world.records}
    needed = {part for number in world.records for part in complete([(number, number + 1), *inclusion(number, 0, world.size)])}
    for older in world.older:
        needed.update(complete(consistency(older, 0, world.size)))
    assert needed <= held(files)
    for path, content in files.items():
        if path.startswith("tile/"):
            assert content == log().tile(parse_path(path))


@bounded
@given(worlds())
def test_a_client_of_any_older_head_finds_the_tiles_that_it_asks_for(world: World) -> None:
    """It folds the head that it remembers from the tiles as they were then, or as they are now that they are full."""
    files = snapshot(world)
    for older in [*world.older, world.size]:
        level, rest = 0, older
        while rest:
            if rest % 256:
                tile = Tile(level, rest // 256, rest % 256)
                assert tile.path in files or tile.filled.path in files
            level, rest = level + 1, rest // 256


@bounded
@given(worlds(), st.data())
def test_no_bit_can_flip(world: World, data: st.DataObject) -> None:
    files = snapshot(world)
    for path in sorted(path for path in files if path != "supported"):
        position = data.draw(st.integers(0, 8 * len(files[path]) - 1), label=path)
        changed = bytearray(files[path])
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(ModuleRefused) as refusal:
            checked({**files, path: bytes(changed)}, world)
        assert refusal.value.subject


@bounded
@given(worlds())
def test_nothing_can_be_left_out_or_added(world: World) -> None:
    files = snapshot(world)
    for path in files:
        others = {name: content for name, content in files.items() if name != path}
        if path.startswith("lookup/"):
            # What it needed is too much then, unless others need it too; in any case it isn't vouched for.
            with contextlib.suppress(ModuleRefused):
                assert module(int(path.rpartition(".")[2])) not in checked(others, world).records
        else:
            with pytest.raises(ModuleRefused):
                checked(others, world)
    for extra in ("tile/8/0/999", "tile/8/7/000.p/1", "tile/x", "lookup/y", "zzz"):
        with pytest.raises(ModuleRefused):
            checked({**files, extra: bytes(32)}, world)


@bounded
@given(worlds(), sizes)
def test_another_history_is_refused(world: World, seen: int) -> None:
    """Of a head that was seen and says something else, or that nothing leads on from."""
    files = snapshot(world)
    other = Head(seen, sha256(b"another"), b"")
    if seen > world.size:
        check(sorted(files.items()), SIGNER.key, older=world.older, known=[other])
        return
    with pytest.raises(ModuleRefused, match="has two histories" if seen in [*world.older, world.size] else "is not tied to"):
        check(sorted(files.items()), SIGNER.key, older=world.older, known=[other])


@bounded
@given(worlds(), worlds())
def test_a_snapshot_made_from_an_earlier_one_is_the_same(one: World, two: World) -> None:
    first, second = sorted((one, two), key=lambda world: world.size)
    tied = second._replace(older=sorted({*second.older, first.size}), records=sorted({*first.records, *second.records}))
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        modules = [module(n) for n in tied.records]
        Snapshot(str(place / "1"), SIGNER.key, fetch(first.size), workers=2).build([module(n) for n in first.records], first.older)
        again = Snapshot(str(place / "2"), SIGNER.key, fetch(second.size), workers=2, previous=str(place / "1"))
        again.build(modules, tied.older)
        found = dict(files_below(str(place / "2")))
    assert found == snapshot(tied._replace(size=again.tree_size))
    checked(found, tied, [first.size])


# -- texts from whoever

_HASH = "[A-Za-z0-9+/]{43}="
_HEAD = re.compile(rf"go\.sum database tree\n[0-9]{{1,20}}\n{_HASH}\n(x\n)?\n(— [a-z.]{{1,20}} [A-Za-z0-9+/]{{0,96}}={{0,2}}\n){{0,3}}")
_RECORD = re.compile(rf"[0-9]{{1,20}}\n(example\.org/m v1\.0\.0(/go\.mod)? h1:{_HASH}\n){{0,3}}\n?.{{0,20}}")
near_heads = st.from_regex(_HEAD, fullmatch=True)
near_records = st.from_regex(_RECORD, fullmatch=True)


@settings(bounded, max_examples=300)
@given(st.one_of(st.binary(max_size=300), near_heads.map(str.encode), near_heads.map(lambda text: text.replace("— ", f"— {SIGNER.name} ").encode())))
def test_whatever_is_no_head_is_refused(note: bytes) -> None:
    with pytest.raises(ModuleRefused):
        parse_head(note, SIGNER.key)


@settings(bounded, max_examples=100)
@given(st.binary(max_size=120))
def test_whatever_is_no_signature_is_refused(signature: bytes) -> None:
    signed = SIGNER.head(7, sha256(b"x"))
    encoded = signed.rpartition(b" ")[2]
    for content in (signature, SIGNER.key_hash + signature):
        with pytest.raises(ModuleRefused):
            parse_head(signed.replace(encoded, base64.b64encode(content) + b"\n"), SIGNER.key)


@settings(bounded, max_examples=300)
@given(st.one_of(st.binary(max_size=300), near_records.map(str.encode)))
def test_whatever_is_no_record_is_refused(answer: bytes) -> None:
    try:
        read, text, _note = parse_lookup(answer, "example.org/m", "v1.0.0")
    except ModuleRefused:
        return
    assert answer.startswith(b"%b\n%b\n" % (answer.partition(b"\n")[0], text))
    assert set(read.lines) == {"zip", "mod"}


@settings(bounded, max_examples=200)
@given(st.lists(st.tuples(st.text(max_size=40).map(lambda text: f"lookup/{text}"), st.binary(max_size=60)), max_size=3))
def test_whatever_is_no_snapshot_is_refused(more: list[tuple[str, bytes]]) -> None:
    files = [("latest", log().head(1)), *more, ("supported", b""), ("tile/8/0/000.p/1", log().tile(Tile(0, 0, 1)))]
    if more:
        with pytest.raises(ModuleRefused):
            check(files, SIGNER.key)
    else:
        assert check(files, SIGNER.key).records == {}
