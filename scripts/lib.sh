# Sourced by the shell scripts: goes to the checkout's root, which is $root, and offers what they share.
# shellcheck shell=bash

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# ensure_venv [run]: .venv with the locked packages and this checkout in it; does nothing when it is up to date.
# `run`: those of the run time are enough; with everything in place that does too.
ensure_venv() {
    local lock=tests/requirements.lock
    [ "${1:-}" != run ] || _venv_is "$(_venv_wanted $lock)" || lock=deploy/requirements.lock
    [ -s $lock ] || die "$lock is missing: run scripts/lock"
    local wanted
    wanted=$(_venv_wanted $lock)
    _venv_is "$wanted" && return
    exec 9<pyproject.toml
    flock 9 # two scripts may be started at once
    if ! _venv_is "$wanted"; then
        _venv_usable || _create_venv
        say "installing $lock into .venv"
        rm -f .venv/installed
        _pip --require-hashes -r $lock
        # The test lock holds the build backend too; without it pip fetches the pinned one.
        if [ $lock = tests/requirements.lock ]; then _pip --no-deps --no-build-isolation -e .; else _pip --no-deps -e .; fi
        printf '%s\n' "$wanted" >.venv/installed
    fi
    exec 9<&-
}

_venv_wanted() { printf '%s %s %s' "$root" "$1" "$(cat "$1" pyproject.toml | sha256sum)"; }

_venv_is() { [ -x .venv/bin/python ] && [ -r .venv/installed ] && [ "$(<.venv/installed)" = "$1" ]; }

# A copied or moved .venv still speaks of the place where it was made.
_venv_usable() { [[ "$(.venv/bin/pip --version 2>/dev/null)" == *" from $root/.venv/"* ]] && _recent .venv/bin/python; }

_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

_pip() {
    .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check "$@" ||
        die "'pip install $*' failed: see above, then run this again"
}

_create_venv() {
    local python version
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        _recent "$python" && break
    done
    _recent "$python" || die "needs Python >= 3.11, and python3 is $(python3 --version 2>&1 | tail -n 1): install python3.11 or later"
    rm -rf .venv
    "$python" -m venv .venv >/dev/null 2>&1 && return
    rm -rf .venv # Debian keeps a part of venv in a package of its own
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    command -v apt-get >/dev/null || die "'$python -m venv .venv' fails: repair that Python, then run this again"
    say "installing python$version-venv"
    _as_root apt-get -q update >&2
    _as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "python$version-venv" >&2
    "$python" -m venv .venv || die "'$python -m venv .venv' fails: see above"
}

_as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
