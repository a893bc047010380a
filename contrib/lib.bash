# SPDX-License-Identifier: MPL-2.0
# Shared by contrib/run and contrib/check: finding the checkout, packages, building.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 1; }

# What a build needs on a bare Debian. The name of msgpack-c changed in Debian 13.
build_packages()
{
    local msgpack=libmsgpack-dev
    if [ -r /etc/os-release ] &&
        (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-99}" -ge 13 ]); then
        msgpack=libmsgpack-c-dev
    fi
    echo gcc libc6-dev make autoconf automake pkgconf libzmq3-dev libsodium-dev \
        liblmdb-dev $msgpack libfyaml-dev libjansson-dev
}

# Sets missing_packages to those of the arguments that are not installed.
find_missing_packages()
{
    local installed p
    installed=" $(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
        awk '$2 == "installed" { printf "%s ", $1 }')"
    missing_packages=()
    for p in "$@"; do
        case $installed in
        *" $p "*) ;;
        *) missing_packages+=("$p") ;;
        esac
    done
}

# install_packages LOG PACKAGE...: installs what is not there. Touches the network only then.
# Elsewhere than on Debian, configure says what is missing.
install_packages()
{
    local log=$1 as_root=()
    shift
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || return 0
    find_missing_packages "$@"
    [ ${#missing_packages[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "These packages are missing, and only root can install them. As root:"
            say "  apt-get install ${missing_packages[*]}"
            return 1
        fi
        as_root=(sudo)
    fi
    say "Installing ${#missing_packages[@]} packages: ${missing_packages[*]}"
    {
        "${as_root[@]}" apt-get -q -o DPkg::Lock::Timeout=300 update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
                -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing_packages[@]}"
    } >>"$log" 2>&1 </dev/null || { show_log "$log" "installing the packages failed"; return 1; }
}

# The end of it, and before that what a compiler said: make -k goes on after an error.
show_log() # file, what failed
{
    grep -m 10 -A 2 ': error: ' "$1" >&2
    tail -n 30 "$1" >&2
    say "$2; all of the output is in $1"
}

# configure_tree DIR ARGUMENT...: configures DIR unless it was, with the same arguments.
configure_tree()
{
    local dir=$1 wanted
    shift
    wanted="$root $*"
    if [ ! -x "$root/configure" ]; then
        "$root/autogen.sh" || return 1
    fi
    if [ ! -e "$dir/config.status" ] || [ "$(cat "$dir/.configured" 2>/dev/null)" != "$wanted" ]; then
        if [ -e "$root/config.status" ]; then
            echo "The source directory is configured itself: \"make distclean\" in $root first."
            return 1
        fi
        mkdir -p "$dir" && (cd "$dir" && "$root/configure" "$@") || return 1
        printf '%s\n' "$wanted" >"$dir/.configured"
    fi
}

make_in() # directory, make's arguments
{
    local dir=$1
    shift
    make -C "$dir" --no-print-directory -j"$(nproc)" "$@"
}
