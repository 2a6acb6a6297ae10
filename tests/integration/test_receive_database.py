# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A receiver proves the checksum database that a bundle brings: whoever signs bundles can't lie about it, nor bring another history."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest

from ansible_collections.airgap.golang.plugins.module_utils import receive as receive_verb
from ansible_collections.airgap.golang.plugins.module_utils._base.errors import AirgapError, SpecInvalid, ToolMissing
from ansible_collections.airgap.golang.plugins.module_utils._base.progress import Reporter
from ansible_collections.airgap.golang.plugins.module_utils._depot import manifest as oci
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot
from ansible_collections.airgap.golang.plugins.module_utils._go import tlog
from ansible_collections.airgap.golang.plugins.module_utils._go.h1 import gomod_h1, zip_h1
from ansible_collections.airgap.golang.plugins.module_utils._go.sumdb import Snapshot
from ansible_collections.airgap.golang.tests.support.depots import listing
from ansible_collections.airgap.golang.tests.support.receiving import pieces, receive, refused
from ansible_collections.airgap.golang.tests.support.small_depot import ERRORS, UUID, Composer, SmallSite, write_bundle
from ansible_collections.airgap.golang.tests.support.toy_database import NAME, Log, Signer, h1, record

SIZES = {1: 300, 2: 600, 3: 700}
AT = {UUID: 5, ERRORS: 299}
Files = t.Dict[str, bytes]


@dataclasses.dataclass
class Site:
    """A connected side with a private database; ``bundle`` makes its generations."""

    small: SmallSite
    directory: pathlib.Path
    log: Log
    count: int = 0

    def snapshot(self, size: int, older: t.Sequence[int], log: t.Optional[Log] = None) -> Files:
        """The files of a snapshot, by their path below sumdb/."""
        self.count += 1
        directory = self.directory / f"snapshot-{self.count}"
        used = log or self.log
        Snapshot(str(directory), used.signer.key, used.serve(size)).build(list(AT), older)
        return {f"{used.signer.name}/{path.relative_to(directory)}": path.read_bytes() for path in directory.rglob("*") if path.is_file()}

    def bundle(
        self,
        number: int = 1,
        *,
        size: int = 0,
        older: t.Optional[t.Sequence[int]] = None,
        log: t.Optional[Log] = None,
        edit_files: t.Callable[[Files], None] = lambda files: None,
        edit_config: t.Callable[[dict[str, t.Any]], None] = lambda config: None,
        edit_layers: t.Callable[[Composer, list[oci.Layer]], None] = lambda composer, layers: None,
        signed: bool = True,
    ) -> pathlib.Path:
        """A bundle whose generation has the database as it was with so many records, tied to the heads of the generations before."""
        size = size or SIZES[number]
        ties = [SIZES[earlier] for earlier in SIZES if earlier < number] if older is None else list(older)
        files = self.snapshot(size, ties, log)
        edit_files(files)
        self.count += 1
        composer = Composer(Depot(str(self.directory / f"depot-{self.count}")), self.directory / f"scratch-{self.count}")

        def layers(made: list[oci.Layer]) -> None:
            made.append(composer.tar("sumdb.tar", "sumdb", "proxy/sumdb", files, False))
            edit_layers(composer, made)

        def config(document: dict[str, t.Any]) -> None:
            key = (log or self.log).signer.key
            document["go"].update(gosumdb=key, sumdb={"name": NAME, "size": size, "older": sorted({*ties, size})})
            for module in document["modules"]:
                module["public"] = True
            edit_config(document)

        composer.edit_config, composer.edit_layers = config, layers
        composed = composer.compose(number, [self.small.modules[UUID]], [self.small.modules[ERRORS]])
        path = self.directory / f"bundle-{self.count}.tar"
        return write_bundle(composer.depot, composed.generation, path, str(self.small.key) if signed else "")

    def receive(self, depot: Depot, path: pathlib.Path, **more: t.Any) -> receive_verb.Outcome:
        return receive(depot, path, self.small.allowed_signers, **more)

    def refused(self, depot: Depot, path: pathlib.Path, **more: t.Any) -> AirgapError:
        return refused(depot, path, self.small.allowed_signers, **more)


