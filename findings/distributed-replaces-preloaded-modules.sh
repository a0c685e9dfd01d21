#!/usr/bin/env bash
# Dask's first use of a fork server forgets which modules the program wanted loaded there.
#
# Version: distributed 2026.8.0, on Linux.
#
# `multiprocessing.set_forkserver_preload` names modules that the fork server imports once, so that every process it
# forks has them already. A program names `colorsys` and starts a cluster whose workers come from a fork server
# (`distributed.worker.multiprocessing-method: forkserver`). Before it starts the server, Dask calls the same function
# with a list of its own: the program's list is replaced, not added to. Neither Dask's workers nor the program's own
# processes find the module loaded. Without Dask they do.
#
# One would guess that a library adds to a list of the process, or leaves it alone when the program has filled it.
#
# What follows: the saving is lost without a word. Start the fork server by a process of one's own before Dask does.
#
# Seen output:
#
#     without Dask: a process finds colorsys loaded: True
#     with Dask: its worker finds colorsys loaded: False
#     with Dask: a process finds colorsys loaded: False
#     with Dask, after a process of one's own: its worker finds colorsys loaded: True
#
# Ends with another code than 0 where this is otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "distributed==2026.8.0"
cat > "$folder/program.py" <<'PY'
import multiprocessing
import sys


def is_loaded():
    return "colorsys" in sys.modules


def tell():
    print("a process finds colorsys loaded:", is_loaded(), flush=True)


def run_process():
    process = multiprocessing.get_context("forkserver").Process(target=tell)
    process.start()
    process.join()


def run_dask():
    import dask
    import distributed

    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    cluster = distributed.LocalCluster(n_workers=1, dashboard_address=":0")
    with cluster, distributed.Client(cluster) as client:
        (answer,) = client.run(is_loaded).values()
        print("its worker finds colorsys loaded:", answer, flush=True)


if __name__ == "__main__":
    multiprocessing.set_forkserver_preload(["colorsys"])
    for step in sys.argv[1:]:
        {"process": run_process, "dask": run_dask}[step]()
PY
cd "$folder"
run() { venv/bin/python program.py "$@"; }
{
    run process | sed "s/^/without Dask: /"
    run dask process | sed "s/^/with Dask: /"
    run process dask | sed -n "s/^its/with Dask, after a process of one's own: its/p"
} | tee output
diff - output <<'EXPECTED'
without Dask: a process finds colorsys loaded: True
with Dask: its worker finds colorsys loaded: False
with Dask: a process finds colorsys loaded: False
with Dask, after a process of one's own: its worker finds colorsys loaded: True
EXPECTED
