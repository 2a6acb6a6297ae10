# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot of a checksum database has what a client needs to prove each record, and refuses what can't be proved.

The database here is a toy with three levels of tiles.
"""

from __future__ import annotations

import base64
import os
import pathlib
import threading
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, FetchFailed, ModuleRefused, SpecInvalid, ToolMissing
from ansible_collections.airgap.golang.plugins.module_utils._go import tlog
from ansible_collections.airgap.golang.plugins.module_utils._go.snapshotcheck import parse_lookup
from ansible_collections.airgap.golang.plugins.module_utils._go.sumdb import DEFAULT_KEY, Snapshot, parse_gosumdb
from ansible_collections.airgap.golang.plugins.module_utils._go.tlog import Tile, cuts_for, edge, parse_head, tiles_for, tree_hash
from ansible_collections.airgap.golang.tests.support.record_database import OLD_HEAD, OLD_SIZE
from ansible_collections.airgap.golang.tests.support.toy_database import NAME, Absent, Log, Signer, h1, parse_path, record, sha256

SIZE = 66500  # 0x103c4: 259 full tiles and 196 hashes at level 0, 1 full tile and 3 hashes at level 1, 1 hash at level 2
NEWER = 66600


class Database(Log):
    """Records 0 to NEWER-1, of which record N is example.org/mN@v1.0.N."""

    def __init__(self, signer: Signer, salt: str = "") -> None:
        super().__init__(signer, [record(*module(n), h1(f"{salt}zip{n}"), h1(f"{salt}mod{n}")) for n in range(NEWER)])


class Server:
    """Serves the database as it was with ``size`` records, counting what it's asked; ``changed`` puts other answers in place."""

    def __init__(self, database: Database, size: int = SIZE) -> None:
        self.database = database
        self.size = size
        self.asked: list[str] = []
        self.lookup_heads: dict[int, int] = {}
        self.changed: dict[str, t.Optional[bytes]] = {}
        self._lock = threading.Lock()

    def __call__(self, path: str) -> bytes:
        with self._lock:
            self.asked.append(path)
        answer = self.changed[path] if path in self.changed else self.answer(path)
        if answer is None:
            raise Absent(f"{path}: 404")
        return answer

    def answer(self, path: str) -> t.Optional[bytes]:
        kind, _slash, rest = path.partition("/")
        if kind == "latest":
            return self.database.head(self.size)
        if kind == "lookup":
            number = int(rest.rpartition(".")[2])
            if rest != lookup(number)[len("lookup/") :] or number >= max(self.size, self.lookup_heads.get(number, 0)):
                return None
            return b"%d\n%b\n%b" % (number, self.database.texts[number], self.database.head(self.lookup_heads.get(number, max(number + 1, 900))))
        return self.database.tile(parse_path(path))


def module(number: int) -> tuple[str, str]:
    return f"example.org/m{number}", f"v1.0.{number}"


def lookup(number: int) -> str:
    return "lookup/{}@{}".format(*module(number))


def files(directory: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def tiles(directory: pathlib.Path) -> set[str]:
    return {path for path in files(directory) if path.startswith("tile/")}


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def database(signer: Signer) -> Database:
    return Database(signer)


@pytest.fixture
def server(database: Database) -> Server:
    return Server(database)


EDGE = {"tile/8/0/259.p/196", "tile/8/1/001.p/3", "tile/8/2/000.p/1"}


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0, 256), "tile/8/0/000"),
        (Tile(3, 0, 4), "tile/8/3/000.p/4"),
        (Tile(0, 281247, 52), "tile/8/0/x281/247.p/52"),
        (Tile(4, 1234067, 1), "tile/8/4/x001/x234/067.p/1"),
        (Tile(1, 1000, 256), "tile/8/1/x001/000"),
    ],
)
def test_a_tile_has_the_path_that_go_gives_it(tile: Tile, path: str) -> None:
    assert tile.path == path


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 255, 256, 257, 300, 511, 65535, 65536, 65537, 65792, SIZE, NEWER])
def test_the_edge_folds_to_the_tree_hash(database: Database, size: int) -> None:
    assert tree_hash(size, database.tile) == database.root(size)
    assert tree_hash(size, lambda tile: database.tile(tile) + b"hashes of a larger tree") == database.root(size)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, []),
        (255, [Tile(0, 0, 255)]),
        (256, [Tile(1, 0, 1)]),
        (300, [Tile(0, 1, 44), Tile(1, 0, 1)]),
        (65536, [Tile(2, 0, 1)]),
        (SIZE, [Tile(0, 259, 196), Tile(1, 1, 3), Tile(2, 0, 1)]),
    ],
)
def test_the_edge_is_what_is_not_full(size: int, expected: list[Tile]) -> None:
    assert edge(size) == expected


