# A client of python3-websockets for an echo server. Arguments: the URL, "deflate" or "plain", and for wss the file of the
# server's certificate. Its last line is "ok".
import asyncio
import ssl
import sys

import websockets


async def main():
    compression = "deflate" if sys.argv[2] == "deflate" else None
    tls = {"ssl": ssl.create_default_context(cafile=sys.argv[3])} if len(sys.argv) > 3 else {}
    async with websockets.connect(sys.argv[1], **tls, compression=compression, max_size=None, subprotocols=["other", "chat"]) as c:
        assert c.subprotocol == "chat", c.subprotocol
        assert (len(c.extensions) == 1) == (compression is not None), c.extensions
        pong = await c.ping("are you there?")
        await asyncio.wait_for(pong, 20)
        messages = [b"", "", "hello", "κόσμε \U0001f600", bytes(range(256))]
        for n in [125, 126, 127, 65535, 65536, 1 << 20]:
            messages += ["x" * n, bytes([n & 255]) * n]
        for m in messages:
            await c.send(m)
            assert await asyncio.wait_for(c.recv(), 20) == m
        await c.send(["frag", "", "ment"])
        assert await asyncio.wait_for(c.recv(), 20) == "fragment"
        await c.close(4000, "enough")
        assert c.close_code == 4000, c.close_code
    print("ok")


asyncio.run(main())
