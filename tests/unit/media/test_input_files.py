"""
Reading a reference image: what is sent, what is known, and that the event loop never waits for it.
"""

import asyncio
import base64
import hashlib
import io
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from hypothesis import given, settings, strategies as st

from kling_async.errors import InvalidRequest
from kling_async.media import input_files
from kling_async.media.input_files import Reference, read_reference
from kling_async.wire.dialects import GATEWAY
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.inputs import FileFacts, FileSource
from kling_async.wire.endpoints.registry import broken_rules
from kling_async.wire.image_headers import kind_of
from tests.fakes.sounds import WAV

MAX = GATEWAY.image_max_bytes


def drawn(kind: str = "png", size: tuple[int, int] = (320, 300), **options: Any) -> bytes:
    noise = random.Random(7).randbytes(size[0] * size[1])  # equal in every process that collects the tests
    buffer = io.BytesIO()
    PIL.Image.frombytes("L", size, noise).save(buffer, kind, **options)
    return buffer.getvalue()


PNG = drawn()
JPG = drawn("jpeg")


async def refusal(image: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        await read_reference(image, field="image", max_bytes=MAX)
    (broken,) = caught.value.broken

    assert broken.field == "image"
    assert str(broken) == caught.value.message
    return str(broken)


def as_data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class TestContent:
    @pytest.mark.parametrize(("content", "kind"), [(PNG, "png"), (JPG, "jpg")], ids=["png", "jpg"])
    async def test_bytes_become_base64(self, content: bytes, kind: str) -> None:
        """
        Bytes are sent as Base64 without a prefix, and their kind and sides are known.
        """
        reference = await read_reference(content, field="image", max_bytes=MAX)

        assert content == base64.b64decode(reference.text, validate=True)
        assert FileFacts(len(content), kind, 320, 300) == reference.facts  # type: ignore[arg-type]

    async def test_pieces_join_without_a_seam(self) -> None:
        """
        A picture of many pieces is encoded and decoded as if it were one.
        """
        content = PNG + os.urandom(3 * input_files._PIECE + 1)

        reference = await read_reference(content, field="image", max_bytes=MAX)

        assert base64.b64encode(content).decode() == reference.text
        assert reference == await read_reference(reference.text, field="image", max_bytes=MAX)

    async def test_digest_is_of_the_picture_itself(self, tmp_path: Path) -> None:
        """
        In whatever form a picture comes its digest is that of its bytes; of a URL nothing is known.
        """
        path = tmp_path / "cat.png"
        path.write_bytes(PNG)
        encoded = base64.b64encode(PNG).decode()
        forms = (PNG, path, encoded, "\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76)))

        digests = {
            (await read_reference(form, field="image", max_bytes=MAX)).sha256 for form in (*forms, as_data_url(PNG))
        }

        assert {hashlib.sha256(PNG).hexdigest()} == digests
        assert (await read_reference("https://pictures.example/a.png", field="image", max_bytes=MAX)).sha256 is None

    @pytest.mark.parametrize("form", ["bytes", "file", "text"])
    async def test_picture_that_is_not_read_to_its_end_has_no_digest(self, tmp_path: Path, form: str) -> None:
        """
        Half a picture is not what another picture should be told from.
        """
        path = tmp_path / "cat.png"
        path.write_bytes(PNG)
        forms: dict[str, FileSource] = {"bytes": PNG, "file": path, "text": as_data_url(PNG)}

        assert (await read_reference(forms[form], field="image", max_bytes=len(PNG) - 1)).sha256 is None

    async def test_kind_goes_by_content(self, tmp_path: Path) -> None:
        """
        A jpg under the name of a png is a jpg.
        """
        path = tmp_path / "cat.png"
        path.write_bytes(JPG)

        facts = (await read_reference(path, field="image", max_bytes=MAX)).facts

        assert facts is not None
        assert facts.kind == "jpg"

    @pytest.mark.parametrize("content", [b"", b"GIF89a and so on", drawn("webp"), b"\x89PNG"], ids=len)
    async def test_other_content_is_left_to_the_rules(self, content: bytes) -> None:
        """
        Bytes of any other kind can be read: the dialect's rules refuse them, together with whatever else is wrong.
        """
        reference = await read_reference(content, field="image", max_bytes=MAX)

        assert FileFacts(len(content), None) == reference.facts

    @pytest.mark.parametrize(
        "content", [PNG[:20], JPG[:30], PNG[:12] + b"JUNK" + PNG[16:], b"\xff\xd8\xff" + bytes(99)], ids=len
    )
    async def test_damaged_header_has_no_sides(self, content: bytes) -> None:
        """
        Where the header is damaged, the sides are unknown rather than wrong.
        """
        facts = (await read_reference(content, field="image", max_bytes=MAX)).facts

        assert facts is not None
        assert (facts.width, facts.height) == (None, None)
        assert [
            broken.rule for broken in broken_rules(GATEWAY, ImageRequest("a cat", image=content), {"image": facts})
        ] == ["has a damaged header: its sides cannot be read"]

    @settings(max_examples=settings().max_examples // 2, deadline=None)
    @given(st.binary(max_size=300), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b""]))
    def test_no_content_breaks_the_reader(self, content: bytes, signature: bytes) -> None:
        """
        Whatever follows a signature, facts come out.
        """
        facts = input_files._facts_of(signature + content, 1, MAX)

        assert facts.width is None or facts.width > 0

    async def test_turned_by_exif_keeps_its_sides(self) -> None:
        """
        A rotation noted in the header does not matter to the rules, so sides are as stored.
        """
        exif = PIL.Image.Exif()
        exif[0x0112] = 6

        reference = await read_reference(drawn("jpeg", (400, 310), exif=exif), field="image", max_bytes=MAX)

        assert reference.facts is not None
        assert (reference.facts.width, reference.facts.height) == (400, 310)


class TestWholeness:
    @staticmethod
    def rules(facts: FileFacts | None) -> list[str]:
        return [
            broken.rule
            for broken in broken_rules(
                GATEWAY, ImageRequest("a cat", image=b""), {} if facts is None else {"image": facts}
            )
        ]

    @pytest.mark.parametrize("whole", [PNG, JPG], ids=["png", "jpg"])
    @pytest.mark.parametrize("form", ["bytes", "path", "Base64", "data URL"])
    async def test_half_a_picture_breaks_a_rule(self, tmp_path: Path, whole: bytes, form: str) -> None:
        """
        In every form: the service would refuse it, or be paid for what is drawn from half of it.
        """
        half = whole[: len(whole) // 2 // 3 * 3]
        path = tmp_path / "cat"
        path.write_bytes(half)
        encoded = base64.b64encode(half).decode()
        forms: dict[str, FileSource] = {"bytes": half, "path": path, "Base64": encoded, "data URL": as_data_url(half)}

        facts = (await read_reference(forms[form], field="image", max_bytes=MAX)).facts

        assert ["is cut short: its end is missing"] == self.rules(facts)

    async def test_wrong_checksum_breaks_a_rule(self) -> None:
        """
        One bit of the pixels is enough.
        """
        spoiled = bytearray(PNG)
        spoiled[len(PNG) // 2] ^= 1

        facts = (await read_reference(bytes(spoiled), field="image", max_bytes=MAX)).facts

        assert ["is damaged: the checksum of its chunk 'IDAT' is wrong"] == self.rules(facts)

    async def test_all_rules_are_told_at_once(self) -> None:
        """
        That it is too small besides is said with it.
        """
        facts = (await read_reference(drawn("jpeg", (200, 310))[:-10], field="image", max_bytes=MAX)).facts

        assert 2 == len(self.rules(facts))


class TestPath:
    async def test_file_is_read(self, tmp_path: Path) -> None:
        """
        A file gives the same as its bytes.
        """
        path = tmp_path / "cat"
        path.write_bytes(PNG)

        assert await read_reference(PNG, field="image", max_bytes=MAX) == await read_reference(
            path, field="image", max_bytes=MAX
        )

    async def test_huge_file_is_not_read_to_its_end(self, tmp_path: Path) -> None:
        """
        Of a file of 5 GB only as much is read as is needed to know it is too large; its size and sides are still told.
        """
        path = tmp_path / "huge.png"
        with path.open("wb") as file:
            file.write(PNG)
            file.truncate(5 * 10**9)  # sparse: takes no room

        reference = await read_reference(path, field="image", max_bytes=MAX)

        assert Reference("", FileFacts(5 * 10**9, "png", 320, 300)) == reference

    async def test_largest_is_sent(self, tmp_path: Path) -> None:
        """
        A file of exactly the limit is whole; one byte more is not sent.
        """
        path = tmp_path / "cat.png"
        path.write_bytes(PNG)

        assert (await read_reference(path, field="image", max_bytes=len(PNG))).text
        assert not (await read_reference(path, field="image", max_bytes=len(PNG) - 1)).text
        assert not (await read_reference(PNG, field="image", max_bytes=len(PNG) - 1)).text

    async def test_what_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        """
        The refusal names the path and the reason.
        """
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)

        assert f"Path('{tmp_path}/none.png'): must be a file that can be read: No such file" in await refusal(
            tmp_path / "none.png"
        )
        assert "Not a regular file" in await refusal(tmp_path)
        assert "Not a regular file" in await refusal(pipe)
        assert "null" in await refusal(Path("a\0b"))

    async def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A file that may not be read is refused in the words of the system.
        """
        (tmp_path / "cat.png").write_bytes(PNG)

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom no mode stops

        assert "Permission denied" in await refusal(tmp_path / "cat.png")


class TestUrl:
    @pytest.mark.parametrize("url", ["https://a.example/cat.png?sig=1", "HTTP://a.example:81/x", "http://[::1]/x"])
    async def test_sent_as_it_was(self, url: str) -> None:
        """
        A URL is not fetched and not changed.
        """
        assert Reference(url, None) == await read_reference(url, field="image", max_bytes=MAX)

    @pytest.mark.parametrize(
        "url", ["https://", "https:///cat.png", "http://a b/", "http://a.example/\n", "http://[1/"]
    )
    async def test_without_host_refused(self, url: str) -> None:
        """
        A URL must be absolute and have a host.
        """
        assert "must be an absolute URL with a host" in await refusal(url)


class TestText:
    async def test_data_url_loses_its_prefix(self) -> None:
        """
        The service refuses the prefix, so it is taken off.
        """
        expected = await read_reference(PNG, field="image", max_bytes=MAX)

        assert expected == await read_reference(as_data_url(PNG), field="image", max_bytes=MAX)
        assert expected == await read_reference("DATA:;charset=x;BASE64," + expected.text, field="image", max_bytes=MAX)

    async def test_base64_is_sent_in_its_standard_form(self) -> None:
        """
        Wrapped lines, percent-encoding in a data: URL, the URL-safe alphabet and missing padding are all put right.
        """
        content = PNG + b"\xfb\xff\xfe\xff"
        content += b"\0" * (3 - (len(content) + 1) % 3)  # so that Base64 needs padding
        expected = await read_reference(content, field="image", max_bytes=MAX)
        text = expected.text

        assert "+" in text
        assert "/" in text
        assert text.endswith("=")
        for same in (
            text,
            text.rstrip("="),
            base64.encodebytes(content).decode(),
            base64.urlsafe_b64encode(content).decode(),
            "data:image/png;base64,\n" + text[:50] + "\r\n\t" + text[50:],
            "data:image/png;base64," + text.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
        ):
            assert expected == await read_reference(same, field="image", max_bytes=MAX)

    @pytest.mark.parametrize(
        "text", ["cat.png", "pictures/cat", "ftp://a.example/cat", "", " ", "A", "Katze, süß", "QQ==QQ=="]
    )
    async def test_other_text_is_explained(self, text: str) -> None:
        """
        A file's name is not taken for a picture, also where all its letters are of Base64.
        """
        assert "for a file pass a pathlib.Path" in await refusal(text)

    @pytest.mark.parametrize("form", [str, "data:image/png;base64,{}".format], ids=["text", "data URL"])
    async def test_plus_replaced_by_a_space_is_refused(self, form: Callable[[str], str]) -> None:
        """
        As by a form or URL decoder: the picture would be sent with other bytes. Also at the end of a wrapped line.
        """
        text = base64.b64encode(PNG + b"\xfb\xef\xbe" * 76).decode()
        wrapped = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))

        assert "+" in text
        assert wrapped.count("+\n")
        assert 'may have replaced "+"' in await refusal(form(text.replace("+", " ")))
        assert 'may have replaced "+"' in await refusal(form(wrapped.replace("+\n", " \n")))
        assert 'may have replaced "+"' in await refusal(
            form(text.replace("+", "%20")) if form is not str else text + " A"
        )

    async def test_blanks_around_do_not_matter(self) -> None:
        """
        As a copy from a terminal has them.
        """
        text = base64.b64encode(PNG).decode()

        assert await read_reference(PNG, field="image", max_bytes=MAX) == await read_reference(
            f" {text}\r\n ", field="image", max_bytes=MAX
        )

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda text: text[:-3],
            lambda text: text + "=",
            lambda text: text.rstrip("=") + "=",
            lambda text: text + text,
            lambda text: text[: -(len(text) % 4 + 4)] + "A",
        ],
        ids=["cut", "padded once more", "padded too little", "twice", "of no length"],
    )
    async def test_length_of_base64_is_checked(self, spoil: Callable[[str], str]) -> None:
        """
        Padding is complete or absent; and there is one picture.
        """
        text = base64.b64encode(PNG + b"\0" * (1 + -len(PNG) % 3)).decode()

        assert text.endswith("==")
        assert "must be the Base64 of a complete picture; " in await refusal(spoil(text))

    async def test_padding_within_is_refused_at_every_seam(self) -> None:
        """
        Also where one of the pieces ends in which Base64 is read.
        """
        size = input_files._PIECE * 4 // 3
        first = base64.b64encode(PNG + bytes(input_files._PIECE - len(PNG) - 1)).decode()

        assert size == len(first)
        assert first.endswith("=")
        assert "padding in the middle" in await refusal(first + base64.b64encode(PNG).decode())

    @pytest.mark.parametrize("url", ["data:image/png,abc", "data:image/png;base64", "data:"])
    async def test_data_url_must_be_base64(self, url: str) -> None:
        """
        Other encodings of a data: URL are not taken.
        """
        assert "data:image/png;base64,..." in await refusal(url)

    async def test_damaged_data_url(self) -> None:
        """
        What follows the comma must be Base64.
        """
        assert "must be Base64 after the comma" in await refusal("data:image/png;base64," + "!" * 60)

    async def test_picture_of_another_kind_is_left_to_the_rules(self) -> None:
        """
        Base64 of no jpg or png can be read, as bytes can.
        """
        reference = await read_reference(as_data_url(b"GIF89a", "image/gif"), field="image", max_bytes=MAX)
        webp = await read_reference(base64.b64encode(drawn("webp")).decode(), field="image", max_bytes=MAX)

        assert FileFacts(6, None) == reference.facts
        assert webp.facts is not None
        assert webp.facts.kind is None

    async def test_too_large_text_is_not_sent(self) -> None:
        """
        Above the limit the facts speak, and there is nothing that could be sent by mistake.
        """
        reference = await read_reference(as_data_url(PNG), field="image", max_bytes=len(PNG) - 1)

        assert Reference("", FileFacts(len(PNG), "png", 320, 300)) == reference


@pytest.mark.parametrize("thing", [None, 7, object(), ["https://a.example"]])
async def test_wrong_type_is_refused(thing: object) -> None:
    """
    What is no image source at all is refused with a list of what is.
    """
    assert "a binary file object or a Pillow image" in await refusal(thing)


async def test_repr_shows_no_picture_and_no_signature() -> None:
    """
    Neither Base64 nor a URL's query shows in a repr.
    """
    of_bytes = await read_reference(PNG, field="image", max_bytes=MAX)
    of_url = await read_reference("https://a.example/cat.png?sig=secret", field="image", max_bytes=MAX)

    assert of_bytes.text[:40] not in repr(of_bytes)
    assert f"<{len(of_bytes.text)} characters of Base64>" in repr(of_bytes)
    assert "secret" not in repr(of_url)
    assert "a.example/cat.png" in repr(of_url)


@pytest.mark.parametrize("way", ["bytes", "path", "text"])
async def test_the_loop_goes_on_meanwhile(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Reading, decoding and encoding run in a thread: they wait here for something only the loop can do.
    """
    content = PNG + bytes(8 * 1024 * 1024)
    path = tmp_path / "large.png"
    path.write_bytes(content)
    source: Any = {"bytes": content, "path": path, "text": as_data_url(content)}[way]
    loop_went_on = threading.Event()
    seen: list[bool] = []

    def waiting(head: bytes) -> Any:
        seen.append(loop_went_on.wait(5))
        return kind_of(head)

    monkeypatch.setattr(input_files, "kind_of", waiting)
    reading = asyncio.ensure_future(read_reference(source, field="image", max_bytes=MAX))
    await asyncio.sleep(0)
    loop_went_on.set()

    assert len(content) * 4 // 3 <= len((await reading).text)
    assert seen == [True]


async def test_cancelled_reading_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A cancelled reading is cancelled at once; its thread ends by itself, with the file closed.
    """
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    go_on, ended = threading.Event(), threading.Event()
    read = input_files._read

    def slow(*args: Any) -> Any:
        go_on.wait(5)
        try:
            return read(*args)
        finally:
            ended.set()

    monkeypatch.setattr(input_files, "_read", slow)
    reading = asyncio.ensure_future(read_reference(path, field="image", max_bytes=MAX))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    go_on.set()

    assert await asyncio.to_thread(ended.wait, 5)  # an unclosed file would be a ResourceWarning, and so an error


class TestSound:
    @pytest.mark.parametrize("form", ["bytes", "path", "Base64", "data URL"])
    async def test_is_read_as_a_picture_is(self, tmp_path: Path, form: str) -> None:
        """
        In every form; its kind and its length are known.
        """
        path = tmp_path / "sound"
        path.write_bytes(WAV)
        encoded = base64.b64encode(WAV).decode()
        data_url = as_data_url(WAV, "audio/wav")
        forms: dict[str, FileSource] = {"bytes": WAV, "path": path, "Base64": encoded, "data URL": data_url}

        sound = await read_reference(forms[form], field="sound_file", max_bytes=MAX, media="sound")

        assert encoded == sound.text
        assert FileFacts(len(WAV), "wav", seconds=3.0) == sound.facts

    async def test_large_file_still_tells_its_length(self, tmp_path: Path) -> None:
        """
        Its header is enough.
        """
        path = tmp_path / "sound.wav"
        path.write_bytes(WAV)

        assert Reference("", FileFacts(len(WAV), "wav", seconds=3.0)) == await read_reference(
            path, field="sound_file", max_bytes=100, media="sound"
        )

    @pytest.mark.parametrize("source", ["speech.mp3", "sounds/speech", 5])
    async def test_refusal_names_kinds_of_sounds(self, source: Any) -> None:
        """
        And no Pillow image.
        """
        with pytest.raises(InvalidRequest, match=r"Base64 of an mp3, wav, m4a or aac; for a file pass") as caught:
            await read_reference(source, field="sound_file", max_bytes=MAX, media="sound")

        assert "Pillow" not in caught.value.message

    async def test_damaged_base64_is_of_a_sound(self) -> None:
        """
        The message says what should be there.
        """
        text = base64.b64encode(WAV).decode()[:-3]
        with pytest.raises(InvalidRequest, match="must be the Base64 of a complete sound; its length is wrong"):
            await read_reference(text, field="sound_file", max_bytes=MAX, media="sound")
