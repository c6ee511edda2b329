#!/bin/sh
# Installs the peers that `cargo xtask bench --peers` measures beside us, at pinned versions, each
# from its own package registry, into target/peers/:
# `benches/peers.sh [ministack] [localstack] [serverless-offline]`.
#
# What is there already is left as it is. A peer that cannot be installed is named with the reason,
# and the others are installed all the same; the script then ends with 1. It refuses what would need
# a login, a package's own install scripts, or anything outside that folder.
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
cd "$here/.." || exit 1
peers=${CARGO_TARGET_DIR:-target}/peers
mkdir -p "$peers" || exit 1

fail() {
    echo "$*" >&2
    return 1
}

needs() {
    command -v "$1" >/dev/null 2>&1 || fail "there is no $1 on the PATH"
}

# Whether a peer's folder was made whole from the same files; the stamp is written last.
is_made_from() {
    dir=$1
    shift
    cat "$@" | cmp -s - "$dir/made-from.txt"
}

ministack() {
    pins=benches/ministack/requirements.txt
    dir=$peers/ministack
    is_made_from "$dir" "$pins" && return 0
    needs python3 || return 1
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "MiniStack needs Python 3.10 or later; python3 is $(python3 --version 2>&1)" || return 1
    python3 -m venv --clear "$dir" &&
        "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
            --requirement "$pins" &&
        cat "$pins" >"$dir/made-from.txt"
}

# Without its dependencies' own choice: what they ask for does not run together.
localstack() {
    pins=benches/localstack/requirements.txt
    dir=$peers/localstack
    is_made_from "$dir" "$pins" && return 0
    needs python3 || return 1
    python3 -m venv --clear "$dir" &&
        "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
            --no-deps --requirement "$pins" &&
        cat "$pins" >"$dir/made-from.txt"
}

# Serverless 3, as 4 asks for a login.
serverless_offline() {
    package=benches/serverless-offline
    dir=$peers/serverless-offline
    is_made_from "$dir" "$package/package.json" "$package/package-lock.json" && return 0
    needs node && needs npm || return 1
    mkdir -p "$dir" && rm -f "$dir/made-from.txt" &&
        cp "$package/package.json" "$package/package-lock.json" "$dir/" &&
        (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) &&
        cat "$package/package.json" "$package/package-lock.json" >"$dir/made-from.txt"
}

[ $# -gt 0 ] || set -- ministack localstack serverless-offline
failed=0
for peer in "$@"; do
    case $peer in
    ministack) install=ministack ;;
    localstack) install=localstack ;;
    serverless-offline) install=serverless_offline ;;
    *)
        echo "peers: there is no peer $peer" >&2
        failed=1
        continue
        ;;
    esac
    if $install; then
        echo "peers: $peer is in $peers/$peer"
    else
        echo "peers: $peer is not installed; what it said is above" >&2
        failed=1
    fi
done
exit $failed
