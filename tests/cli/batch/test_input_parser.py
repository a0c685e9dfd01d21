"""
Lines become requests, or are reported as invalid; nothing is lost or invented in between.
"""

import codecs
import csv
import io
import json
import unicodedata
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async import OFFICIAL, ImageRequest, Keyed
from kling_async.cli.batch.input_parser import InputLine, format_of, parse
from kling_async.cli.input_options import Format
from kling_async.cli.text_input import START
from kling_async.wire.endpoints.registry import broken_rules

FOLDER = Path("/inputs")

# A form feed and its like end lines for `str.splitlines` alone; they stay in a prompt, whose rules then refuse them.
texts = (
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1)
    .map(lambda text: text.strip().lstrip("\ufeff").strip())
    .filter(bool)
)
words = st.text("abcdefghijklmnop:0123456789-", min_size=1, max_size=12)
requests = st.builds(
    ImageRequest,
    texts,
    n=st.integers(1, 9),
    negative_prompt=st.none() | texts,
    aspect_ratio=st.none() | words,
    image_fidelity=st.none() | st.floats(0, 1),
    image=st.none() | st.sampled_from(["https://a.example/cat.png", "data:image/png;base64,iVBORw0KGgo="]),
    model_name=st.none() | words,
)
keyed = st.tuples(requests, st.none() | texts.filter(lambda text: len(text) <= 200))
gaps = st.lists(st.sampled_from(["", " ", "\t"]), max_size=2)


def read(text: str | bytes, form: Format) -> list[InputLine]:
    raw = text.encode() if isinstance(text, str) else text
    return list(parse(io.BytesIO(raw), form, FOLDER))


def fields_of(request: Any, key: str | None) -> dict[str, Any]:
    fields = attrs.asdict(request, filter=lambda _, value: value is not None)
    return fields if key is None else {"key": key, **fields}


def rules_of(line: InputLine) -> list[str]:
    return [f"{broken.field} {broken.value}: {broken.rule}" for broken in line.broken]


@given(st.lists(st.tuples(gaps, texts)))
def test_text(given: list[tuple[list[str], str]]) -> None:
    """
    Each line that is not blank is a prompt, at the number of its line.
    """
    lines = [text for gap, prompt in given for text in (*gap, f" {prompt} ")]

    found = read("\n".join(lines), Format.TEXT)

    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    assert [(number, ImageRequest(prompt)) for number, (_, prompt) in zip(numbers, given, strict=True)] == [
        (line.number, line.request) for line in found
    ]


@given(st.lists(st.tuples(gaps, keyed)), st.booleans())
def test_objects(given: list[tuple[list[str], tuple[ImageRequest, str | None]]], ascii_only: bool) -> None:  # noqa: FBT001
    """
    What was written as JSON comes back as it was, fields and keys, at the number of its line.
    """
    lines = [text for gap, one in given for text in (*gap, json.dumps(fields_of(*one), ensure_ascii=ascii_only))]

    found = read("\n".join(lines), Format.JSONL)

    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    assert [(number, *one) for number, (_, one) in zip(numbers, given, strict=True)] == [
        (line.number, line.request, line.key) for line in found
    ]


@given(st.lists(keyed, min_size=1), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_table(given: list[tuple[ImageRequest, str | None]], delimiter: str, end: str) -> None:
    """
    What was written as a table comes back as it was, whatever stands between cells and lines.
    """
    names = ["key", "prompt", "n", "negative_prompt", "aspect_ratio", "image_fidelity", "image", "model_name"]
    writer = csv.DictWriter(file := io.StringIO(), names, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(fields_of(*one) for one in given)

    found = read(file.getvalue(), Format.CSV)

    assert [(number, *one, ()) for number, one in enumerate(given, 2)] == [
        (line.number, line.request, line.key, line.broken) for line in found
    ]


@given(st.binary() | st.text().map(str.encode), st.sampled_from(Format))
def test_anything(raw: bytes, form: Format) -> None:
    """
    Whatever the bytes are, each line is reported once and in order: as a request, or with the rules that it breaks.
    """
    found = read(raw, form)

    numbers = [line.number for line in found]
    assert sorted(set(numbers)) == numbers
    assert all(1 <= number <= raw.count(b"\n") + raw.count(b"\r") + 1 for number in numbers)
    assert all(line.request is not None or line.broken for line in found)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=300),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["key", *attrs.fields_dict(ImageRequest), "seed"]), anything))
