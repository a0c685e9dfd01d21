#!/usr/bin/env bash
# Importing `distributed` changes how every exception of the process is pickled.
#
# Versions: distributed 2026.8.0 (with tblib 3.2.2), aiohttp 3.14.5, multidict 7.2.1.
#
# `distributed.utils` calls `tblib.pickling_support.install()` when it is imported. This registers a reducer in
# `copyreg` for every class of exception that exists at that moment, whoever defined it. From then on `pickle` takes
# along an exception's `__cause__`, `__context__` and traceback; without it they are left behind.
#
# So an exception of a program's own that was raised `from` an `aiohttp.ClientResponseError` can be pickled before the
# import, and not after it: that error holds its headers in a `CIMultiDictProxy`, which cannot be pickled. With
# `from None` it is the same, since the context goes along, too.
#
# Output that was seen:
#
#     before the import: pickled
#     after the import, raised from the error: can't pickle multidict._multidict.CIMultiDictProxy objects
#     after the import, raised from None: can't pickle multidict._multidict.CIMultiDictProxy objects
#     after the import, a class that was defined later: pickled
#
# The script ends with an error where this has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "distributed==2026.8.0" "tblib==3.2.2" "aiohttp==3.14.5" "multidict==7.2.1"

cat > "$folder/program.py" <<'PROGRAM'
import pickle

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL


class Mine(Exception):
    pass


def raised(kind, keeps_cause):
    url = URL("https://service.example/")
    request = aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict(Accept="*/*")), url)
    try:
        try:
            raise aiohttp.ClientResponseError(request, (), status=500, message="no")
        except aiohttp.ClientError as error:
            raise kind("the service failed") from (error if keeps_cause else None)
    except kind as error:
        return error


def outcome(error):
    try:
        pickle.loads(pickle.dumps(error))
    except TypeError as trouble:
        return str(trouble)
    return "pickled"


print("before the import:", outcome(raised(Mine, True)))

import distributed  # noqa: E402


class Later(Exception):
    pass


print("after the import, raised from the error:", outcome(raised(Mine, True)))
print("after the import, raised from None:", outcome(raised(Mine, False)))
print("after the import, a class that was defined later:", outcome(raised(Later, True)))
PROGRAM

"$folder/venv/bin/python" "$folder/program.py" | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
before the import: pickled
after the import, raised from the error: can't pickle multidict._multidict.CIMultiDictProxy objects
after the import, raised from None: can't pickle multidict._multidict.CIMultiDictProxy objects
after the import, a class that was defined later: pickled
EXPECTED
