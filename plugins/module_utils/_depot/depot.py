# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A depot: an OCI image layout (image-layout.md of image-spec v1.1) with one browsable tree per generation.

Whatever adds a generation, from the network, a bundle or a delivery, ends in ``Depot.admit``: blobs first, then the
tree, then the audit line, then one rename of index.json, which is the moment at which the generation exists.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._base.errors import DepotDamaged
from .._base.files import locked, remove_tree, symlink_atomically, sync_filesystem, temporary_sibling, write_atomically
from .._base.progress import Stage
from . import manifest as oci
from .audit import AuditLog
from .blobs import BlobStore, is_temporary
from .generation import Generation, Ref, parse_config
from .tree import SUMS, Begun, lay_out

LAYOUT = oci.canonical({"imageLayoutVersion": "1.0.0"})
DIGEST_PREFIX = "airgap.golang."


class Depot:
    """One depot directory. Reading needs no lock; whatever changes it runs inside ``with depot.locked()``."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.blobs = BlobStore(self.path)
        self.audit = AuditLog(self.path)

    def exists(self) -> bool:
        return os.path.isfile(os.path.join(self.path, "oci-layout"))

    @property
    def staging(self) -> str:
        """Where things wait until they're whole; a rerun resumes from it."""
        return os.path.join(self.path, "staging")

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Make the depot if there is none, and be its only writer."""
        os.makedirs(self.staging, mode=0o755, exist_ok=True)
        os.makedirs(self.blobs.directory, exist_ok=True)
        os.makedirs(os.path.join(self.path, "trees"), exist_ok=True)
        with locked(os.path.join(self.path, ".lock")):
            # A depot that lost one of the two must not lose its generations as well.
            if not os.path.exists(self._index_path):
                write_atomically(self._index_path, _encode_index([]))
            if not self.exists():
                write_atomically(os.path.join(self.path, "oci-layout"), LAYOUT)
            yield

    @property
    def _index_path(self) -> str:
        return os.path.join(self.path, "index.json")

    def index(self) -> dict[Ref, str]:
        """Every generation's manifest digest. An absent depot has none.

        :raises DepotDamaged: index.json can't be read.
        """
        return {Ref.parse(entry["annotations"][oci.REF_NAME]): str(entry["digest"]) for entry in self._entries()}

    def _entries(self) -> list[dict[str, t.Any]]:
        try:
            with open(self._index_path, encoding="utf-8") as stream:
                entries = json.load(stream)["manifests"]
            for entry in entries:
                str(entry["digest"]), entry["annotations"][oci.REF_NAME]
            return t.cast("list[dict[str, t.Any]]", entries)
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as exc:
            raise DepotDamaged(
                f"{self._index_path} can't be read ({type(exc).__name__}: {exc})",
                subject=self._index_path,
                hint="restore it from a backup, or receive the generations again into a new depot",
            ) from None

    def generation(self, ref: Ref) -> Generation:
        """:raises DepotDamaged: it isn't here, or its manifest or config isn't what its digest says."""
        digest = self.index().get(ref)
        if digest is None:
            raise DepotDamaged(
                f"the depot {self.path} has no generation {ref}",
                code="generation_missing",
                subject=str(ref),
                found=", ".join(str(known) for known in sorted(self.index())) or "none",
                hint="name one of those that are there",
            )
        parsed = oci.parse(self.blobs.read(digest), f"{self.path}: {ref}")
        return Generation(ref, digest, parsed, parse_config(self.blobs.read(parsed.config), f"{self.path}: {ref}"))

    def manifest_size(self, ref: Ref) -> int:
        """The bytes of a generation's manifest, as the index has it; 0 where it has none."""
        return next((int(entry.get("size", 0)) for entry in self._entries() if entry["annotations"][oci.REF_NAME] == str(ref)), 0)

    def config_of(self, ref: Ref) -> tuple[str, int]:
        """The digest of a generation's config document, and its bytes, whether it's here or not.

        :raises DepotDamaged: the generation isn't here, or its manifest isn't what its digest says.
        """
        digest = self.index().get(ref, "")
        parsed = oci.parse(self.blobs.read(digest), f"{self.path}: {ref}")
        return parsed.config, parsed.config_size

    def latest(self, sealed_only: bool = False) -> t.Optional[Generation]:
        """The generation with the highest number, a sealed one before its unsealed self; None in an empty depot."""
        refs = sorted(ref for ref in self.index() if ref.sealed or not sealed_only)
        return self.generation(refs[-1]) if refs else None

    def next_number(self) -> int:
        return max((ref.number for ref in self.index()), default=0) + 1

    def tree(self, ref: Ref) -> str:
        return os.path.join(self.path, "trees", str(ref))

    def scratch(self, prefix: str) -> str:
        """A fresh directory below staging."""
        path = temporary_sibling(os.path.join(self.staging, prefix))
        os.makedirs(path, mode=0o755)
        return path

    def sweep(self, *kept: str) -> None:
        """Remove what killed runs left in staging, in trees and under temporary names, but for the staging entries ``kept``."""
        known = {str(ref) for ref in self.index()}
        # A kill between the index and ``current`` leaves the latter on a tree that goes now.
        self.point_current()
        for directory, goes in (
            (self.staging, lambda name: name not in kept),
            (os.path.join(self.path, "trees"), lambda name: name not in known),
            (self.blobs.directory, is_temporary),
            (self.path, is_temporary),
        ):
            with contextlib.suppress(FileNotFoundError):
                for name in filter(goes, os.listdir(directory)):
                    remove_tree(os.path.join(directory, name))

    def refuse_other(self, ref: Ref, digest: str) -> None:
        """:raises DepotDamaged: the depot has a generation of this name that is another."""
        known = self.index().get(ref, digest)
        if known != digest:
            raise DepotDamaged(
                f"the depot {self.path} has another generation {ref}",
                code="generation_conflict",
                subject=str(ref),
                expected=known,
                found=digest,
                hint="two connected depots gave the same number; receive into separate depots, or gather again in the one that this depot follows",
            )

    def refuse_missing(self, ref: Ref, layers: t.Iterable[oci.Layer], coming: t.Container[str] = ()) -> None:
        """:raises DepotDamaged: a layer's blob is neither here nor among those that are ``coming`` (digests)."""
        absent = [layer for layer in layers if layer.digest not in coming and not self.blobs.has(layer.digest, layer.size)]
        if absent:
            shown = ", ".join(layer.title for layer in absent[:3]) + (" among them" if len(absent) > 3 else "")
            raise DepotDamaged(
                f"{len(absent)} blobs of generation {ref} are missing: {shown}",
                code="blobs_missing",
                subject=absent[0].title,
                details=[{"subject": layer.title, "digest": layer.digest} for layer in absent],
                hint="this bundle was made for a depot that had them: ask for one made against this depot's receipt, or for a full one",
            )

    def holds(self, generation: Generation) -> bool:
        """Whether the generation is here with its tree and every blob."""
        return (
            self.index().get(generation.ref) == generation.digest
            and os.path.isfile(os.path.join(self.tree(generation.ref), SUMS))
            and not self.blobs.missing(generation.manifest.blobs())
        )

    def admit(
        self,
        ref: Ref,
        manifest: bytes,
        config: bytes,
        trace_id: str,
        *,
        layers: t.Optional[t.Iterable[oci.Layer]] = None,
        replaces: t.Optional[Ref] = None,
        facts: t.Optional[t.Mapping[str, t.Any]] = None,
        stage: t.Optional[Stage] = None,
        workers: int = 1,
        begun: t.Optional[Begun] = None,
    ) -> Generation:
        """Make a generation exist whose layers' blobs are all in the store already. Needs the lock.

        :param layers: which layers this depot holds (a host may do with some); all of them by default.
        :param replaces: an unsealed generation that this one is the sealed form of.
        :param facts: for the audit line (where it came from, who signed it).
        :param workers: as for ``lay_out``.
        :param begun: becomes the tree; if the generation can't be admitted, it's where it was.
        :raises DepotDamaged: a blob is missing, or the number is taken by something else.
        """
        digest = oci.digest_of(manifest)
        parsed = oci.parse(manifest, str(ref))
        generation = Generation(ref, digest, parsed, parse_config(config, str(ref)))
        if oci.digest_of(config) != parsed.config:
            raise DepotDamaged(
                f"the config of generation {ref} isn't the one that its manifest names",
                subject=str(ref),
                expected=parsed.config,
                hint="receive its bundle again, or gather it again",
            )
        held = parsed.layers if layers is None else tuple(layers)
        self.refuse_other(ref, digest)
        self.refuse_missing(ref, held)
        if ref in self.index():
            self._put({parsed.config: config, digest: manifest})
            lay_out(self.blobs, held, self.tree(ref), stage, workers)
            sync_filesystem(self.path)
        else:
            told = {"trace_id": trace_id, **dict(facts or {})}
            self._add(generation, {parsed.config: config, digest: manifest}, held, replaces, stage, workers, begun, told)
        self.point_current()
        # Last, since ``current`` may have meant it until now.
        if replaces is not None and replaces not in self.index():
            remove_tree(self.tree(replaces))
        return generation

    def _add(
        self,
        generation: Generation,
        documents: t.Mapping[str, bytes],
        held: t.Sequence[oci.Layer],
        replaces: t.Optional[Ref],
        stage: t.Optional[Stage],
        workers: int,
        begun: t.Optional[Begun],
        facts: t.Mapping[str, t.Any],
    ) -> None:
        """The tree, the documents' blobs, the audit line, the index; a failure on the way leaves nothing behind but perhaps the line."""
        ref = generation.ref
        tree, fresh = self.tree(ref), begun.path if begun else self.scratch("tree")
        put: list[str] = []
        try:
            lay_out(self.blobs, held, fresh, stage, workers, begun.ready if begun else None)
            put = self._put(documents)
            remove_tree(tree)
            os.rename(fresh, tree)
            sync_filesystem(self.path)
            self.audit.append("admit", generation=str(ref), manifest=generation.digest, name=generation.name, **facts)
            entries = [entry for entry in self._entries() if replaces is None or entry["annotations"][oci.REF_NAME] != str(replaces)]
            write_atomically(self._index_path, _encode_index([*entries, _entry(generation)]))
        except BaseException:
            if ref not in self.index():
                if begun and not os.path.lexists(fresh):
                    os.rename(tree, fresh)
                remove_tree(tree)
                if not begun:
                    remove_tree(fresh)
                self.blobs.discard(put)
            raise

    def forget(self, refs: t.Collection[Ref]) -> None:
        """Let generations not exist any more, by one rename; their files are there still. Needs the lock."""
        if refs:
            names = {str(ref) for ref in refs}
            write_atomically(self._index_path, _encode_index([entry for entry in self._entries() if entry["annotations"][oci.REF_NAME] not in names]))
            self.point_current()

    def point_current(self) -> None:
        """Let ``current`` mean the newest generation's tree. Needs the lock."""
        if not self.is_current():
            symlink_atomically(os.path.join("trees", str(max(self.index()))), os.path.join(self.path, "current"))

    def is_current(self) -> bool:
        """Whether ``current`` means the newest generation's tree; also true where there is none."""
        refs, link = self.index(), os.path.join(self.path, "current")
        return not refs or (os.path.islink(link) and os.readlink(link) == os.path.join("trees", str(max(refs))))

    def _put(self, documents: t.Mapping[str, bytes]) -> list[str]:
        return [digest for digest, content in documents.items() if self.blobs.put(digest, content)]


def _encode_index(entries: t.Sequence[t.Mapping[str, t.Any]]) -> bytes:
    ordered = sorted(entries, key=lambda entry: str(entry["annotations"][oci.REF_NAME]))
    return oci.canonical({"schemaVersion": 2, "mediaType": oci.INDEX_TYPE, "manifests": ordered})


def index_of(generation: Generation) -> bytes:
    """An index.json that names this generation alone, as a bundle carries it."""
    return _encode_index([_entry(generation)])


def _entry(generation: Generation) -> dict[str, t.Any]:
    return {
        "mediaType": oci.MANIFEST_TYPE,
        "artifactType": oci.ARTIFACT_TYPE,
        "digest": generation.digest,
        "size": len(generation.manifest.encode()),
        "annotations": {oci.REF_NAME: str(generation.ref), DIGEST_PREFIX + "name": generation.name, oci.CREATED: generation.config["created"]},
    }
