"""Handlers for Streamer in Python. Run them with `STREAMER_KEY=… uvicorn app:app --port 9000`, and Streamer with

    [remote.signing_keys]
    k1 = "…"

    [actions.greet]
    url = "http://127.0.0.1:9000/greet"

    [actions.count]
    url = "http://127.0.0.1:9000/count"
    body = "envelope"
    takes_ms = 60000
    retries = 3
"""

import asyncio
import json
import os

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from streamer_signature import verified

KEYS = {"k1": os.environ["STREAMER_KEY"]}


async def signed(request: Request) -> None:
    body = await request.body()
    headers = dict(request.headers)
    if not verified(request.method, request.url.path, request.url.query, headers, body, KEYS):
        raise HTTPException(401, "not from Streamer")


app = FastAPI(dependencies=[Depends(signed)])


class Greet(BaseModel):
    name: str


@app.post("/greet")
async def greet(payload: Greet):
    """A plain answer is the result. A payload that does not fit is answered with 422, and its client reads which field."""
    return {"greeting": f"Hello, {payload.name}!"}


class Count(BaseModel):
    to: int = Field(ge=1, le=100_000)
    pause_s: float = Field(default=0.1, ge=0, le=60)


class CountRequest(BaseModel):
    payload: Count
    checkpoint: int | None = None


@app.post("/count")
async def count(request: CountRequest):
    """Streams a record a line. If this process dies, another attempt goes on from the last checkpoint."""

    async def records():
        first = (request.checkpoint or 0) + 1
        for n in range(first, request.payload.to + 1):
            await asyncio.sleep(request.payload.pause_s)  # the work
            yield {"chunk": n, "checkpoint": n, "progress": 100 * n / request.payload.to, "message": f"at {n}"}
        yield {"result": {"counted": request.payload.to}}

    async def lines():
        async for record in records():
            yield json.dumps(record) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
