#!/usr/bin/env bash
# typer 0.29.2 imports pydantic in each run of a command, also of one whose only option is a flag.
#
# Versions: typer 0.29.2, pydantic 2.14.4.
#
# Typer converts values by pydantic and puts off the import: it skips flags, and its source says that it avoids costs
# up front. But before it looks at a value, it builds what converts it, and `None`, the value of an option that was not
# given, is then returned as it is. `--help` is such an option of every command. Only a help does without pydantic.
#
# One would guess that nothing is imported to convert nothing.
#
# What follows: a command that is to start fast has to keep typer from building its conversion until a value needs it,
# as `kling_async/cli/conversions.py` does.
#
# Seen output: the arguments, and whether pydantic was imported.
#
#     []: True
#     ['--flag']: True
#     ['--help']: False
#
# Ends with another code than 0 where typer behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "typer==0.29.2" "pydantic==2.14.4"
cat > "$folder/program.py" <<'PY'
import contextlib
import io
import sys

import typer

app = typer.Typer(add_completion=False)


@app.command()
def command(flag: bool = False) -> None:
    pass


try:
    with contextlib.redirect_stdout(io.StringIO()):
        app()
finally:
    print(f"{sys.argv[1:]}: {'pydantic' in sys.modules}")
PY
for words in "" "--flag" "--help"; do
    "$folder/venv/bin/python" "$folder/program.py" ${words:+"$words"}
done | tee "$folder/output"
diff - "$folder/output" <<'EXPECTED'
[]: True
['--flag']: True
['--help']: False
EXPECTED
