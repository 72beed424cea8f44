"""Where things are, and requests through the data plane."""

import asyncio
import json
import os
import pathlib
import time

import aiohttp
from kong.client import KongResponseError

ADMIN, PROXY, PROXY_TLS = (os.environ[name] for name in ("ADMIN", "PROXY", "PROXY_TLS"))
ORIGIN_HOST, ORIGIN_PORT = os.environ["ORIGIN"].split(":")
CERTS = pathlib.Path(os.environ["CERTS"])
# Of a change's way to the data plane, on a busy machine.
DEADLINE = 20


class Proxy:
    """Requests through the data plane, each over a connection of its own."""

    async def get(self, path, headers=None):
        async with aiohttp.ClientSession() as session, session.get(PROXY + path, headers=headers) as answer:
            return answer.status, await answer.text()

    async def becomes(self, status, path, **request):
        """Waits for an answer with this status, and returns its body."""
        end = time.monotonic() + DEADLINE
        while True:
            found, body = await self.get(path, **request)
            if found == status:
                return body
            assert time.monotonic() < end, f"GET {path} {request}: {found}, not {status}: {body}"
            await asyncio.sleep(0.01)

    async def sees(self, path, **request):
        """The header fields of a request that the origin receives."""
        return json.loads(await self.becomes(200, path, **request))["headers"]

    async def sends(self, path, field, is_expected, **request):
        """Waits until the value of a field that the origin receives, or None, is as expected."""
        end = time.monotonic() + DEADLINE
        while not is_expected(found := (await self.sees(path, **request)).get(field)):
            assert time.monotonic() < end, f"{path}: {field} is {found}"
            await asyncio.sleep(0.01)


async def refused(status, call):
    """The answer to a call that is refused with this status."""
    try:
        done = await call
    except KongResponseError as error:
        assert error.status == status, f"{error.status}, not {status}: {error}"
        return error.message
    raise AssertionError(f"not refused with {status}: {done}")


async def origin(kong, name, **more):
    """A service at the origin."""
    return await kong.services.create(name=name, host=ORIGIN_HOST, port=int(ORIGIN_PORT), **more)