def make_log(small: SmallSite, signer: Signer, salt: str = "") -> Log:
    """A log whose records AT are those of the modules as they are."""
    texts = [record(f"example.org/m{n}", "v1.0.0", h1(f"{salt}zip{n}"), h1(f"{salt}mod{n}")) for n in range(max(SIZES.values()) + 100)]
    for version, number in AT.items():
        module = small.modules[version]
        texts[number] = record(*version, zip_h1(str(module.zip)), gomod_h1(module.mod.read_bytes()))
    return Log(signer, texts)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def log(small_site: SmallSite, signer: Signer) -> Log:
    return make_log(small_site, signer)


@pytest.fixture(scope="module")
def other_log(small_site: SmallSite, signer: Signer) -> Log:
    """Another history by the same key, with the same records for the modules."""
    return make_log(small_site, signer, "other")


@pytest.fixture
def site(small_site: SmallSite, log: Log, tmp_path: pathlib.Path) -> Site:
    return Site(small_site, tmp_path, log)


@pytest.fixture
def depot(tmp_path: pathlib.Path) -> Depot:
    depot = Depot(str(tmp_path / "depot"))
    with depot.locked():
        pass
    return depot


def path_of(name: str) -> str:
    return f"{NAME}/{name}"


def change(name: str, content: t.Callable[[bytes], t.Optional[bytes]]) -> t.Callable[[Files], None]:
    def edit(files: Files) -> None:
        changed = content(files.pop(path_of(name), b""))
        if changed is not None:
            files[path_of(name)] = changed

    return edit


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_generations_follow_each_other(site: Site, depot: Depot) -> None:
    for number in (1, 2, 3):
        path = site.bundle(number)
        before = listing(pathlib.Path(depot.path))
        assert site.receive(depot, path, check=True).changed
        assert listing(pathlib.Path(depot.path)) == before
        outcome = site.receive(depot, path)
        assert outcome.changed
        assert outcome.generation.unproved() == []


def test_a_late_disc_is_taken_while_the_newest_stays(site: Site, depot: Depot) -> None:
    for number in (1, 3, 2):
        assert site.receive(depot, site.bundle(number)).changed
    assert [str(ref) for ref in sorted(depot.index())] == ["000001", "000002", "000003"]


def test_a_generation_without_a_database_is_taken_and_says_what_is_unproved(site: Site, depot: Depot) -> None:
    def none(config: dict[str, t.Any]) -> None:
        config["go"].update(gosumdb="off", sumdb={})
        for module in config["modules"]:
            module["public"] = False

    path = site.bundle(edit_config=none, edit_layers=lambda composer, layers: layers.pop())
    names = ["@".join(ERRORS), "@".join(UUID)]
    assert site.receive(depot, path).generation.summary()["unproved"] == sorted(names)
    readme = pieces(path)["README"].decode()
    assert "unproved   2 module versions that the checksum database has no record of:" in readme
    assert all(f"\n             {name}\n" in readme for name in names)


def test_a_readme_says_that_nothing_is_unproved(site: Site) -> None:
    assert "unproved   nothing:" in pieces(site.bundle())["README"].decode()


