"""
Names for files: inside their folder, safe on every system, never equal by accident.
"""

import time
from pathlib import Path

import pytest

from kling_async.media.naming import ROW_FIELDS, TASK_FIELDS, NameTemplate, check_template


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("{index}{ext}", "0.png"),
        ("{index:03d}", "000"),
        ("a/{task_id}/./{index}{ext}", "a/t1/0.png"),
        (r"a\{index}{ext}", "a/0.png"),
        ("{{}}{ext}", "{}.png"),
        ("12:30?{ext}", "12_30_.png"),
        ("con{ext}", "_con~11584285.png"),
        ("NUL", "_NUL~ae6de182"),
        ("com1 .x/LPT9.tar.gz", "_com1 ~c9308b89.x/_LPT9~610d986b.tar.gz"),
        ("console{ext}", "console.png"),
        ("end. ", "end_"),
        (".hidden", ".hidden"),
        ("a\tb\u202eg\ud800", "a_b_g_"),
    ],
)
def test_template(name: str, expected: str) -> None:
    """
    A template may have folders and format specs; what some system forbids in a name is replaced.
    """
    assert Path(expected) == NameTemplate(name, "t1").path(0, ".png")


def test_ids_stay_apart() -> None:
    """
    Ids and names that differ only in what was replaced or cut off still give different files.
    """
    ids = ["a_b", "a/b", "a:b", "x" * 1000, "x" * 999, "ü" * 400, "", "_"]
    paths = {NameTemplate("{task_id}-{index}{ext}", task_id).path(index, ".png") for task_id in ids for index in (0, 1)}

    assert len(paths) == 16
    assert all(len(path.name.encode()) <= 200 for path in paths)


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * 500_000 + "b",
        " " * 500_000 + "b",
        "a" + ". " * 250_000,
        "a. " * 200_000,
        "con" + " " * 500_000 + "b",
        "/" * 500_000,
        "a/" * 200_000,
        "\0" * 500_000,
    ],
    ids=range(8),
)
def test_cleaning_takes_time_in_proportion(text: str) -> None:
    """
    Half a million characters of whatever kind take less than a second of CPU, as an id, as a key and in a template.
    """
    began = time.process_time()
    names = [
        NameTemplate("{task_id}{ext}", text).parts(0, ".png"),
        NameTemplate("{key}{ext}", "t1", text).parts(0, ".png"),
        NameTemplate(f"x{text}{{ext}}", "t1").parts(0, ".png"),
        NameTemplate("{prompt}{ext}", "t1", prompt=text).parts(0, ".png"),
    ]

    assert time.process_time() - began < 3.0
    assert all(len(part.encode()) <= 200 for parts in names for part in parts)


@pytest.mark.parametrize(
    ("task_id", "name"),
    [(" . a", "_a"), ("a . ", "a_"), ("...", "_"), (" a b ", "_a b_"), ("a.b", "a.b")],
)
def test_dots_and_blanks_at_the_ends(task_id: str, name: str) -> None:
    """
    However many there are at an end, they become one character; those within stay.
    """
    (part,) = NameTemplate("{task_id}", task_id).parts(0, ".png")

    assert name == part.partition("~")[0]


def test_overlong_extension() -> None:
    """
    What follows the last dot is preserved only if it can be an extension.
    """
    name = NameTemplate("a." + "b" * 300, "t1").path(0, ".png").name

    assert len(name) == 200
    assert name[-9] == "~"


def test_key_has_a_name_of_its_own() -> None:
    """
    A row's key may be named, and is made safe.
    """
    assert Path("order-17/t1-0.png") == NameTemplate("{key}/{task_id}-{index}{ext}", "t1", "order-17").path(0, ".png")

    keys = ["a_b", "a/b", "../a", "..", "", "con", "_con", "x" * 300, "ü" * 300]
    paths = {NameTemplate("{key}/{index}{ext}", "t1", key).path(0, ".png") for key in keys}

    assert len(keys) == len(paths)
    assert {2} == {len(path.parts) for path in paths}


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (
            "{promt}{ext}",
            r"name '{promt}{ext}' has an unknown field {promt}; did you mean {prompt}\? Its fields are {t",
        ),
        ("{taskid}{ext}", r"{taskid}; did you mean {task_id}\?"),
        ("{extension}", r"{extension}; did you mean {ext}\?"),
        ("{count}{ext}", r"{count}; did you mean {number}\?"),
        ("{seed}{ext}", r"{seed}\. Its fields are {task_id}, {number}, {prompt}, {index}, {ext}\."),
        ("{key}{ext}", r"{key}: only rows of a batch have a key\. Its fields are {task_id}, {number}, {prompt},"),
        ("{}{ext}", "no other fields than {task_id}, {number}, {prompt}, {index}, {ext},"),
        ("{prompt.upper}", "no other fields than"),
        ("{prompt[0]}", "no other fields than"),
        ("{", "must be a format string"),
    ],
)
def test_unknown_field_is_named_with_those_that_exist(template: str, what: str) -> None:
    """
    And with the one that was probably meant.
    """
    with pytest.raises(ValueError, match=what):
        NameTemplate(template, "t1", number=7).path(0, ".png")


