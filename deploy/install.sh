#!/bin/sh
# Installs the server from the clone that this file is in into PREFIX, as the image does: a virtual environment
# with exactly what the locks name, by hash, and nothing that builds or installs.
#
#     deploy/install.sh PREFIX [PYTHON]
#
# The environment runs where it was made (its scripts name PREFIX) and with the PYTHON (>= 3.11) it was made with.
set -eu

if [ $# -lt 1 ] || [ -e "$1" ]; then
  echo "usage: $0 PREFIX [PYTHON], where PREFIX does not exist yet" >&2
  exit 2
fi
prefix=$1
python=${2:-python3}
source=$(cd "$(dirname "$0")/.." && pwd)
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

# The tools' pip installs into both: PREFIX itself gets none.
"$python" -m venv "$tools/env"
"$python" -m venv --without-pip "$prefix"
tools_pip() { "$tools/env/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
prefix_pip() { tools_pip --python "$prefix/bin/python" "$@"; }

# Wheels only: a package without one for this machine is an error here, not a compiler's run.
prefix_pip install --quiet --only-binary :all: --require-hashes -r "$source/requirements-server.lock"

tools_pip install --quiet --only-binary :all: --require-hashes -r "$source/requirements-build.lock"
tools_pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$tools" "$source"
prefix_pip install --quiet --no-index --no-deps "$tools"/session_service-*.whl

# Beside it the native engine, where Rust is. Without Rust grpc.aio serves, and require-rust says what is missing.
if "$source/engine/require-rust"; then
  # The backend of maturin looks for maturin itself on PATH.
  (
    PATH="$tools/env/bin:$PATH"
    MATURIN_PEP517_ARGS=--locked
    export PATH MATURIN_PEP517_ARGS
    tools_pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$tools" "$source/engine"
  )
  prefix_pip install --quiet --no-index --no-deps "$tools"/session_service_engine-*.whl
fi

# What the locks contain works together.
prefix_pip check