UUID_PATH = "lookup/github.com/google/uuid@v1.6.0"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tile/8/0/000", flip, "doesn't hash to what the head with 300 records says"),
        ("tile/8/0/001.p/44", flip, "together don't hash to the head with 300 records"),
        ("tile/8/0/000", lambda content: content[:-32], "has the wrong length"),
        ("tile/8/0/000", lambda content: None, "is missing"),
        ("tile/8/0/002", lambda content: bytes(8192), "has no business in the snapshot"),
        ("tile/8/0/000.txt", lambda content: b"x", "has no business in the snapshot"),
        (UUID_PATH, lambda content: content.replace(b"h1:", b"h1:A", 1), "doesn't give the hashes"),
        (UUID_PATH, lambda content: content.replace(b"5\n", b"6\n", 1), "isn't record 6 of the log"),
        (UUID_PATH, lambda content: content.replace(b"5\n", b"300\n", 1), "which no signed head has yet"),
        (UUID_PATH, lambda content: content.replace(b"5\n", b"05\n", 1), "writes its number in another way"),
        (UUID_PATH, flip, "doesn't end in the snapshot's head"),
        (UUID_PATH, lambda content: None, "has no business in the snapshot"),
        ("lookup/github.com/Google/uuid@v1.6.0", lambda content: b"x", "has no business in a snapshot"),
        ("lookup/x", lambda content: b"x", "has no business in a snapshot"),
        ("latest", lambda content: content.replace(b"300", b"301"), "has a wrong signature"),
        ("latest", lambda content: None, "has no business in a snapshot"),
        ("supported", lambda content: b"x", "has no business in a snapshot"),
        ("supported", lambda content: None, "is missing"),
        ("autorun.inf", lambda content: b"", "has no business in a snapshot"),
    ],
)
def test_what_is_forged_is_refused_by_name(
    site: Site, depot: Depot, name: str, content: t.Callable[[bytes], t.Optional[bytes]], says: str
) -> None:
    refusal = site.refused(depot, site.bundle(edit_files=change(name, content)))
    assert refusal.code == "module_refused"
    assert says in refusal.message
    assert NAME in refusal.subject


def test_a_record_that_somebody_made_up_is_refused(site: Site, depot: Depot) -> None:
    def forge(files: Files) -> None:
        right = site.log.texts[5]
        files[path_of(UUID_PATH)] = files[path_of(UUID_PATH)].replace(right, record(*UUID, h1("evil"), h1("evil")))

    refusal = site.refused(depot, site.bundle(edit_files=forge))
    assert "isn't record 5 of the log with 300 records" in refusal.message
    assert "@".join(UUID) in refusal.subject


def test_a_head_by_another_key_is_refused(site: Site, depot: Depot, small_site: SmallSite, log: Log) -> None:
    stranger = make_log(small_site, Signer())

    def swap(files: Files) -> None:
        for path, content in files.items():
            files[path] = content.replace(log.head(300), stranger.signer.head(300, log.root(300)))

    assert f"isn't signed by {NAME}" in site.refused(depot, site.bundle(edit_files=swap)).message


@pytest.mark.parametrize(("number", "size"), [(2, 0), (2, 300), (2, 300 + 256)])
def test_another_history_is_refused(site: Site, depot: Depot, other_log: Log, number: int, size: int) -> None:
    site.receive(depot, site.bundle(1))
    refusal = site.refused(depot, site.bundle(number, log=other_log, size=size))
    assert "has two histories" in refusal.message
    assert "somebody lies" in refusal.hint


def test_a_late_disc_with_another_history_is_refused(site: Site, depot: Depot, other_log: Log) -> None:
    site.receive(depot, site.bundle(3))
    refusal = site.refused(depot, site.bundle(1, log=other_log))
    assert "has two histories" in refusal.message


def test_a_head_that_is_not_tied_to_the_last_one_is_refused(site: Site, depot: Depot) -> None:
    site.receive(depot, site.bundle(1))
    refusal = site.refused(depot, site.bundle(2, older=[]))
    assert "is not tied to an earlier one with 300" in refusal.message


def test_a_late_disc_that_nothing_leads_on_from_is_refused(site: Site, depot: Depot) -> None:
    site.receive(depot, site.bundle(3, older=[]))
    assert "is not tied to an earlier one with 300" in site.refused(depot, site.bundle(1)).message


def test_heads_are_in_the_order_of_generations(site: Site, depot: Depot) -> None:
    site.receive(depot, site.bundle(2))
    assert site.refused(depot, site.bundle(3, size=400, older=[])).code == "database_order"
    assert site.refused(depot, site.bundle(1, size=700, older=[600])).code == "database_order"


