# Copyright (c) 2026, the airgap.golang authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What go's words say is missing. The words are those that Go 1.26.8 and 1.27.3 printed without a network, with a tree at /tree."""

from __future__ import annotations

import pytest

from ansible_collections.airgap.golang.plugins.module_utils._go.gowords import read

NO_FILE = "no such file or directory"


def named(text: str) -> list[str]:
    """``kind path@version file`` of all that is wanted; nothing else may be in the text."""
    words = read(text)
    assert words.not_understood == words.unnamed == ()
    return [f"{wanted.kind} {wanted.path}@{wanted.version} {wanted.file}".strip() for wanted in words.wanted]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "go: downloading github.com/spf13/pflag v1.0.5\n"
            f"main.go:4:2: github.com/google/uuid@v1.5.0: reading file:///tree/github.com/google/uuid/@v/v1.5.0.zip: {NO_FILE}\n"
            f"main.go:6:2: rsc.io/quote@v1.5.2: reading file:///tree/rsc.io/quote/@v/v1.5.2.zip: {NO_FILE}\n",
            ["module github.com/google/uuid@v1.5.0 zip", "module rsc.io/quote@v1.5.2 zip"],
            id="build",
        ),
        pytest.param(
            f"# example.com/pa\nmain.go:4:2: rsc.io/quote@v1.5.2: reading file:///tree/rsc.io/quote/@v/v1.5.2.zip: {NO_FILE}\n"
            "FAIL\texample.com/pa [setup failed]\nFAIL\n",
            ["module rsc.io/quote@v1.5.2 zip"],
            id="test",
        ),
        pytest.param(
            f"go: github.com/google/uuid@v1.5.0: reading file:///tree/github.com/google/uuid/@v/v1.5.0.mod: {NO_FILE}\n",
            ["module github.com/google/uuid@v1.5.0 mod"],
            id="mod download",
        ),
        pytest.param(
            '{\n\t"Path": "rsc.io/quote",\n\t"Version": "v1.5.2",\n'
            f'\t"Error": "rsc.io/quote@v1.5.2: reading file:///tree/rsc.io/quote/@v/v1.5.2.info: {NO_FILE}"\n}}\n',
            ["module rsc.io/quote@v1.5.2 info"],
            id="mod download -json",
        ),
        pytest.param(
            "go: finding module for package rsc.io/quote\ngo: found golang.org/x/sync/errgroup in golang.org/x/sync v0.24.0\n"
            "go: example.com/pb imports\n"
            "\trsc.io/quote: cannot find module providing package rsc.io/quote: module rsc.io/quote: "
            f"reading file:///tree/rsc.io/quote/@v/list: {NO_FILE}\n",
            ["package rsc.io/quote@latest"],
            id="mod tidy, a package of nobody's",
        ),
        pytest.param(
            f"go: example.com/pa imports\n\trsc.io/quote: rsc.io/quote@v1.5.2: reading file:///tree/rsc.io/quote/@v/v1.5.2.zip: {NO_FILE}\n",
            ["module rsc.io/quote@v1.5.2 zip"],
            id="mod tidy, mod vendor",
        ),
        pytest.param(
            "go: example.com/pb imports\n"
            "\tgithub.com/google/uuid/nope: module github.com/google/uuid@latest found (v1.6.0), but does not contain package github.com/google/uuid/nope\n",
            ["package github.com/google/uuid/nope@latest"],
            id="an older module is carried",
        ),
        pytest.param(
            f"go: golang.org/x/sync@v0.7.0: reading file:///tree/golang.org/x/sync/@v/v0.7.0.info: {NO_FILE}\n",
            ["module golang.org/x/sync@v0.7.0 info"],
            id="get x@v",
        ),
        pytest.param(
            f"go: github.com/google/uuid@main: invalid version: reading file:///tree/github.com/google/uuid/@v/main.info: {NO_FILE}\n",
            ["module github.com/google/uuid@main info"],
            id="get x@branch",
        ),
        pytest.param(
            f"go: golang.org/x/example/hello@latest: module golang.org/x/example/hello: reading file:///tree/golang.org/x/example/hello/@v/list: {NO_FILE}\n",
            ["package golang.org/x/example/hello@latest"],
            id="get x@latest",
        ),
        pytest.param(
            f"go: module rsc.io/quote: reading file:///tree/rsc.io/quote/@v/list: {NO_FILE}\n", ["package rsc.io/quote@latest"], id="get x, list -m x@latest"
        ),
        pytest.param(
            "go: golang.org/x/vuln/cmd/govulncheck@v1.1.4: golang.org/x/vuln/cmd/govulncheck@v1.1.4: "
            f"reading file:///tree/golang.org/x/vuln/cmd/govulncheck/@v/v1.1.4.info: {NO_FILE}\n",
            ["tool golang.org/x/vuln/cmd/govulncheck@v1.1.4"],
            id="install, run",
        ),
        pytest.param(
            "user@here:~/src$ go install golang.org/x/vuln/cmd/govulncheck@latest\n"
            "go: golang.org/x/vuln/cmd/govulncheck@latest: module golang.org/x/vuln/cmd/govulncheck: "
            f"reading file:///tree/golang.org/x/vuln/cmd/govulncheck/@v/list: {NO_FILE}\n",
            ["tool golang.org/x/vuln/cmd/govulncheck@latest"],
            id="install x@latest, which says what get would, with its prompt",
        ),
        pytest.param(
            f"$ go get rsc.io/quote@v1.5.2\ngo: rsc.io/quote@v1.5.2: reading file:///tree/rsc.io/quote/@v/v1.5.2.info: {NO_FILE}\n",
            ["package rsc.io/quote@v1.5.2 info"],
            id="get with its prompt",
        ),
        pytest.param(
            "main.go:6:8: no required module provides package github.com/google/uuid/nope; to add it:\n\tgo get github.com/google/uuid/nope\n",
            ["package github.com/google/uuid/nope@latest"],
            id="build, a package of nobody's",
        ),
        pytest.param("go: go.mod requires go >= 1.28.5 (running go 1.26.8; GOTOOLCHAIN=local)\n", ["toolchain @1.28.5"], id="go line"),
        pytest.param("go: go.mod requires go >= 1.29 (running go 1.27.3; GOTOOLCHAIN=local)\n", ["toolchain @1.29.0"], id="a language's first release"),
        pytest.param(
            "go: downloading go1.27.3 (linux/amd64)\ngo: download go1.27.3 for linux/amd64: toolchain not available\n",
            ["toolchain linux/amd64@1.27.3"],
            id="toolchain switch",
        ),
        pytest.param(
            "go: go@1.27.3: golang.org/toolchain@v0.0.1-go1.27.3.linux-amd64: "
            f"reading file:///tree/golang.org/toolchain/@v/v0.0.1-go1.27.3.linux-amd64.info: {NO_FILE}\n",
            ["toolchain linux/amd64@1.27.3"],
            id="get go@v",
        ),
        pytest.param(
            "go: inconsistent vendoring in /src/pb:\n"
            "\trsc.io/quote@v1.5.2: is explicitly required in go.mod, but not marked as explicit in vendor/modules.txt\n\n"
            "\tTo ignore the vendor directory, use -mod=readonly or -mod=mod.\n\tTo sync the vendor directory, run:\n\t\tgo mod vendor\n",
            ["module rsc.io/quote@v1.5.2"],
            id="vendor",
        ),
        pytest.param(
            "go: golang.org/x/sync@v0.7.0: missing go.sum entry for go.mod file; to add it:\n\tgo mod download golang.org/x/sync\n",
            ["module golang.org/x/sync@v0.7.0"],
            id="a go.mod without go.sum line",
        ),
        pytest.param(
            "go: downloading rsc.io/quote v1.5.2\ngo: downloading golang.org/x/sync v0.7.0\n"
            "main.go:4:2: module lookup disabled by GOPROXY=off\nmain.go:5:2: module lookup disabled by GOPROXY=off\n",
            ["module rsc.io/quote@v1.5.2", "module golang.org/x/sync@v0.7.0"],
            id="GOPROXY=off names them beforehand",
        ),
        pytest.param(
            'go: rsc.io/quote@v1.5.2: Get "https://proxy.example/rsc.io/quote/@v/v1.5.2.info": dial tcp: lookup proxy.example: no such host\n',
            ["module rsc.io/quote@v1.5.2 info"],
            id="a proxy out of reach",
        ),
        pytest.param("go: downloading github.com/google/uuid v1.6.0\ngo: added github.com/google/uuid v1.6.0\n", [], id="all went well"),
    ],
)
def test_what_go_says_is_missing(text: str, expected: list[str]) -> None:
    assert named(text) == expected


def test_what_only_the_project_can_name_is_kept_apart() -> None:
    line = "main.go:4:8: missing go.sum entry for module providing package golang.org/x/sync/errgroup (imported by example.com/pb); to add:"
    words = read(line + "\n\tgo get example.com/pb\n")
    assert (words.wanted, words.unnamed, words.not_understood) == ((), (line,), ())


@pytest.mark.parametrize(
    "line",
    [
        "main.go:4:8: package nosuch/pkg is not in std (/opt/go/src/nosuch/pkg)",
        "go: golang.org/x/tools/cmd/nope@v0.52.0: module golang.org/x/tools@v0.52.0 found, but does not contain package golang.org/x/tools/cmd/nope",
        "./main.go:3:6: main redeclared in this block",
        "go: github.com/google/uuid@v1.6.0: verifying module: checksum mismatch",
    ],
)
def test_other_lines_are_never_dropped(line: str) -> None:
    words = read(f"go: downloading rsc.io/quote v1.5.2\n{line}\n")
    assert (words.wanted, words.not_understood) == ((), (line,))