@pytest.mark.parametrize(
    ("records", "older", "besides"),
    [
        ([], [], set()),
        ([SIZE - 1], [], set()),
        ([5], [], {"tile/8/0/000", "tile/8/1/000"}),
        ([5, 6, 255], [], {"tile/8/0/000", "tile/8/1/000"}),
        ([65536], [], {"tile/8/0/256"}),
        ([], [SIZE, 0, 65536], set()),
        ([], [300], {"tile/8/0/001", "tile/8/1/000"}),
        ([], [65537], {"tile/8/0/256"}),
    ],
)
def test_tiles_are_those_up_to_the_edge(records: list[int], older: list[int], besides: set[str]) -> None:
    assert {tile.path for tile in tiles_for(SIZE, records, older)} == EDGE | besides


def test_an_older_edge_is_cut_from_what_merely_grew() -> None:
    # 300 has 44 hashes of a tile that is full now, and 1 of another; 65793 has 1 of 3 in the second tile of level 1.
    assert cuts_for(SIZE, [300, 65793, SIZE, 0]) == {Tile(1, 1, 3): [Tile(1, 1, 1)]}


def test_what_is_beyond_the_tree_has_no_tiles() -> None:
    with pytest.raises(ValueError, match="66501"):
        tiles_for(SIZE, [], [SIZE + 1])
    with pytest.raises(ValueError, match="no tile 260"):
        tiles_for(SIZE, [260 * 256])


def test_gosumdb_in_all_its_forms(signer: Signer) -> None:
    assert parse_gosumdb("off") == ("", "", "")
    assert parse_gosumdb("sum.golang.org") == ("sum.golang.org", DEFAULT_KEY, "")
    assert parse_gosumdb(" sum.golang.org  https://mirror.example/sum ") == ("sum.golang.org", DEFAULT_KEY, "https://mirror.example/sum")
    assert parse_gosumdb("sum.golang.google.cn") == ("sum.golang.org", DEFAULT_KEY, "https://sum.golang.google.cn")
    assert parse_gosumdb(signer.key) == (NAME, signer.key, "")
    below = Signer("host.example:8443/go/sums")
    assert parse_gosumdb(f"{below.key} https://host.example/x") == (below.name, below.key, "https://host.example/x")


@pytest.mark.parametrize(
    "value",
    ["", "sum.golang.org a b", "sum.example.org", "on", DEFAULT_KEY.replace("033de0ae", "033de0af"), DEFAULT_KEY[:-4], DEFAULT_KEY.replace("golang", "go")],
)
def test_gosumdb_that_names_nothing_is_refused(value: str) -> None:
    with pytest.raises(SpecInvalid) as refusal:
        parse_gosumdb(value)
    assert refusal.value.subject == "GOSUMDB"


@pytest.mark.parametrize("name", ["../sum", "sum/../..", "sum//x", "sum.example/", "/sum", "sum example", "sum\n"])
def test_a_name_that_can_be_no_directory_is_refused(name: str, tmp_path: pathlib.Path, server: Server) -> None:
    with pytest.raises(SpecInvalid):
        Snapshot(str(tmp_path / "s"), Signer(name).key, server)


def test_a_head_of_the_public_database_is_taken() -> None:
    head = parse_head(OLD_HEAD, DEFAULT_KEY)
    assert (head.size, base64.b64encode(head.hash), head.note) == (OLD_SIZE, b"mQw+jf8Ko94JweSoG8190LvpV8myM/RNeAJ9TYKnia8=", OLD_HEAD)


