# An echo server of python3-websockets. Arguments: "deflate" or "plain", and for wss the files of a certificate and its key.
import asyncio
import ssl
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
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[2], sys.argv[3])
    async with websockets.serve(echo, "127.0.0.1", 0, ssl=tls, compression=compression, max_size=None, subprotocols=["chat"]) as s:
        print("port", s.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