def test_any_object(fields: dict[str, Any]) -> None:
    """
    Whatever the values of an object are, its rules can be judged, and its key, where it has a good one, be kept.
    """
    (line,) = read(json.dumps(fields), Format.JSONL)

    assert line.request is not None
    broken = {rule.field for rule in (*line.broken, *broken_rules(OFFICIAL, line.request))}
    assert ("prompt" in broken) is not (isinstance(fields.get("prompt"), str) and is_sendable(fields["prompt"]))
    assert ("seed" in broken) is ("seed" in fields)
    (line.key or "").encode()


def is_sendable(prompt: str) -> bool:
    has_control = any(unicodedata.category(character) == "Cc" and character not in "\t\r\n" for character in prompt)
    return bool(prompt.strip()) and not has_control and prompt == prompt.encode(errors="replace").decode()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "begins an object of several lines; write each object on one line"),
        ("{x", "is not valid JSON: Expecting property name"),
        ("[1]", "must be an object"),
        ('"a fox"', "must be an object"),
        (
            '{"prompt": "a fox", "aspect-ratio": "1:1"}',
            "aspect-ratio '1:1': is not a field of ImageRequest; did you mean aspect_ratio? Its fields are prompt, ",
        ),
        ('{"prompt": "a fox", "key": " "}', "key ' ': must be text of 1 to 200"),
        (f'{{"prompt": "a fox", "key": "{"k" * 201}"}}', "must be text of 1 to 200"),
        ('{"prompt": "a fox", "key": "\\ud83d"}', "must be text of 1 to 200 characters"),
        ('{"prompt": "a fox", "image": {}}', "image {}: must be a URL, a path or Base64"),
        ('{"prompt": "a fox", "n": 1, "n": 2}', "has the field 'n' more than once"),
        (f'{{"{"k" * 200}": 1, "{"k" * 200}": 1}}', "more than once"),
        ("[" * 100_000, "is JSON that cannot be read"),
        (f'{{"n": {"9" * 5000}}}', "is JSON that cannot be read"),
    ],
)
def test_broken_object(line: str, message: str) -> None:
    """
    What is no request is reported with its rule, and the lines around it are read all the same.
    """
    before, broken, after = read(f'{{"prompt": "a"}}\n{line}\n{{"prompt": "b"}}', Format.JSONL)

    assert [message] == [message for rule in rules_of(broken) if message in rule]
    assert ((), ()) == (before.broken, after.broken)


@pytest.mark.parametrize("form", Format)
def test_no_utf8(form: Format) -> None:
    """
    A line in another encoding is reported, rather than sent as something that nobody wrote.
    """
    lines = {Format.TEXT: ["a", "f\xfcr"], Format.JSONL: ['{"prompt": "f\xfcr"}'], Format.CSV: ["prompt", "f\xfcr"]}

    *_, last = read("\n".join(lines[form]).encode("latin-1"), form)

    assert ["line : contains bytes that are not valid UTF-8; save the file as UTF-8"] == rules_of(last)


@pytest.mark.parametrize("form", Format)
def test_byte_order_mark(form: Format) -> None:
    """
    The mark that some editors write first is no part of the text.
    """
    lines = {Format.TEXT: "a fox", Format.JSONL: '{"prompt": "a fox"}', Format.CSV: "prompt\na fox"}

    (line,) = read(b"\xef\xbb\xbf" + lines[form].encode(), form)

    assert (ImageRequest("a fox"), ()) == (line.request, line.broken)


