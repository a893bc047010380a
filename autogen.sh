#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Makes ./configure from configure.ac. Needed in a git checkout; a release tarball has it already.

cd "$(dirname "$0")" || exit 1

missing_tools= missing_debian= missing_fedora=
need() # tool, Debian package, Fedora package
{
    if ! command -v "$1" >/dev/null 2>&1; then
        missing_tools="$missing_tools $1"
        missing_debian="$missing_debian $2"
        missing_fedora="$missing_fedora $3"
    fi
}

need autoconf autoconf autoconf
need automake automake automake
need pkg-config pkgconf pkgconf-pkg-config
if [ -n "$missing_tools" ]; then
    {
        echo "autogen.sh: these programs are missing:$missing_tools"
        echo "  Debian, Ubuntu:  apt-get install$missing_debian"
        echo "  Fedora:          dnf install$missing_fedora"
    } >&2
    exit 1
fi

autoreconf --install || exit 1
echo "Now: mkdir -p build && cd build && ../configure && make"
