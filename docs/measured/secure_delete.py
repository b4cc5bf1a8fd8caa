"""How long JetStream takes to delete messages securely, and plainly (ADR 0038).

    python3 docs/measured/secure_delete.py NATS_URL     a server without anything that matters, with JetStream

Needs nats-py. Makes the stream SECURE_DELETE and deletes it.
"""

import asyncio
import json
import random
import sys
import time

import nats

MESSAGES, OURS = 40_000, 2_000


async def main(url):
    client = await nats.connect(url)

    async def ask(subject, **body):
        answer = json.loads((await client.request(f"$JS.API.{subject}", json.dumps(body).encode(), timeout=120)).data)
        assert "error" not in answer, answer
        return answer

    for name, no_erase, at_once in [("secure", False, 1), ("secure", False, 64), ("plain", True, 1)]:
        await ask("STREAM.CREATE.SECURE_DELETE", name="SECURE_DELETE", subjects=["secure.delete.>"], storage="file")
        try:
            for number in range(MESSAGES):
                chat = 9 if number % (MESSAGES // OURS) == 0 else random.randrange(10, 5_000)
                await client.publish(f"secure.delete.{chat}", b"x" * 220, headers={"ce-id": f"0190{number:032}"})
                if number % 1_000 == 999:
                    await ask("STREAM.INFO.SECURE_DELETE")
            turn = asyncio.Semaphore(at_once)

            async def delete(position):
                async with turn:
                    await ask("STREAM.MSG.DELETE.SECURE_DELETE", seq=position, no_erase=no_erase)

            begun = time.monotonic()
            await asyncio.gather(*(delete(1 + mine * (MESSAGES // OURS)) for mine in range(OURS)))
            took = time.monotonic() - begun
            print(f"{OURS} {name} deletions, {at_once} at once: {took:.1f} s, {took / OURS * 1e3:.2f} ms each")
        finally:
            await ask("STREAM.DELETE.SECURE_DELETE")
    await client.close()


asyncio.run(main(sys.argv[1]))
