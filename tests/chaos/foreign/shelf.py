"""A server of a kind that the harness does not know: whoever puts a word on the shelf hears whether it is new there.

    PUT word     NEW or OLD
    SIZE         SIZE and how many words there are

Words are in a file, so that they outlive the process.
"""

import asyncio
import signal
import sys
from pathlib import Path


async def main(port: int, file: Path, words: set[str]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode().split():
            if line[0] == "PUT" and line[1] not in words:
                words.add(line[1])
                with file.open("a") as shelf:
                    shelf.write(f"{line[1]}\n")
                writer.write(b"NEW\n")
            else:
                writer.write(b"OLD\n" if line[0] == "PUT" else f"SIZE {len(words)}\n".encode())
            await writer.drain()
        writer.close()

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        await ended.wait()


if __name__ == "__main__":
    kept = Path(sys.argv[2])
    asyncio.run(main(int(sys.argv[1]), kept, set(kept.read_text().split()) if kept.exists() else set()))