@pytest.mark.parametrize(
    ("what", "old", "new"),
    [
        ("wrong signature", b"51929436", b"51929437"),
        ("wrong signature", b"mQw+", b"mQx+"),
        ("wrong signature", b"Sfg4=", b"Sfh4="),
        ("malformed signature", b"Sfg4=", b"Sfg4"),
        ("malformed signature", b"Sfg4=", b"Sfg5="),
        ("malformed signature", "— sum".encode(), b"- sum"),
        ("isn't signed by", b"Az3grk", b"Bz3grk"),
        ("isn't signed by", "— sum.golang.org".encode(), "— sum.example.org".encode()),
        ("no signed tree head", b"go.sum database tree", b"go.sum database tree v2"),
        ("no signed tree head", b"51929436", b"051929436"),
        ("no signed tree head", b"\n\n", b"\n"),
        ("no signed tree head", b"Sfg4=\n", b"Sfg4="),
        ("no signed tree head", b"51929436", b"5192\xff436"),
    ],
)
def test_a_changed_head_is_refused(what: str, old: bytes, new: bytes) -> None:
    assert old in OLD_HEAD
    with pytest.raises(ModuleRefused, match=what) as refusal:
        parse_head(OLD_HEAD.replace(old, new), DEFAULT_KEY, "the head of the day")
    assert refusal.value.subject == "the head of the day"


def test_signatures_of_others_and_further_lines_do_no_harm(signer: Signer) -> None:
    text = f"go.sum database tree\n7\n{base64.b64encode(sha256(b'x')).decode()}\nsomething of the future\n"
    note = f"{text}\n{Signer('witness.example').line(text)}{Signer().line(text)}{signer.line(text)}".encode()
    assert parse_head(note, signer.key)[:2] == (7, sha256(b"x"))


def test_no_signature_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tlog, "HAVE_CRYPTOGRAPHY", False)
    with pytest.raises(ToolMissing, match="cryptography"):
        parse_head(OLD_HEAD, DEFAULT_KEY)


def test_a_lookup_is_read() -> None:
    text = f"example.org/m v1.0.0 {h1('zip')}\nexample.org/m v1.0.0/go.mod {h1('mod')}\nexample.org/m v1.0.0 h2:future\n".encode()
    read, found, note = parse_lookup(b"17\n" + text + b"\nhead\n\nsigned\n", "example.org/m", "v1.0.0")
    assert (read.module, read.version, read.id, dict(read.lines)) == ("example.org/m", "v1.0.0", 17, {"zip": h1("zip"), "mod": h1("mod")})
    assert (found, note) == (text, b"head\n\nsigned\n")


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("is no record", "<html>log in</html>"),
        ("is no record", ""),
        ("is no record", "x\nA B h1:x\n\nhead"),
        ("is no record", f"17\nexample.org/m v1.0.0 {h1('zip')}\nexample.org/m v1.0.0/go.mod {h1('mod')}\n"),
        ("is no record", f"17\nexample.org/m v1.0.0 {h1('zip')}\nexample.org/m v1.0.0/go.mod {h1('mod')}\nx\x1b[2J\n\nhead"),
        ("hashes of its zip and go.mod", f"17\nexample.org/m v1.0.0 {h1('zip')}\n\nhead"),
        ("hashes of its zip and go.mod", f"17\nexample.org/m v1.0.1 {h1('zip')}\nexample.org/m v1.0.1/go.mod {h1('mod')}\n\nhead"),
        ("hashes of its zip and go.mod", f"17\nexample.org/n v1.0.0 {h1('zip')}\nexample.org/n v1.0.0/go.mod {h1('mod')}\n\nhead"),
        ("hashes of its zip and go.mod", f"17\nexample.org/m v1.0.0 h1:abc\nexample.org/m v1.0.0/go.mod {h1('mod')}\n\nhead"),
        ("two hashes", f"17\nexample.org/m v1.0.0 {h1('zip')}\nexample.org/m v1.0.0 {h1('pip')}\nexample.org/m v1.0.0/go.mod {h1('mod')}\n\nhead"),
    ],
)
def test_an_answer_about_something_else_is_refused(what: str, answer: str) -> None:
    with pytest.raises(ModuleRefused, match=what):
        parse_lookup(answer.encode(), "example.org/m", "v1.0.0")


