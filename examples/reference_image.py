"""
Generate an image from a reference image, which is read outside the event loop and validated before anything is sent.

    export KLING_API_KEY=sk-...
    python reference_image.py cat.jpg "the cat as an astronaut" pictures/
"""

import asyncio
import sys
from pathlib import Path

from kling_async import ImageReference, ImageRequest, KlingClient, Model
from kling_async.errors import InvalidRequest


async def main(reference: Path, prompt: str, folder: Path) -> None:
    request = ImageRequest(
        prompt,
        image=reference,
        image_reference=ImageReference.SUBJECT,  # or FACE: the image must show exactly one
        image_fidelity=0.6,  # 0 to 1: how strongly the reference shapes the result
        model_name=Model.V1_5,  # services differ in which models accept a reference
    )
    async with KlingClient() as client:
        try:
            result = await client.generate(request)
        except InvalidRequest as error:  # lists all broken rules
            for broken in error.broken:
                print(f"{broken.field} {broken.rule}", file=sys.stderr)
            sys.exit(f"refused, nothing was paid: {error}")
        for path in await client.save(result, folder):
            print(path)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
