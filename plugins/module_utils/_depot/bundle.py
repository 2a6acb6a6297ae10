# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundle format: a canonical tar of an OCI image layout, with its sums and signature first.

    README                  for whoever finds the disc
    SHA256SUMS              sha256sum -c checks every member but itself and its signature
    SHA256SUMS.sig          ssh-keygen -Y verify -n airgap.golang … < SHA256SUMS; absent in an unsigned bundle
    kit                     python3 kit FILE makes a machine a control node; only where the bundle carries a whole kit
    oci-layout  index.json  any OCI tool can read it: skopeo copy oci-archive:FILE:000007 …
    blobs/sha256/<hex>      the manifest, the config, then the blobs that the receiver lacks

The manifest names the whole generation, also where the bundle carries a part of it.

Note that this module util is PRIVATE to the collection: it can change at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import typing as t

from .._base import signature, ustar
from .._base.errors import AirgapError, BundleDamaged, DepotDamaged, SignatureRefused
from .._base.progress import Stage
from . import manifest as oci
from .depot import LAYOUT, Depot, index_of
from .generation import Generation, Ref, parse_config

README, SUMS, SIGNATURE, LAYOUT_FILE, INDEX = "README", "SHA256SUMS", "SHA256SUMS.sig", "oci-layout", "index.json"
PREFIX = "blobs/sha256/"

#: A kit's files in a generation's tree, and the one of them that installs it: that is a member of its own, so that tar alone gets it out.
KIT_PLACE = "files/kit/"
INSTALLER, KIT = KIT_PLACE + "install", "kit"

_README = """\
{name} {ref}: Go toolchains, modules and projects for machines without a network, packed by airgap.golang.

  manifest   {digest}
  carries    {carried} of {total} blobs{base}
  unproved   {unproved}

Check it with what every Unix has, before anything is unpacked anywhere that matters:

  mkdir bundle && tar -xf {file} -C bundle && cd bundle
  ssh-keygen -Y find-principals -s SHA256SUMS.sig -f ALLOWED_SIGNERS
  ssh-keygen -Y verify -f ALLOWED_SIGNERS -I PRINCIPAL -n airgap.golang -s SHA256SUMS.sig < SHA256SUMS
  sha256sum -c SHA256SUMS

Take it in:  ansible-playbook airgap.golang.receive -e receive_bundle={file}
{kit}"""

_KIT_README = """
It carries a kit. A machine that never had a network, but has Python, becomes a control node with it:

  tar -xf {file} README SHA256SUMS SHA256SUMS.sig kit
  ssh-keygen -Y verify -f ALLOWED_SIGNERS -I PRINCIPAL -n airgap.golang -s SHA256SUMS.sig < SHA256SUMS
  sha256sum -c --ignore-missing SHA256SUMS
  python3 kit {file} --allowed-signers ALLOWED_SIGNERS
"""


@dataclasses.dataclass(frozen=True)
class Head:
    """What stands before a bundle's blobs, verified: the generation, its two documents as bytes, who signed it ("" for nobody).

    ``carried``: the digests of the blobs that follow, in their order.
    """

    generation: Generation
    manifest: bytes
    config: bytes
    signer: str
    carried: tuple[str, ...]


def file_name(generation: Generation) -> str:
    return f"{generation.name}-{generation.ref}.tar"


def carried_blobs(generation: Generation, held: t.Container[str]) -> list[str]:
    """The digests that travel to a depot that has ``held``, in the manifest's order, each once."""
    return [digest for digest in dict.fromkeys(layer.digest for layer in generation.manifest.layers) if digest not in held]


def size_of(generation: Generation, carried: t.Sequence[str]) -> int:
    """How many bytes of blobs travel; the tar itself adds a little over 512 a blob."""
    sizes = generation.manifest.blobs()
    return sum(sizes[digest] for digest in carried)


def preamble(depot: Depot, generation: Generation, carried: t.Sequence[str]) -> dict[str, bytes]:
    """The members before the blobs, but for the signature, in their order."""
    encoded = depot.blobs.read(generation.digest)
    config = depot.blobs.read(generation.manifest.config)
    index = index_of(generation)
    total = len({layer.digest for layer in generation.manifest.layers})
    installer = installer_of(generation, carried)
    readme = _README.format(
        name=generation.name,
        ref=generation.ref,
        digest=generation.digest,
        carried=len(carried),
        total=total,
        unproved=_unproved(generation),
        base="" if len(carried) == total else "; the receiver has the others",
        file=file_name(generation),
        kit=_KIT_README.format(file=file_name(generation)) if installer else "",
    ).encode()
    small = {README: readme}
    if installer:
        small[KIT] = depot.blobs.read(installer)
    small.update({LAYOUT_FILE: LAYOUT, INDEX: index, PREFIX + generation.digest[7:]: encoded, PREFIX + generation.manifest.config[7:]: config})
    return {README: small.pop(README), SUMS: _sums(readme, small, carried), **small}