@pytest.mark.parametrize("what", ["h1", "gomod_h1"])
@pytest.mark.parametrize("module", [UUID, ERRORS])
def test_a_generation_whose_modules_are_not_the_databases_is_refused(site: Site, depot: Depot, small_site: SmallSite, module: t.Any, what: str) -> None:
    """The database here has another hash; the files are what the generation says."""
    texts = list(site.log.texts)
    of = small_site.modules[module]
    right = {"h1": zip_h1(str(of.zip)), "gomod_h1": gomod_h1(of.mod.read_bytes())}
    texts[AT[module]] = record(*module, *{**right, what: h1("another")}.values())
    path = site.bundle(log=Log(site.log.signer, texts))
    if (module, what) == (ERRORS, "h1"):
        # Of this one go.mod alone is carried.
        assert site.receive(depot, path).changed
        return
    refusal = site.refused(depot, path)
    assert (refusal.code, refusal.expected, refusal.found) == ("module_refused", h1("another"), right[what])
    assert refusal.subject == "@".join(module) + ("/go.mod" if what == "gomod_h1" else "")
    assert "the checksum database says" in refusal.message


def test_a_module_that_is_called_public_and_has_no_record_is_refused(site: Site, depot: Depot) -> None:
    def lie(config: dict[str, t.Any]) -> None:
        config["modules"].append({**config["modules"][1], "version": "v0.9.0"})

    refusal = site.refused(depot, site.bundle(edit_config=lie))
    assert {entry["found"] for entry in refusal.details} == {"no file", "none"}
    assert refusal.subject.startswith(f"{ERRORS[0]}@v0.9.0")


def test_a_go_mod_that_is_not_what_the_config_says_is_refused(small_site: SmallSite, site: Site, depot: Depot) -> None:
    def lie(config: dict[str, t.Any]) -> None:
        config["modules"][1].update(gomod_h1=h1("evil"), public=False)

    refusal = site.refused(depot, site.bundle(edit_config=lie))
    assert refusal.details[0]["found"] == gomod_h1(small_site.modules[ERRORS].mod.read_bytes())


def no_database(config: dict[str, t.Any]) -> None:
    config["go"]["sumdb"] = {}


@pytest.mark.parametrize(
    "lie",
    [
        no_database,
        lambda config: config["go"]["sumdb"].update(name="sum.example.net"),
        lambda config: config["go"]["sumdb"].update(size=301, older=[300, 301]),
        lambda config: config["go"]["sumdb"].update(size=299),
        lambda config: config["go"]["sumdb"].update(older=[270, 300]),
        lambda config: config["go"]["sumdb"].update(older=[-1, 300]),
        lambda config: config["go"].update(gosumdb="off"),
        lambda config: config["go"].update(gosumdb="sum.example.org"),
        lambda config: config["go"].pop("gosumdb"),
    ],
)
def test_a_config_that_says_something_else_of_the_database_is_refused(site: Site, depot: Depot, lie: t.Callable[[dict[str, t.Any]], None]) -> None:
    site.refused(depot, site.bundle(edit_config=lie))


def test_a_database_that_is_not_there_is_refused(site: Site, depot: Depot) -> None:
    site.refused(depot, site.bundle(edit_layers=lambda composer, layers: layers.pop()))


@pytest.mark.parametrize("how", ["index", "file", "elsewhere"])
def test_a_part_of_the_database_in_another_layer_is_refused(site: Site, depot: Depot, how: str) -> None:
    def hide(composer: Composer, layers: list[oci.Layer]) -> None:
        if how == "file":
            layers.append(composer.raw(f"proxy/sumdb/{NAME}/lookup/x@v1", "sumdb", "", b"x", oci.FILE_TYPE))
        elif how == "index":
            layers.append(composer.tar("more.tar", "index", "proxy", {f"sumdb/{NAME}/lookup/x@v1": b"x"}, False))
        else:
            layers.append(composer.tar("more.tar", "sumdb", "proxy/example.org", {"x/@v/list": b"x"}, False))

    refusal = site.refused(depot, site.bundle(edit_layers=hide))
    assert refusal.code in ("unsafe_member", "bundle_damaged")


