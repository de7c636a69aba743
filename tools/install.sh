#!/bin/bash
# Installs Weft into the system, or takes it out again. State in /var/lib/weft and settings in
# /etc/weft are left alone either way.
#
#   tools/install.sh install|uninstall PREFIX
#
# DESTDIR puts everything below another root, for packagers; nothing of the running system is then
# touched.
set -euo pipefail
cd "$(dirname "$0")/.."
action=$1 prefix=$2
destdir=${DESTDIR:-}
home=$prefix/lib/weft
bin=$destdir$prefix/bin
units=/etc/systemd/system
bash_completions=$prefix/share/bash-completion/completions
zsh_completions=$prefix/share/zsh/site-functions
fish_completions=$prefix/share/fish/vendor_completions.d

say() { printf '%s: %s\n' "$action" "$*"; }

has_systemd() { [[ -n $destdir || -d /run/systemd/system ]]; }

install_package() {
    local wheels
    wheels=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$wheels'" RETURN
    .venv/bin/python -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation \
        --wheel-dir "$wheels" .
    # A package that is taken out of the source tree would else keep modules that are gone since.
    rm -rf build/lib build/bdist.*
    "$(.venv/bin/python -c 'import sys; print(sys._base_executable)')" -m venv --clear \
        "$destdir$home"
    "$destdir$home/bin/python" -m pip install -qq --disable-pip-version-check \
        --require-hashes --requirement requirements-run.lock
    "$destdir$home/bin/python" -m pip install -qq --disable-pip-version-check --no-deps \
        "$wheels"/weft-*.whl
    if [[ -n $destdir ]]; then
        # Scripts name their interpreter by its path; below another root it is not the final one.
        grep -rlIF "$destdir$home" "$destdir$home/bin" "$destdir$home/pyvenv.cfg" |
            xargs -r sed -i "s|$destdir$home|$home|g"
    fi
    mkdir -p "$bin"
    ln -sfn "$home/bin/weft" "$bin/weft"
    ln -sfn "$home/bin/weftd" "$bin/weftd"
}

install_completion() {
    local shell file
    for shell in bash zsh fish; do
        case $shell in
        bash) file=$bash_completions/weft ;;
        zsh) file=$zsh_completions/_weft ;;
        fish) file=$fish_completions/weft.fish ;;
        esac
        mkdir -p "$(dirname "$destdir$file")"
        _WEFT_COMPLETE=${shell}_source .venv/bin/weft >"$destdir$file"
    done
}

install_unit() {
    mkdir -p "$destdir$units"
    sed "s|@BIN@|$prefix/bin|g" packaging/weftd.service >"$destdir$units/weftd.service"
    [[ -n $destdir ]] || systemctl daemon-reload
}

case $action in
install)
    say "$home"
    install_package
    install_completion
    if has_systemd; then
        install_unit
        say "start it with: systemctl enable --now weftd"
    else
        say "no systemd here; start it with: weft up"
    fi
    ;;
uninstall)
    if [[ -z $destdir && -e $units/weftd.service ]] && has_systemd; then
        systemctl disable --now weftd || true
    fi
    rm -f "$bin/weft" "$bin/weftd" "$destdir$units/weftd.service" \
        "$destdir$bash_completions/weft" "$destdir$zsh_completions/_weft" \
        "$destdir$fish_completions/weft.fish"
    rm -rf "$destdir${home:?}"
    if [[ -z $destdir ]] && has_systemd; then systemctl daemon-reload; fi
    say "done; what weftd made in the kernel goes with: weft down --purge (before this)"
    ;;
*)
    echo "usage: $0 install|uninstall PREFIX" >&2
    exit 2
    ;;
esac
