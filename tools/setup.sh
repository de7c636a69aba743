#!/bin/bash
# Brings this checkout to a working .venv/bin/weft, whatever is there already: Debian packages, the
# Python environment from the lock file, the BPF objects. Run again it takes a second or two.
#
#   tools/setup.sh            what Weft, its demo, its tests and its benchmark need
#   tools/setup.sh kernel     and what `make test-kernel` needs (an emulator, 150 MB)
#   tools/setup.sh fresh      what `make test-fresh` needs, and nothing else
set -euo pipefail
cd "$(dirname "$0")/.."

# package, and a command or file that shows it is there. Asking for what is needed rather than for
# the package lets Docker's own packages, or another distribution's, do as well. Of a|b the first one
# is taken that this release has: Docker's client has been a package of its own since Debian 13.
packages='
bpftool              bpftool
busybox-static       busybox
ca-certificates      /etc/ssl/certs/ca-certificates.crt
clang                clang
clang-format         clang-format
curl                 curl
bind9-dnsutils       dig
dnsmasq-base         dnsmasq
docker-compose       docker-compose
docker-cli|docker.io docker
docker.io            dockerd
etcd-server          etcd
ethtool              ethtool
gcc                  cc
iperf3               iperf3
iproute2             ip
iptables             iptables
iputils-ping         ping
kmod                 modprobe
libbpf-dev           /usr/include/bpf/bpf_helpers.h
libc6-dev            /usr/include/stdio.h
libnftables1         libnftables.so.1
llvm                 llvm-strip
nftables             nft
openvswitch-switch   ovs-vsctl
procps               pgrep
python3              python3
python3-venv         venv
shellcheck           shellcheck
socat                socat
strace               strace
tcpdump              tcpdump
util-linux           nsenter
wireguard-go         wireguard-go
wireguard-tools      wg
'
kernel_packages='
cpio                 cpio
file                 file
qemu-system-x86      qemu-system-x86_64
'
fresh_packages='
debootstrap          debootstrap
'

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf 'setup: %s\n' "$*"; }

is_there() {
    case $1 in
    /*) [[ -e $1 ]] ;;
    *.so.*) compgen -G "/usr/lib/*/$1" /usr/lib64/"$1" >/dev/null ;;
    venv) find_python >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# The first Python that is new enough and can make a virtual environment.
find_python() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    return 1
}

missing_packages() {
    local package probe
    while read -r package probe; do
        if [[ -n $package ]] && ! is_there "$probe"; then
            echo "$package"
        fi
    done <<<"$1"
}

# Nothing that gets installed here may start a service of the system: Weft's tests and its lab
# start engines of their own, in namespaces.
apt_install() {
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >>build/setup-apt.log 2>&1
}

# The packages as this release calls them; fails where it knows none of them (yet).
names_here() {
    local choices choice
    for choices in "$@"; do
        for choice in ${choices//|/ }; do
            if apt-cache show --quiet=2 "$choice" >/dev/null 2>&1; then
                echo "$choice"
                continue 2
            fi
        done
        return 1
    done
}

install_packages() {
    local missing names
    mapfile -t missing < <(missing_packages "$1")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        say "missing, and only root on Debian can have them installed here: ${missing[*]}"
        say "going on without; what needs them is skipped or says so"
        return 0
    fi
    say "installing ${missing[*]} (log: build/setup-apt.log)"
    # Lists that are missing or out of date are fetched, then it is tried once more.
    # shellcheck disable=SC2086 # a word a package
    if ! { names=$(names_here "${missing[@]}") && apt_install $names; }; then
        apt-get update --quiet >>build/setup-apt.log 2>&1
        if ! { names=$(names_here "${missing[@]}") && apt_install $names; }; then
            tail -20 build/setup-apt.log >&2
            say "apt-get cannot install ${missing[*]}" >&2
            exit 1
        fi
    fi
}

make_environment() {
    local python wanted
    if ! .venv/bin/python -c '' 2>/dev/null; then
        python=$(find_python) || {
            say "needs python3 >= 3.11 with the venv module (Debian: python3-venv)" >&2
            exit 1
        }
        say "making .venv with $python"
        "$python" -m venv --clear .venv
    fi
    wanted=$(cat requirements.lock pyproject.toml | sha256sum)
    if [[ $wanted != "$(cat .venv/weft-setup 2>/dev/null)" || ! -x .venv/bin/weft ]]; then
        say "installing the Python packages of requirements.lock"
        .venv/bin/python -m pip install -qq --disable-pip-version-check \
            --require-hashes --requirement requirements.lock
        .venv/bin/python -m pip install -qq --disable-pip-version-check \
            --no-deps --no-build-isolation --editable .
        echo "$wanted" >.venv/weft-setup
    fi
}

mkdir -p build
exec 9>build/setup.lock
flock 9
if [[ ${1:-} == fresh ]]; then
    install_packages "$fresh_packages"
    exit
fi
install_packages "$packages"
[[ ${1:-} != kernel ]] || install_packages "$kernel_packages"
make_environment
make --no-print-directory --silent -C bpf PYTHON="$PWD/.venv/bin/python"
