"""
Files of every kind in the one list of the vendor's new standard.
"""

from kling_async.wire.codec import read_task
from kling_async.wire.tasks import Audio, Image, TaskOutput, Video


def test_outputs_are_sorted_by_their_type() -> None:
    """
    Each output is a file of its kind, in the order of its kind; sounds have the names of the new standard.
    """
    outputs = [
        {"type": "video", "id": "7", "url": "https://x.example/0.mp4", "duration": "5.041"},
        {"type": "audio", "id": "8", "mp3_url": "https://x.example/0.mp3", "wav_url": "https://x.example/0.wav",
         "mp3_duration": "3.0"},
        {"type": "image", "url": "https://x.example/0.png"},
        {"type": "video", "url": "https://x.example/1.mp4"},
        {"type": "hologram", "url": "https://x.example/0.holo"},
        "https://x.example/alone.png",
    ]  # fmt: skip

    assert (
        TaskOutput(
            images=(Image(0, "https://x.example/0.png"), Image(1, "https://x.example/alone.png")),
            videos=(
                Video(0, "https://x.example/0.mp4", id="7", duration=5.041),
                Video(1, "https://x.example/1.mp4"),
            ),
            audios=(Audio(0, "https://x.example/0.mp3", "https://x.example/0.wav", "8", 3.0),),
        )
        == read_task({"id": "1", "status": "succeeded", "outputs": outputs}).task_result
    )
