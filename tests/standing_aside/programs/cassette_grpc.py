"""`cassette_grpc.py ORDER`: calls of grpc.aio that are recorded, then made again within a cassette."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cassetter
import grpc
from common import enable, told
from google.protobuf.wrappers_pb2 import Int32Value

import cachy

served = 0


def answer(request: Any, context: Any) -> Any:
    global served
    served += 1
    return Int32Value(value=served)


server = grpc.server(ThreadPoolExecutor(2))
handlers = {
    "Ask": grpc.unary_unary_rpc_method_handler(answer, Int32Value.FromString, Int32Value.SerializeToString)
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("things.Things", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()


def ask() -> int:
    async def main() -> int:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method = channel.unary_unary(
                "/things.Things/Ask", Int32Value.SerializeToString, Int32Value.FromString
            )
            found: int = (await method(Int32Value())).value
            return found

    return asyncio.run(main())


cachy_first = sys.argv[1] == "cachy first"
enable()
first = ask()
if not cachy_first:
    cachy.disable()
with cassetter.use_cassette("tape.yaml", intercept=["grpc"]):
    if not cachy_first:
        enable()
    inside = [ask(), ask()]
after = ask()
server.stop(None)
told(first=first, inside=inside, after=after)
