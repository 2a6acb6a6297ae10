# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a spec may say, as options."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
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
        description: The platforms of builds that name none. Left out, the control node's, or for a project without builds those of O(toolchains).
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
        description:
          - The binaries that hosts build from it. Left out, one for each main package and each of the project's platforms, or of those that
            O(toolchains) names.
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
"""