def installer_of(generation: Generation, carried: t.Container[str]) -> str:
    """The digest of the kit's installer; "" where the generation has no kit, or not all of it is among the blobs that travel."""
    kit = {layer.title: layer.digest for layer in generation.manifest.layers if layer.title.startswith(KIT_PLACE)}
    return kit.get(INSTALLER, "") if all(digest in carried for digest in kit.values()) else ""


def _unproved(generation: Generation) -> str:
    """For the auditor: what stands on the word of go.sum, or of whoever fetched it."""
    names = generation.unproved()
    if not names:
        return "nothing: the checksum database that travels along has a record of each module version"
    return f"{len(names)} module versions that the checksum database has no record of:" + "".join(f"\n             {name}" for name in names)


def _sums(readme: bytes, small: t.Mapping[str, bytes], carried: t.Sequence[str]) -> bytes:
    """SHA256SUMS of a bundle; ``small``: its members between the signature and the blobs."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in ((README, readme), *small.items())]
    return "".join([*lines, *(f"{digest[7:]}  {PREFIX}{digest[7:]}\n" for digest in carried)]).encode()


def write(depot: Depot, generation: Generation, carried: t.Sequence[str], stream: t.IO[bytes], armoured: bytes, stage: Stage) -> None:
    """Write the bundle; every blob is proved against its name on the way.

    :param armoured: the signature of SHA256SUMS; empty: an unsigned bundle.
    :raises DepotDamaged: a blob of the depot isn't what it was.
    """
    writer = ustar.Writer(stream)
    for name, content in preamble(depot, generation, carried).items():
        writer.add_bytes(name, content)
        if name == SUMS and armoured:
            writer.add_bytes(SIGNATURE, armoured)
    sizes = generation.manifest.blobs()
    for digest in carried:
        writer.add_stream(PREFIX + digest[7:], sizes[digest], _counted(depot.blobs.chunks(digest), stage))
        stage.advance(1)
    writer.close()


def _counted(chunks: t.Iterator[bytes], stage: Stage) -> t.Iterator[bytes]:
    for chunk in chunks:
        stage.advance(0, len(chunk))
        yield chunk


class Reader:
    """Read a bundle once, from start to end: ``head()`` proves who made it, ``blobs()`` gives what it carries.

    :param allowed_signers: the file of those who may sign; empty with ``unsigned_ok`` alone.
    """

    def __init__(self, stream: t.IO[bytes], where: str, allowed_signers: str, unsigned_ok: bool = False) -> None:
        self._where = where
        self._allowed = allowed_signers
        self._unsigned_ok = unsigned_ok
        self._members = ustar.members(stream, where)
        self._sums: dict[str, str] = {}
        self._missing = ""

    def _next(self, name: str) -> ustar.Member:
        member = next(self._members, None)
        if member is None or member.name != name:
            raise self._refuse(f"{name} should come next, not {member.name if member else 'the end'}", name, name, member.name if member else "the end")
        return member

    def _refuse(self, why: str, subject: str, expected: str = "", found: str = "") -> BundleDamaged:
        return BundleDamaged(
            f"bundle {self._where}: {why}",
            subject=subject,
            expected=expected,
            found=found,
            hint="nothing of it was admitted; copy it again from its source, and ask for a new one if that doesn't help",
        )

    def _proved(self, member: ustar.Member) -> bytes:
        content = member.read()
        found = hashlib.sha256(content).hexdigest()
        if self._sums.get(member.name) != found:
            raise self._refuse(f"{member.name} isn't what SHA256SUMS says", member.name, self._sums.get(member.name, "not listed"), found)
        return content

    def head(self) -> Head:
        """Everything before the blobs, the signature proved first.

        :raises SignatureRefused: unsigned, an unknown signer, or a signature of something else.
        :raises BundleDamaged: it isn't as it was written.
        """
        readme = self._next(README).read()
        sums = self._next(SUMS).read()
        member = next(self._members, None)
        signer = ""
        if member is not None and member.name == SIGNATURE:
            armoured = member.read()
            if self._allowed:
                signer = signature.verify(sums, armoured, self._allowed, f"bundle {self._where}")
            elif not self._unsigned_ok:
                raise self._unsigned("its signature can't be checked without an allowed signers file")
            else:
                signature.check_unknown(sums, armoured, f"bundle {self._where}")
            member = next(self._members, None)
        elif not self._unsigned_ok:
            raise self._unsigned("it isn't signed")
        self._sums = self._parse_sums(sums)
        if self._sums.get(README) != hashlib.sha256(readme).hexdigest():
            raise self._refuse("README isn't what SHA256SUMS says", README)
        small: dict[str, bytes] = {}
        if member is not None and member.name == KIT:
            small[KIT] = self._proved(member)
            member = next(self._members, None)
        if member is None or member.name != LAYOUT_FILE:
            raise self._refuse(f"{LAYOUT_FILE} should come next", LAYOUT_FILE, LAYOUT_FILE, member.name if member else "the end")
        small.update({LAYOUT_FILE: self._proved(member), INDEX: self._proved(self._next(INDEX))})
        try:
            (entry,) = json.loads(small[INDEX].decode("utf-8"))["manifests"]
            digest, ref = str(entry["digest"]), Ref.parse(str(entry["annotations"][oci.REF_NAME]))
        except (AirgapError, ValueError, KeyError, TypeError, RecursionError) as exc:
            raise self._refuse(f"index.json can't be read ({exc})", INDEX) from None
        manifest = small[PREFIX + digest[7:]] = self._proved(self._next(PREFIX + digest[7:]))
        try:
            parsed = oci.parse(manifest, f"bundle {self._where}")
            config = small[PREFIX + parsed.config[7:]] = self._proved(self._next(PREFIX + parsed.config[7:]))
            document = parse_config(config, f"bundle {self._where}")
        except DepotDamaged as exc:
            raise BundleDamaged(exc.message, code=exc.code, subject=exc.subject, hint="nothing of it was admitted; ask for a new bundle") from None
        generation = Generation(ref, digest, parsed, document)
        if (oci.digest_of(manifest), oci.digest_of(config), len(config)) != (digest, parsed.config, parsed.config_size):
            raise self._refuse("the manifest and the config aren't what they're called", digest)
        if document["generation"] != ref.number or bool(document.get("seal")) != ref.sealed or small[INDEX] != index_of(generation):
            raise self._refuse("index.json and the generation's config contradict each other", INDEX)
        if small[LAYOUT_FILE] != LAYOUT:
            raise self._refuse("oci-layout says something else than an OCI image layout 1.0.0", LAYOUT_FILE)
        listed = ["sha256:" + name[len(PREFIX) :] for name in self._sums if name not in small and name != README]
        carried = [digest for digest in carried_blobs(generation, ()) if digest in set(listed)]
        installer = installer_of(generation, carried)
        if installer != (oci.digest_of(small[KIT]) if KIT in small else ""):
            raise self._refuse("kit isn't the installer that the generation's kit has", KIT, installer or "no kit")
        if _sums(readme, small, carried) != sums:
            extra = next((digest for digest in listed if digest not in carried), "")
            why = f"SHA256SUMS lists {extra}, which isn't part of generation {ref}" if extra else "SHA256SUMS isn't in the one form that we write"
            raise self._refuse(why, extra or SUMS)
        return Head(generation, manifest, config, signer, tuple(carried))

    def _unsigned(self, why: str) -> SignatureRefused:
        return SignatureRefused(
            f"bundle {self._where}: {why}",
            code="unsigned",
            subject=self._where,
            expected="a signature by somebody in the allowed signers file",
            hint="name receive_allowed_signers; or, if you know otherwise where this bundle comes from, set receive_allow_unsigned",
        )

    def _parse_sums(self, content: bytes) -> dict[str, str]:
        sums: dict[str, str] = {}
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(keepends=True), 1):
            sha256, gap, name = line[:64], line[64:66], line[66:-1]
            if len(sha256) != 64 or set(sha256) - set("0123456789abcdef") or gap != "  " or not line.endswith("\n") or name in sums:
                raise self._refuse(f"line {number} of SHA256SUMS can't be read", SUMS)
            sums[name] = sha256
        return sums

    def blobs(self, head: Head) -> t.Iterator[tuple[oci.Layer, ustar.Member]]:
        """The carried blobs with the layer each is. The caller writes and hashes each one, and calls ``arrived``.

        :raises BundleDamaged: order, sizes or names aren't as the manifest and SHA256SUMS say; more or less is there.
        """
        by_digest = {layer.digest: layer for layer in head.generation.manifest.layers}
        for digest in head.carried:
            layer = by_digest[digest]
            member = self._next(PREFIX + digest[7:])
            if member.size != layer.size:
                difference = abs(member.size - layer.size)
                more = "more" if member.size > layer.size else "fewer"
                raise self._refuse(
                    f"blob {digest} ({layer.title}) has {difference} bytes {more} than the manifest says", layer.title, str(layer.size), str(member.size)
                )
            yield layer, member
        extra = next(self._members, None)
        if extra is not None:
            raise self._refuse(f"{extra.name} is there though nothing asks for it", extra.name)

    def arrived(self, layer: oci.Layer, hex_digest: str) -> None:
        """:raises BundleDamaged: what arrived for this layer isn't what the manifest says."""
        if hex_digest != layer.hex:
            raise self._refuse(f"blob {layer.digest} ({layer.title}) holds something else", layer.title, layer.digest, "sha256:" + hex_digest)


def file_size(sizes: t.Iterable[int]) -> int:
    """The bytes of a canonical tar of members with these sizes (names are all short: one header block each)."""
    return sum(ustar.BLOCK + size + ustar.padding(size) for size in sizes) + len(ustar.END)


def peek(path: str) -> tuple[bytes, bytes]:
    """(SHA256SUMS, its signature) of a bundle file, the latter empty where there is none: enough to see whether we'd write it again.

    :raises BundleDamaged: it isn't a bundle.
    """
    with open(path, "rb") as stream:
        found = {member.name: member.read() for member in itertools.islice(ustar.members(stream, path), 3) if member.size < 64 << 20}
    if SUMS not in found:
        raise BundleDamaged(f"{path} isn't a bundle", subject=path)
    return found[SUMS], found.get(SIGNATURE, b"")
