# What deploy/up and deploy/test share: progress lines, and system packages on Debian 12.
# shellcheck shell=bash

# Prints a step with the seconds since the start.
step() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

fail() {
    printf 'deploy/%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo -- "$@"; fi
}

need_swift() {
    command -v swift >/dev/null || fail "swift: not found: install the toolchain from https://swift.org/install/linux"
}

# What the build needs. The faster AES-GCM exists for one kind of processor only, and nothing else needs it.
build_packages=(libssl-dev libsqlite3-dev libmicrohttpd-dev libcurl4-openssl-dev pkg-config)
if [[ $(uname -m) == x86_64 ]]; then build_packages+=(libipsec-mb-dev); fi

# Installs those of the named packages that are missing; with none missing it needs neither root nor a network.
install_packages() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true) == ?i* ]] || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || fail "missing packages: ${missing[*]}: no apt-get to install them with"
    [[ $EUID -eq 0 ]] || command -v sudo >/dev/null || fail "missing packages: ${missing[*]}: run as root or install sudo"
    step "installing ${missing[*]}"
    as_root apt-get update -qq || fail "apt-get update: failed: see the lines above"
    install_quietly "${missing[@]}" || fail "apt-get install ${missing[*]}: failed: see the lines above"
}

# Debian starts the services it installs. What is wanted here are the programs, not an open port 22: policy-rc.d
# with status 101 tells the packages to start nothing.
install_quietly() (
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
)