@pytest.mark.parametrize(
    ("table", "messages"),
    [
        (
            "promt,n\na,1",
            [
                "1 column 'promt': is not a field of ImageRequest; did you mean prompt? Its fields are prompt, ",
                "1 column 'prompt': is missing",
            ],
        ),
        ("prompt,n,n\na,1,2", ["1 column 'n': must occur once"]),
        ("prompt,n\na,b,1\n\nc,2", ["2 line 'a': must have 2 cells, as the header has, not 3", "4 good"]),
        ('prompt,n\n"a\nb",2\n"c" d,1\ne,1', ["2 good", "4 line : is not valid CSV"]),
        ('prompt,n\na,2\n"b,1\nc,1\nd,1', ["2 good", "3 line : is not valid CSV"]),
        ("\n \nprompt;n\na;2", ["4 good"]),
        ('"prompt', ["1 line : is not valid CSV"]),
    ],
)
def test_broken_table(table: str, messages: list[str]) -> None:
    """
    A header that cannot be used is all that is reported. A row with too many cells is reported at its first line, and
    the rest is read; after an error of the form itself nothing is.
    """
    found = [f"{line.number} {rule}" for line in read(table, Format.CSV) for rule in rules_of(line) or ["good"]]

    assert messages == [rule[: len(part)] for rule, part in zip(found, messages, strict=True)]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Format.CSV, 'prompt,notes,"a, b",notes,n\na,x,y,z,2\nb,,,,'),
        (Format.JSONL, '{"prompt": "a", "notes": 1, "a, b": [], "n": 2}\n{"prompt": "b"}'),
        (Format.JSONL, '[{"prompt": "a", "notes": 1, "a, b": [], "n": 2}, {"prompt": "b", "notes": null}]'),
    ],
)
def test_ignored_columns_are_left_out(form: Format, text: str) -> None:
    """
    Those that are named; another one that is unknown is an error, which says how to leave it out.
    """
    found = list(parse(io.BytesIO(text.encode()), form, FOLDER, ignored={"notes", "a, b"}))
    (line, *_) = parse(io.BytesIO(text.encode()), form, FOLDER, ignored={"a, b"})

    assert [ImageRequest("a", n=2), ImageRequest("b")] == [line.request for line in found if not line.broken]
    assert "is not a field of ImageRequest" in line.broken[0].rule
    assert line.broken[0].rule.endswith("; to leave it out, use --ignore-columns")


def test_ignored_kind_and_prompt_are_not_there() -> None:
    """
    A column that has the name of a field is left out as any other.
    """
    (other_kind,) = parse(io.BytesIO(b"kind,prompt\nphoto,a\n"), Format.CSV, FOLDER, ignored={"kind"})
    (no_prompt,) = parse(io.BytesIO(b"prompt,n\na,1\n"), Format.CSV, FOLDER, ignored={"prompt"})

    assert ImageRequest("a") == other_kind.request
    assert ["column 'prompt': is missing; the first line must name the columns"] == rules_of(no_prompt)


def test_cells_that_are_no_numbers() -> None:
    """
    They stay as they are, so that the rules for their fields name them.
    """
    (line,) = read("prompt,n,image_fidelity\na,two,much", Format.CSV)

    assert line.request is not None
    assert {"prompt": "a", "n": "two", "image_fidelity": "much"} == fields_of(line.request, None)


def test_cells_of_several_ids() -> None:
    """
    The ids of elements have blanks between them; what is no number stays as it is.
    """
    table = "prompt,element_list,watermark_info\na,829836802793406551 17,true\nb,17,\nc,x 17,maybe"
    one, two, odd = (line.request for line in read(table, Format.CSV))

    assert ImageRequest("a", element_list=[829836802793406551, 17], watermark_info=True) == one
    assert ImageRequest("b", element_list=[17]) == two
    assert {"prompt": "c", "n": 1, "element_list": ("x", 17), "watermark_info": "maybe"} == fields_of(odd, None)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("names", [["prompt"], ["n", "prompt"], ["kind", "prompt", "mode"], ["a,b;c", "prompt", "n"]])
def test_delimiter_is_that_of_the_names(names: list[str], delimiter: str) -> None:
    """
    Those of any endpoint count.
    """
    cells = {"kind": "text-to-video", "n": "2", "mode": "pro"}
    writer = csv.DictWriter(file := io.StringIO(), names, delimiter=delimiter)
    writer.writeheader()
    writer.writerow({name: cells.get(name, "a fox") for name in names})

    (line,) = parse(io.BytesIO(file.getvalue().encode()), Format.CSV, FOLDER, ignored={"a,b;c"})

    assert (2, ()) == (line.number, line.broken)
    assert "a fox" == getattr(line.request, "prompt", None)


