"""
A service that generates images: it accepts orders, reports them as server-sent events, gets callbacks, and survives
restarts.

    export KLING_API_KEY=sk-... PUBLIC_URL=https://pictures.example.org  # where Kling reaches this service
    uvicorn fastapi_service:app --no-access-log --timeout-graceful-shutdown 5  # the log would show secret URLs
    curl localhost:8000/pictures --json '{"prompt": "a lighthouse at dusk"}'
    curl -N localhost:8000/pictures/TASK_ID/events
"""

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, cast

import attrs
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from kling_async import CallbackReceiver, ImageRequest, KlingClient, TaskHandle, TaskSnapshot, errors

public_url = os.environ.get("PUBLIC_URL", "http://localhost:8000")
receiver = CallbackReceiver(f"{public_url}/kling", secret=os.environ.get("KLING_CALLBACK_SECRET"))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, KlingClient], None]:
    async with KlingClient(callbacks=receiver) as client:
        yield {"kling": client}


async def _kling(request: Request) -> KlingClient:
    return cast("KlingClient", request.state.kling)


Kling = Annotated[KlingClient, Depends(_kling)]
app = FastAPI(lifespan=lifespan)
app.mount("/kling", receiver.asgi_app)


class Order(BaseModel):
    prompt: str  # the client validates it: it knows the service's rules
    n: int = 1
    aspect_ratio: str | None = None


@app.post("/pictures", status_code=202)
async def take_order(order: Order, client: Kling) -> dict[str, str]:
    handle = await client.submit(ImageRequest(**order.model_dump()))  # waits for free slots
    return {"task_id": handle.task_id}  # all that has to be stored


@app.get("/pictures/{task_id}")
async def show(task_id: str, client: Kling) -> dict[str, Any]:
    return _describe(await client.get(task_id))


@app.get("/pictures/{task_id}/events")
async def follow(task_id: str, client: Kling) -> StreamingResponse:
    handle = client.handle(task_id)  # also for a task from before a restart
    if handle.snapshot is None:
        await client.get(task_id)  # raises TaskNotFound before the response starts
    return StreamingResponse(_events(handle), media_type="text/event-stream")


async def _events(handle: TaskHandle) -> AsyncIterator[str]:
    try:
        async with aclosing(handle.updates()) as updates:
            async for snapshot in updates:
                yield f"event: {snapshot.task_status.name.lower()}\ndata: {json.dumps(_describe(snapshot))}\n\n"
    except errors.KlingError as error:
        yield f"event: error\ndata: {json.dumps(str(error))}\n\n"


def _describe(snapshot: TaskSnapshot) -> dict[str, Any]:
    return {
        "status": snapshot.task_status.name.lower(),
        "message": snapshot.task_status_msg,
        "pictures": [image.url for image in snapshot.task_result.images],
    }


STATUS = {  # the caller's fault, or this service's; everything else is Kling's: 502
    errors.InvalidRequest: 422,
    errors.ContentRefused: 422,
    errors.TaskNotFound: 404,
    errors.NotAuthenticated: 500,
    errors.NotAllowed: 500,
    errors.AccountProblem: 500,
    errors.RateLimited: 503,
}


@app.exception_handler(errors.KlingError)
async def refuse(_: Request, error: errors.KlingError) -> JSONResponse:
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 502)
    broken = error.broken if isinstance(error, errors.InvalidRequest) else ()
    return JSONResponse({"detail": str(error), "broken": [attrs.asdict(rule) for rule in broken]}, status)