def test_task_without_a_number_has_no_such_field() -> None:
    """
    A task that was picked up by its id has none; the error says so.
    """
    with pytest.raises(ValueError, match=r"{number}: this task has no number\. Its fields are {task_id}, {prom"):
        NameTemplate("{number}{ext}", "t1").path(0, ".png")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A lighthouse on a cliff at dusk", "007-a-lighthouse-on-a-cliff"),
        ("../{task_id}?", "007-task-id"),
        ("Cafe\u0301 con leche", "007-café-con-leche"),
        ("हिन्दी में एक चित्र", "007-हिन्दी-में-एक-चित्र"),
        ("一只猫" * 20, "007-" + ("一只猫" * 20)[:40]),
        ("x" * 39 + " y", "007-" + "x" * 39),
        ("!!! \ufe0f 🦊", "007-t1"),
        ("", "007-t1"),
    ],
)
def test_number_and_first_words_of_the_prompt(prompt: str, expected: str) -> None:
    """
    The words are of whatever script, at most five, of at most 40 characters. Without any, the id stands for them.
    """
    assert expected == NameTemplate("{number:03}-{prompt}", "t1", number=7, prompt=prompt).path(0, ".png").name


@pytest.mark.parametrize("fields", [TASK_FIELDS, ROW_FIELDS])
def test_template_must_keep_tasks_apart(fields: tuple[str, ...]) -> None:
    """
    By what differs for each of them: prompts may be equal, or begin with the same words.
    """
    for field in set(fields) - {"prompt", "index", "ext"}:
        check_template(f"{{prompt}}-{{{field}}}-{{index}}{{ext}}", fields, files=9)

    check_template("{prompt}-{index}{ext}", fields, files=9, is_one=True)
    with pytest.raises(ValueError, match=r"can give two tasks one name; put {task_id},? .*or {number} into it"):
        check_template("{prompt}-{index}{ext}", fields, files=9)
    for cut in ("{task_id:.8}", "{number:.2e}", "{number:.3g}", "{prompt}"):
        with pytest.raises(ValueError, match=r"or {number} into it, uncut"):
            check_template(f"{cut}-{{index}}{{ext}}", fields, files=9)
    with pytest.raises(ValueError, match=r"gives two files one name; put {index} into it"):
        check_template("{number}{ext}", fields, files=2)


@pytest.mark.parametrize(
    ("fields", "expected"), [(TASK_FIELDS, "x,1,prompt,0,.png"), (ROW_FIELDS, "x,x,1,prompt,0,.png")]
)
def test_listed_fields_can_be_used(fields: tuple[str, ...], expected: str) -> None:
    """
    The fields that help texts list are those that a template takes.
    """
    template = ",".join(f"{{{field}}}" for field in fields)

    assert expected == NameTemplate.trial(template, fields, "x").path(0, ".png").name


@pytest.mark.parametrize(
    "name", ["{index:01000000000}", "{index:1000}", "{task_id:>999999999}", "{index:{index}99999}"]
)
def test_fields_are_not_wide(name: str) -> None:
    """
    A field that would take as much memory as its format asks for is refused.
    """
    with pytest.raises(ValueError, match="must be a format string .* of fewer than 1,000 characters"):
        NameTemplate(name, "t1").check([0])


@pytest.mark.parametrize("name", ["{" * 100_000, "../" * 100_000, "a" * 100_000])
def test_long_templates_are_shown_in_part(name: str) -> None:
    """
    An error shows the start of a long template.
    """
    with pytest.raises(ValueError, match="The name ") as caught:
        NameTemplate(name, "t1").check([0, 1])

    assert len(str(caught.value)) < 400