def test_key_that_is_a_number() -> None:
    """
    A key that JSON has as a number is that of a table, where all is text.
    """
    (by_object,), (by_table,) = read('{"prompt": "a", "key": 17}', Format.JSONL), read("key,prompt\n17,a", Format.CSV)

    assert Keyed(ImageRequest("a"), "17") == by_object.item == by_table.item


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("cats/one.png", Path("/inputs/cats/one.png")),
        ("/elsewhere/one.png", Path("/elsewhere/one.png")),
        ("HTTPS://a.example/one.png", "HTTPS://a.example/one.png"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("A" * 5000, "A" * 5000),
    ],
)
def test_images(image: str, expected: str | Path) -> None:
    """
    A path is taken from the input's folder; a URL, and what is too long for a path, are what they are.
    """
    (line,) = read(json.dumps({"prompt": "a", "image": image}), Format.JSONL)

    assert isinstance(line.request, ImageRequest)
    assert expected == line.request.image


def test_lines_are_read_as_they_are_needed(tmp_path: Path) -> None:
    """
    An input may be larger than the memory: of the first line's portion no more is read than its beginning.
    """
    with (tmp_path / "long").open("w+b", buffering=0) as raw:
        raw.write(b'"prompt"\n' + b'{"prompt": "a fox"}\n' * 100_000)
        file = io.BufferedReader(raw)
        for form in Format:
            file.seek(0)
            next(parse(file, form, FOLDER))
            assert raw.tell() <= 2 * START


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", Format.JSONL),
        ("a.NDJSON", Format.JSONL),
        ("b/a.csv", Format.CSV),
        ("a.tsv", Format.CSV),
        ("a.txt", Format.TEXT),
        ("prompts", Format.TEXT),
        ("a.json", Format.JSONL),
        ("a.xlsx", None),
    ],
)
def test_format_of(name: str, form: Format | None) -> None:
    """
    The end of a name tells the format; what it does not tell is not guessed, for prompts cost money.
    """
    assert form is format_of(name)


ENCODINGS = [("utf-8", b""), ("utf-8-sig", b""), ("utf-16", b""), ("utf-32", b""), ("utf-16-be", codecs.BOM_UTF16_BE)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("encoding", "mark"), ENCODINGS)
@pytest.mark.parametrize("form", Format)
def test_encodings(form: Format, encoding: str, mark: bytes, end: str) -> None:
    """
    What a byte order mark tells is read as what it is, with the line ends of any system; PowerShell writes UTF-16.
    """
    lines = {
        Format.TEXT: ["a fox in snow\u2028and wind", "an owl 🦉"],
        Format.JSONL: ['{"prompt": "a fox in snow\u2028and wind"}', "", '{"prompt": "an owl 🦉"}'],
        Format.CSV: ["prompt,n", "a fox in snow\u2028and wind,1", "an owl 🦉,1"],
    }
    raw = mark + end.join([*lines[form], ""]).encode(encoding)

    found = read(raw, form)

    assert [ImageRequest("a fox in snow\u2028and wind"), ImageRequest("an owl 🦉")] == [line.request for line in found]
    assert not any(line.broken for line in found)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1d", "\x1e"])
def test_separators_stay_in_a_prompt(form: Format, separator: str) -> None:
    """
    One prompt stays one; where it has a control character, its rules refuse it.
    """
    prompt = f"a fox{separator}in snow"
    texts = {Format.TEXT: prompt, Format.JSONL: json.dumps({"prompt": prompt}), Format.CSV: f"prompt\n{prompt}"}

    (line,) = read(texts[form], form)

    assert ImageRequest(prompt) == line.request
    is_control = separator not in "\u2028\u2029"
    message = [f"it has U+{ord(separator):04X} at character 6"] if is_control else []
    assert message == [rule.rule.rpartition("; ")[2] for rule in broken_rules(OFFICIAL, line.request)]


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("a fox\n".encode("utf-16-le"), "contains NUL bytes"),
        ('{"prompt": "a fox"}\n'.encode("utf-16-be"), "contains NUL bytes"),
        (b"a fox\n" * 100 + b"\0", "contains NUL bytes"),
        (b"PK\x03\x04rest\na fox\n", "is a zip archive"),
        (b"\x1f\x8brest\na fox\n", "is compressed"),
        (b"SQLite format 3\0rest\na fox\n", "is a database"),
    ],
)
def test_input_that_is_not_text(form: Format, raw: bytes, message: str) -> None:
    """
    Input that is not text is reported once, and none of its lines is used.
    """
    (line,) = read(raw, form)

    assert line.request is None
    assert message in rules_of(line)[0]