def test_a_snapshot_has_one_head_and_the_tiles_for_it_alone(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    server.lookup_heads = {5: 6, 65000: SIZE - 3}
    seen: list[tuple[int, int]] = []
    snapshot = Snapshot(str(tmp_path), database.signer.key, server, workers=3)
    records = snapshot.build([module(n) for n in (65000, 5, SIZE - 1, 5)], on_progress=lambda done, total: seen.append((done, total)))

    assert {key: record.id for key, record in records.items()} == {module(5): 5, module(65000): 65000, module(SIZE - 1): SIZE - 1}
    assert records[module(5)].lines == {"zip": h1("zip5"), "mod": h1("mod5")}
    assert snapshot.tree_size == SIZE
    found = files(tmp_path)
    assert set(found) == {"latest", "supported", lookup(5), lookup(65000), lookup(SIZE - 1), "tile/8/0/000", "tile/8/0/253", "tile/8/1/000"} | EDGE
    assert found["supported"] == b""
    assert found["latest"] == database.head(SIZE)
    for number in (5, 65000, SIZE - 1):
        assert found[lookup(number)] == b"%d\n%b\n%b" % (number, database.texts[number], database.head(SIZE))
    for path in tiles(tmp_path):
        assert found[path] == database.tile(parse_path(path))
    assert len(seen) == seen[-1][0] == seen[-1][1] == 3 + 6
    assert all((tmp_path / path).stat().st_mode & 0o777 == 0o644 for path in found)


def test_upper_case_is_escaped_in_lookups(signer: Signer, tmp_path: pathlib.Path) -> None:
    text = f"example.org/Upper v1.0.0-RC1 {h1('zip')}\nexample.org/Upper v1.0.0-RC1/go.mod {h1('mod')}\n".encode()
    root = sha256(b"\x00" + text)
    path = "lookup/example.org/!upper@v1.0.0-!r!c1"
    answers = {path: b"0\n%b\n%b" % (text, signer.head(1, root)), "latest": signer.head(1, root), "tile/8/0/000.p/1": root}
    Snapshot(str(tmp_path), signer.key, answers.__getitem__).build([("example.org/Upper", "v1.0.0-RC1")])
    assert files(tmp_path) == {**answers, "supported": b""}


def test_a_lookup_with_a_newer_head_than_the_latest_gives_the_head(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    server.lookup_heads = {5: SIZE + 20}
    snapshot = Snapshot(str(tmp_path), database.signer.key, server)
    snapshot.build([module(5), module(7)])
    assert snapshot.tree_size == SIZE + 20
    assert files(tmp_path)[lookup(7)].endswith(database.head(SIZE + 20))


def test_an_unchanged_world_is_the_same_bytes_and_asks_for_nothing(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    modules = [module(5), module(65000)]
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build(modules, [300])
    server.size = NEWER
    server.asked.clear()
    again = Snapshot(str(tmp_path / "2"), database.signer.key, server, previous=str(tmp_path / "1"))
    again.build(modules, [300, SIZE])
    assert server.asked == []
    assert again.tree_size == SIZE
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_something_new_brings_the_newest_head_and_reuses_what_is_there(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build([module(5), module(65000)])
    server.size = NEWER
    server.asked.clear()
    Snapshot(str(tmp_path / "2"), database.signer.key, server, previous=str(tmp_path / "1")).build([module(5), module(6), module(30000)], [SIZE])
    # NEWER is 0x10428: one more full tile at level 0.
    new = {"tile/8/0/117", "tile/8/0/259", "tile/8/0/260.p/40", "tile/8/1/001.p/4"}
    # 259 ties the first head to the second, and 1/001.p/3 is of the first alone; 253, which the first needed for its record, stays behind.
    assert tiles(tmp_path / "2") == {"tile/8/0/000", "tile/8/1/000", "tile/8/1/001.p/3", "tile/8/2/000.p/1"} | new
    assert sorted(server.asked) == sorted({"latest", lookup(6), lookup(30000)} | new)
    assert files(tmp_path / "2")[lookup(5)].endswith(database.head(NEWER))


def test_the_earlier_head_is_checked_but_its_tiles_travel_only_when_asked_for(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build([module(5)])
    server.size = NEWER
    Snapshot(str(tmp_path / "2"), database.signer.key, server, previous=str(tmp_path / "1")).build([module(5), module(6)])
    assert "tile/8/0/259" in server.asked
    assert "tile/8/0/259" not in tiles(tmp_path / "2")


def test_older_heads_are_tied(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    Snapshot(str(tmp_path), database.signer.key, server).build([module(SIZE - 1)], [300, 65793, SIZE])
    assert tiles(tmp_path) == {"tile/8/0/001", "tile/8/1/000", "tile/8/0/257", "tile/8/1/001.p/1"} | EDGE
    assert all(content == database.tile(parse_path(path)) for path, content in files(tmp_path).items() if path.startswith("tile/"))


def test_a_host_that_knows_a_newer_head_moves_ours(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build([module(5)])
    server.size = NEWER
    again = Snapshot(str(tmp_path / "2"), database.signer.key, server, previous=str(tmp_path / "1"))
    again.build([module(5)], [NEWER - 1])
    assert again.tree_size == NEWER
    with pytest.raises(ModuleRefused, match="fewer than one that hosts know") as refusal:
        Snapshot(str(tmp_path / "3"), database.signer.key, server).build([module(5)], [NEWER + 1])
    assert (refusal.value.expected, refusal.value.found) == (str(NEWER + 1), str(NEWER))


def test_a_partial_tile_that_was_dropped_is_cut_from_the_full_one(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    note = database.head(300)
    server.changed = {"latest": note, "tile/8/0/001.p/44": None, lookup(5): b"5\n%b\n%b" % (database.texts[5], note)}
    Snapshot(str(tmp_path), database.signer.key, server).build([module(5)])
    assert files(tmp_path)["tile/8/0/001.p/44"] == database.tile(Tile(0, 1, 44))
    server.changed["tile/8/0/001"] = None
    with pytest.raises(Absent, match="001.p/44"):
        Snapshot(str(tmp_path), database.signer.key, server).build([module(5)])


def test_missing_modules_are_all_named(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    server.changed = {lookup(7): None, lookup(9): None}
    with pytest.raises(FetchFailed, match=r"does not have example.org/m7@v1.0.7, example.org/m9@v1.0.9") as failure:
        Snapshot(str(tmp_path), database.signer.key, server).build([module(n) for n in (5, 7, 8, 9)])
    assert [(entry["module"], entry["version"], entry["status"]) for entry in failure.value.details] == [(*module(7), 404), (*module(9), 404)]
    assert lookup(8) in server.asked


def test_a_database_that_is_down_is_not_said_to_lack_modules(database: Database, tmp_path: pathlib.Path) -> None:
    def down(path: str) -> bytes:
        raise FetchFailed(f"{path}: no route to host", hint="check the network")

    with pytest.raises(FetchFailed, match="gave no answer for .*no route to host") as failure:
        Snapshot(str(tmp_path), database.signer.key, down).build([module(5)])
    assert failure.value.hint == "check the network"


def flipped(content: bytes, position: int = 0) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


@pytest.mark.parametrize("path", ["tile/8/0/000", "tile/8/1/000", *sorted(EDGE)])
@pytest.mark.parametrize("how", ["flipped", "short", "long"])
def test_a_wrong_tile_is_refused_by_name(server: Server, database: Database, tmp_path: pathlib.Path, path: str, how: str) -> None:
    right = server.answer(path)
    assert right
    server.changed[path] = {"flipped": flipped(right, len(right) - 1), "short": right[:-32], "long": right + right[:32]}[how]
    with pytest.raises(ModuleRefused) as refusal:
        Snapshot(str(tmp_path), database.signer.key, server).build([module(5)])
    assert f"{NAME}/{path}" in refusal.value.subject
    assert not (tmp_path / "latest").exists()


@pytest.mark.parametrize(
    ("what", "number", "text"),
    [
        ("isn't record 5 of the log", 5, lambda text: text.replace(h1("zip5").encode(), h1("evil").encode())),
        ("isn't record 6 of the log", 6, lambda text: text),
        ("isn't record 400 of the log", 400, lambda text: text),
        ("which no signed head has yet", SIZE, lambda text: text),
    ],
)
def test_a_wrong_record_is_refused_by_name(
    server: Server, database: Database, tmp_path: pathlib.Path, what: str, number: int, text: t.Callable[[bytes], bytes]
) -> None:
    server.changed[lookup(5)] = b"%d\n%b\n%b" % (number, text(database.texts[5]), database.head(900))
    with pytest.raises(ModuleRefused, match=what) as refusal:
        Snapshot(str(tmp_path), database.signer.key, server).build([module(5), module(7)])
    assert "example.org/m5@v1.0.5" in refusal.value.subject


def test_heads_must_be_signed_by_the_database(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    forged = Signer().head(SIZE, database.root(SIZE))
    server.changed["latest"] = forged
    with pytest.raises(ModuleRefused, match="the latest head of sum.example.org isn't signed"):
        Snapshot(str(tmp_path), database.signer.key, server).build([module(5)])
    server.changed = {lookup(5): b"5\n%b\n%b" % (database.texts[5], forged)}
    with pytest.raises(ModuleRefused, match="lookup/example.org/m5@v1.0.5 isn't signed"):
        Snapshot(str(tmp_path), database.signer.key, server).build([module(5)])


def test_two_histories_are_refused(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    key = database.signer.key
    Snapshot(str(tmp_path / "1"), key, server).build([module(5)])
    other = Server(Database(database.signer, salt="other"), NEWER)
    with pytest.raises(ModuleRefused, match="two histories") as refusal:
        Snapshot(str(tmp_path / "2"), key, other, previous=str(tmp_path / "1")).build([module(6)])
    assert refusal.value.expected == database.root(SIZE).hex()
    with pytest.raises(ModuleRefused, match="two histories"):
        Snapshot(str(tmp_path / "2"), key, other, previous=str(tmp_path / "1")).build([module(5), module(6)])
    other.size = SIZE
    with pytest.raises(ModuleRefused, match="two histories"):
        Snapshot(str(tmp_path / "2"), key, other, previous=str(tmp_path / "1")).build([module(6)])


def test_a_record_damaged_in_the_earlier_snapshot_is_refused_by_name(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build([module(5), module(6)])
    damaged = tmp_path / "1" / lookup(6)
    damaged.write_bytes(damaged.read_bytes().replace(h1("zip6").encode(), h1("evil").encode()))
    with pytest.raises(ModuleRefused, match="isn't record 6 of the log") as refusal:
        Snapshot(str(tmp_path / "2"), database.signer.key, server, previous=str(tmp_path / "1")).build([module(5), module(6)])
    assert str(damaged) in refusal.value.subject
    assert [entry["module"] for entry in refusal.value.details] == ["example.org/m6"]


def test_a_head_damaged_in_the_earlier_snapshot_is_refused_by_name(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build([module(5)])
    damaged = tmp_path / "1" / "latest"
    damaged.write_bytes(database.head(SIZE).replace(b"66500", b"66501"))
    with pytest.raises(ModuleRefused, match="wrong signature") as refusal:
        Snapshot(str(tmp_path / "2"), database.signer.key, server, previous=str(tmp_path / "1")).build([module(5)])
    assert refusal.value.subject == str(damaged)


@pytest.mark.parametrize("path", ["tile/8/0/000", "tile/8/2/000.p/1"])
@pytest.mark.parametrize("content", [b"", b"x" * 32, b"x" * 8192])
def test_a_tile_damaged_in_the_earlier_snapshot_is_fetched(server: Server, database: Database, tmp_path: pathlib.Path, path: str, content: bytes) -> None:
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build([module(5)])
    whole = files(tmp_path / "1")
    (tmp_path / "1" / path).write_bytes(content)
    server.asked.clear()
    Snapshot(str(tmp_path / "2"), database.signer.key, server, previous=str(tmp_path / "1")).build([module(5)])
    assert path in server.asked
    assert files(tmp_path / "2") == whole


def test_what_an_earlier_snapshot_lacks_is_fetched(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build([module(5)])
    whole = files(tmp_path / "1")
    (tmp_path / "1" / "tile/8/0/000").unlink()
    server.asked.clear()
    Snapshot(str(tmp_path / "2"), database.signer.key, server, previous=str(tmp_path / "1")).build([module(5)])
    assert server.asked == ["tile/8/0/000"]
    Snapshot(str(tmp_path / "3"), database.signer.key, server, previous=str(tmp_path / "nowhere")).build([module(5)])
    assert files(tmp_path / "2") == files(tmp_path / "3") == whole


def test_leftovers_in_the_destination_go_and_other_files_stay(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    for path in ("tile/8/0/777", "lookup/example.org/old@v1.0.0", "notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("old")
    Snapshot(str(tmp_path), database.signer.key, server).build([module(5)])
    assert set(files(tmp_path)) == {"latest", "supported", "notes.txt", lookup(5), "tile/8/0/000", "tile/8/1/000"} | EDGE


def test_a_snapshot_does_not_replace_its_own_source(server: Server, database: Database, tmp_path: pathlib.Path) -> None:
    Snapshot(str(tmp_path / "1"), database.signer.key, server).build([module(5)])
    os.symlink(tmp_path / "1", tmp_path / "link")
    with pytest.raises(AirgapError, match="can't replace"):
        Snapshot(str(tmp_path / "1"), database.signer.key, server, previous=str(tmp_path / "link")).build([module(5)])
    assert lookup(5) in files(tmp_path / "1")