def test_the_well_known_name_has_its_built_in_key_alone(site: Site, depot: Depot, small_site: SmallSite) -> None:
    pretender = make_log(small_site, Signer("sum.golang.org"))
    path = site.bundle(log=pretender, edit_config=lambda config: config["go"]["sumdb"].update(name="sum.golang.org"))
    refusal = site.refused(depot, path)
    assert (refusal.code, refusal.subject, refusal.found) == ("database_untrusted", "sum.golang.org", pretender.signer.key)
    with pytest.raises(SpecInvalid):
        site.receive(depot, path, gosumdb=[pretender.signer.key])


def test_an_unsigned_bundle_needs_a_key_that_is_known_here(site: Site, depot: Depot, signer: Signer) -> None:
    path = site.bundle(signed=False)
    refusal = refused(depot, path, None)
    assert (refusal.code, refusal.found) == ("database_untrusted", signer.key)
    assert receive(depot, path, None, gosumdb=[signer.key]).changed


def test_a_private_database_keeps_its_key(site: Site, depot: Depot, small_site: SmallSite, signer: Signer) -> None:
    site.receive(depot, site.bundle(1))
    successor = Signer()
    path = site.bundle(2, log=make_log(small_site, successor))
    refusal = site.refused(depot, path)
    assert (refusal.code, refusal.expected, refusal.found) == ("database_untrusted", signer.key, successor.key)
    assert "receive_gosumdb" in refusal.hint
    # The owner may change it, and says so to receivers himself.
    assert site.receive(depot, path, gosumdb=[successor.key]).changed


def test_a_receiver_who_names_a_key_takes_no_other(site: Site, depot: Depot) -> None:
    assert site.refused(depot, site.bundle(), gosumdb=[Signer().key]).code == "database_untrusted"


@pytest.mark.parametrize("value", ["off", "sum.example.org", "", "x+y+z"])
def test_a_key_that_is_none_is_refused(site: Site, depot: Depot, value: str) -> None:
    with pytest.raises(SpecInvalid):
        site.receive(depot, site.bundle(), gosumdb=[value])


def test_no_signature_library_is_said_before_anything_is_read(site: Site, depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.bundle()
    monkeypatch.setattr(tlog, "HAVE_CRYPTOGRAPHY", False)
    with pytest.raises(ToolMissing, match="cryptography") as refusal:
        site.receive(depot, path)
    assert "python3-cryptography" in refusal.value.hint


def test_a_damaged_head_here_is_healed_by_the_bundle_that_brought_it(site: Site, depot: Depot) -> None:
    path = site.bundle(1)
    generation = site.receive(depot, path).generation
    head = pathlib.Path(depot.tree(generation.ref), "proxy", "sumdb", NAME, "latest")
    head.chmod(0o644)
    head.write_bytes(b"")
    assert site.receive(depot, site.bundle(2)).changed


def test_the_snapshot_of_a_blob_that_is_held_is_proved_too(site: Site, depot: Depot) -> None:
    """A bundle that leaves the snapshot out, since the depot has that blob, gets no further by it."""
    site.receive(depot, site.bundle(1))
    composer = Composer(Depot(str(site.directory / "liar")), site.directory / "liar-scratch")
    files = site.snapshot(SIZES[1], [])

    def config(document: dict[str, t.Any]) -> None:
        document["go"].update(gosumdb=site.log.signer.key, sumdb={"name": NAME, "size": 300, "older": [270, 300]})

    composer.edit_config = config
    composer.edit_layers = lambda layers: layers.append(composer.tar("sumdb.tar", "sumdb", "proxy/sumdb", files, False))
    composed = composer.compose(2, [site.small.modules[UUID]], [site.small.modules[ERRORS]])
    carried = [layer.digest for layer in composed.generation.manifest.layers if layer.kind in ("index", "evidence")]
    path = write_bundle(composer.depot, composed.generation, site.directory / "lie.tar", str(site.small.key), carried)
    assert "is missing" in site.refused(depot, path).message


def test_an_unchanged_receive_proves_nothing_again(site: Site, depot: Depot) -> None:
    path = site.bundle(1)
    assert site.receive(depot, path).changed
    outcome = receive_verb.receive(depot, receive_verb.Options(str(path), str(site.small.allowed_signers)), Reporter())
    assert not outcome.changed
