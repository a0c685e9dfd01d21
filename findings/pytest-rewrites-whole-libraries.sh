#!/usr/bin/env bash
# pytest rewrites the code of every library that brings a plugin, not the plugin's module alone.
#
# Versions: pytest 9.2.0, anyio 4.16.0 (which Starlette and httpx bring along).
#
# anyio is a networking library with a small pytest plugin in one of its modules. In a test run that uses no fixture
# and no marker of it, each module of anyio is loaded by pytest's own loader: it is parsed, its `assert` statements are
# replaced, and a second compiled copy is written beside Python's. idna, which anyio brings and which has no plugin, is
# loaded as always. `-p no:anyio` changes nothing; PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 does.
#
# One would guess that the rewriting stops at the tests and the plugin's own module.
#
# What follows: a library that brings a plugin makes the first test run of each user, and each run in a fresh
# container, slower by its whole size. A distribution of its own for the plugin avoids it.
#
# Seen output (the number of modules is not compared):
#
#     as it is: anyio all rewritten (N modules), idna not
#     -p no:anyio: anyio all rewritten (N modules), idna not
#     without autoload: anyio not, idna not
#
# Ends with another code than 0 where pytest behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "pytest==9.2.0" "anyio==4.16.0"
cat > test_loaders.py <<'PY'
import sys

import anyio.streams.tls
import idna


def rewritten(library):
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == library]
    count = sum(type(module.__loader__).__name__ == "AssertionRewritingHook" for module in modules)
    return f"all rewritten ({count} modules)" if count == len(modules) else "not" if count == 0 else "in part"


def test_loaders():
    with open("seen", "w") as file:
        print(f"anyio {rewritten('anyio')}, idna {rewritten('idna')}", file=file)
PY
run() {  # run NAME EXPECTED ARGUMENTS...
    local name=$1 expected=$2
    shift 2
    venv/bin/python -m pytest -q "$@" > log 2>&1 || { cat log; exit 1; }
    echo "$name: $(cat seen)"
    [[ "$(cat seen)" == $expected ]]
}
run "as it is" "anyio all rewritten (* modules), idna not"
run "-p no:anyio" "anyio all rewritten (* modules), idna not" -p no:anyio
ls venv/lib/python3*/site-packages/anyio/__pycache__/*-pytest-9.2.0.pyc > /dev/null
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
run "without autoload" "anyio not, idna not"