def test_damaged_utf_16() -> None:
    """
    A line with half of a character is reported, and those around it are read.
    """
    raw = "a fox\nan \ud800owl\na bear\n".encode("utf-16", "surrogatepass")

    first, broken, last = read(raw, Format.TEXT)

    assert ["line : contains bytes that are not valid UTF-8; save the file as UTF-8"] == rules_of(broken)
    assert [ImageRequest("a fox"), ImageRequest("a bear")] == [first.request, last.request]


@pytest.mark.parametrize("form", Format)
def test_marks_within(form: Format) -> None:
    """
    Files that were joined have byte order marks in the middle, which belong to no prompt.
    """
    texts = {Format.TEXT: "a fox", Format.JSONL: '{"prompt": "a fox"}', Format.CSV: "a fox,1"}
    head = "prompt,n\n" if form is Format.CSV else ""

    found = read(f"\ufeff{head}{texts[form]}\n\ufeff{texts[form]}\n", form)

    assert [ImageRequest("a fox")] * 2 == [line.request for line in found]


@pytest.mark.parametrize("form", [Format.JSONL, Format.CSV])
def test_cells_and_lines_follow_the_picture_s_limit(form: Format) -> None:
    """
    A picture of the greatest size fits a cell and a line; of what is longer nothing is believed, nor of what follows.
    """
    for size, numbers in ((60_000, [2, 3]), (2_000_000, [2])):
        image = "A" * (4 * size // 3)
        rows = {
            Format.JSONL: ['{"prompt": "first"}', json.dumps({"prompt": "a", "image": image}), '{"prompt": "b"}'],
            Format.CSV: ["prompt,image", f"a,{image}", "b,"],
        }
        raw = "\n".join(rows[form]).encode()
        found = list(parse(io.BytesIO(raw), form, FOLDER, image_max_bytes=60_000))
        found = [line for line in found if line.number > 1]

        assert numbers == [line.number for line in found]
        assert (len(numbers) == 1) is bool(found[0].broken)


def test_broken_quotes_swallow_no_rows() -> None:
    """
    A cell that never ends, and is longer than any good one, turns nothing of it into rows.
    """
    raw = b'prompt,n\na fox,1\n"' + b"a line of a story\n" * 20_000

    first, broken = parse(io.BytesIO(raw), Format.CSV, FOLDER, image_max_bytes=60_000)

    assert ImageRequest("a fox") == first.request
    assert "the rest is not read" in rules_of(broken)[0]


def test_limit_of_cells_is_restored() -> None:
    """
    It is global to the process: whether a table is read to its end or not, other readers have theirs.
    """
    before = csv.field_size_limit()
    table = b"prompt,n\na fox,1\na hen,2\n"

    whole = list(parse(io.BytesIO(table), Format.CSV, FOLDER))
    part = parse(io.BytesIO(table), Format.CSV, FOLDER)
    next(part)
    part.close()  # type: ignore[attr-defined]

    assert (2, before) == (len(whole), csv.field_size_limit())


@pytest.mark.parametrize("form", [Format.JSONL, Format.CSV])
def test_empty_fields_are_the_defaults(form: Format) -> None:
    """
    Where all others are text, too.
    """
    texts = {
        Format.JSONL: '{"prompt": "a", "model_name": "", "aspect_ratio": null}',
        Format.CSV: "prompt,model_name\na,",
    }
    blank = {Format.JSONL: '{"aspect_ratio": "1:1"}', Format.CSV: "prompt,aspect_ratio\n,1:1"}

    assert [ImageRequest("a")] == [line.request for line in read(texts[form], form)]
    assert [ImageRequest("", aspect_ratio="1:1")] == [line.request for line in read(blank[form], form)]
