#!/bin/sh
# Make a Python environment: make-env.sh FOLDER REQUIREMENTS PACKAGE...
#
# Installs the pinned REQUIREMENTS (each checked against its hash) and then PACKAGE (a wheel, or `-e .`) without
# its dependencies. Uses uv where it works, else venv and pip. Does nothing when FOLDER already has it all.
# PYTHON=/path/to/python chooses the interpreter.
set -eu

folder=$1 requirements=$2
shift 2
stamp=$folder/.made-from
python=$folder/bin/python

say() { printf '%s\n' "$*" >&2; }

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    # A name on PATH may be a launcher for a version that isn't there, so each candidate is run.
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if usable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_with_uv() {
    command -v uv >/dev/null 2>&1 || return 1
    [ -x "$python" ] || uv venv --quiet --python "${found:-3.11}" "$folder" || return 1
    uv pip install --quiet --python "$python" --require-hashes --requirement "$requirements" &&
        uv pip install --quiet --python "$python" --no-deps --no-build-isolation "$@"
}

make_with_pip() {
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$folder"
        if ! "$found" -m venv "$folder" >&2; then
            say "$found could not make a virtual environment: install its venv module (Debian and Ubuntu: python3-venv), or uv."
            return 1
        fi
    fi
    "$python" -m pip install -qq --disable-pip-version-check --require-hashes --requirement "$requirements" &&
        "$python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation "$@"
}

# The folder's own path counts: a copied checkout must not run the code of the one it was copied from.
key=$({ pwd; cat pyproject.toml requirements/*.txt; } | cksum | tr ' ' '-')
line="$key $requirements $*"
if usable "$python"; then
    # dev.txt holds all that the others hold.
    if grep -qxF -e "$line" -e "$key requirements/dev.txt $*" "$stamp" 2>/dev/null; then exit 0; fi
    grep -qF "$key " "$stamp" 2>/dev/null || : >"$stamp"
else
    rm -rf "$folder"
fi

if ! found=$(find_python); then
    if [ -n "${PYTHON:-}" ]; then
        say "PYTHON=$PYTHON is not Python 3.11 or newer: name one that is."
        exit 1
    elif ! command -v uv >/dev/null 2>&1; then
        say "No Python 3.11 or newer is on PATH: install one, or name one with PYTHON=/path/to/python."
        exit 1
    fi
fi
say "Setting up $folder from $requirements (the first time takes a minute or two) ..."
if ! make_with_uv "$@"; then
    if command -v uv >/dev/null 2>&1; then say "uv did not manage it; trying venv and pip."; fi
    if [ -z "$found" ] || ! make_with_pip "$@"; then
        say "Setting up $folder failed; the lines above say why."
        exit 1
    fi
fi
printf '%s\n' "$line" >>"$stamp"
