# An echo server of python3-websockets. Arguments: "deflate" or "plain".
import asyncio
import sys

import websockets


async def echo(c):
    try:
        async for m in c:
            await c.send(m)
    finally:
        print("closed", c.close_code, c.close_reason, flush=True)


async def main():
    compression = "deflate" if sys.argv[1] == "deflate" else None
    async with websockets.serve(echo, "127.0.0.1", 0, compression=compression, max_size=None, subprotocols=["chat"]) as s:
        print("port", s.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
