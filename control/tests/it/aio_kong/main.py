#!/usr/bin/env python3
"""Drives a control plane by aio-kong, a client that others wrote for Kong, and a data plane by requests.

    main.py STORY

STORY is one of the functions that `main` lists. Environment variables say where things are:

  ADMIN, PROXY, PROXY_TLS      URLs of the Admin API and of the data plane
  ORIGIN                       host:port of an origin that echoes requests as JSON
  CERTS                        folder with a.crt, a.key (for a.example), b.crt and b.key (for b.example)
"""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import sys
import time

from declarative import declarative, declarative_with_shown_secrets
from kong.client import Kong
from kong.components import CrudComponent, KongEntity
from surroundings import ADMIN, CERTS, DEADLINE, ORIGIN_HOST, ORIGIN_PORT, PROXY_TLS, Proxy, origin, refused


async def services_and_routes(kong, proxy):
    service = await origin(kong, "orders", tags=["team-a"])
    assert (service.name, service.host, service.protocol) == ("orders", ORIGIN_HOST, "http")
    for key in ("orders", service.id):
        assert (await kong.services.get(key)).data == service.data
    assert await kong.services.has("orders") and not await kong.services.has("absent")
    unnamed = await kong.services.create(host="example.upstream", port=8080)
    assert unnamed.name == "" and unnamed["port"] == 8080

    assert await service.routes.get_list() == []
    route = await service.routes.create(name="orders", paths=["/orders"], methods=["GET"])
    assert route["service"]["id"] == service.id
    await proxy.becomes(200, "/orders")
    for number in range(4):
        await service.routes.create(name=f"more-{number}", paths=[f"/more/{number}"])
    # Page by page. The client repeats the size beside the page that `next` names.
    names = ["more-0", "more-1", "more-2", "more-3", "orders"]
    for routes in (kong.routes, service.routes):
        assert sorted([one.name async for one in routes.paginate(size=2)]) == names
    assert [one.name for one in await kong.services.get_full_list(tags="team-a")] == ["orders"]
    assert len(await kong.services.get_list(size=1)) == 1

    changed = await kong.routes.update("orders", paths=["/changed"])
    assert changed["paths"] == ["/changed"] and changed["methods"] == ["GET"] and changed.id == route.id
    await proxy.becomes(404, "/orders")
    await proxy.becomes(200, "/changed")
    assert (await kong.services.update("orders", path="/below"))["path"] == "/below"
    await kong.routes.update("orders", methods=None)

    message = await refused(409, kong.services.create(name="orders", host="h"))
    assert message["name"] == "unique constraint violation", message
    assert message["fields"] == {"name": "orders"}, message
    message = await refused(400, kong.services.create(name="bad name", port=70000))
    assert message["code"] == 2 and set(message["fields"]) == {"name", "host", "port"}, message
    assert (await refused(404, kong.services.get("absent")))["message"] == "Not found"
    await refused(400, kong.services.create(ensure="remove", host="h"))

    assert await kong.routes.delete("more-0") is True
    await proxy.becomes(404, "/more/0")
    # The client deletes routes and plugins first.
    assert await kong.services.delete("orders") is True
    await proxy.becomes(404, "/changed")
    assert await kong.routes.get_list() == []


async def plugins(kong, proxy):
    service = await origin(kong, "shop")
    route = await service.routes.create(name="shop", paths=["/shop"])
    other = await service.routes.create(name="other", paths=["/other"])
    consumer = await kong.consumers.create(username="jane")
    await consumer.keyauths.create_credentials(data={"key": "janes"})
    key = {"headers": {"apikey": "janes"}}

    async def scope(path, expected, **request):
        await proxy.sends(path, "x-scope", lambda found: found == expected, **request)

    everywhere = await kong.plugins.create(
        name="request-transformer", config={"add": {"headers": ["x-scope:global"]}}
    )
    await scope("/shop", "global")
    change = {"add": {"headers": ["x-scope:service"]}}
    of_service = await service.plugins.create(name="request-transformer", config=change)
    assert of_service["service"]["id"] == service.id and of_service["route"] is None

    await scope("/shop", "service")
    of_route = await route.plugins.create(
        name="request-transformer", config={"add": {"headers": ["x-scope:route"]}}
    )
    await scope("/shop", "route")
    await scope("/other", "service")
    auth = await service.plugins.create(name="key-auth", config={"hide_credentials": True})
    await proxy.becomes(401, "/shop")
    assert "apikey" not in await proxy.sees("/shop", **key)
    of_consumer = await consumer.plugins.create(
        name="request-transformer", config={"add": {"headers": ["x-scope:consumer"]}}
    )
    await scope("/other", "consumer", **key)
    await scope("/shop", "consumer", **key)

    found = await kong.plugins.get_full_list()
    assert len(found) == 5 and len([one for one in found if kong.plugins.root_plugin(one)]) == 1
    of_each = (service, [of_service, auth]), (route, [of_route]), (consumer, [of_consumer]), (other, [])
    for owner, ids in of_each:
        assert {one.id for one in await owner.plugins.get_list()} == {one.id for one in ids}, owner
    # Records of a configuration merge; the client sends what it has as a whole.
    await kong.plugins.update(of_consumer.id, config={"add": {"headers": ["x-scope:again"]}})
    await scope("/other", "again", **key)
    await kong.plugins.update(auth.id, enabled=False)
    await scope("/shop", "route")
    await kong.plugins.delete(of_route.id)
    await scope("/shop", "service")
    await service.plugins.delete_all()
    await scope("/shop", "global")

    # Before some plugins, the client looks up what their configuration names.
    anonymous = await service.plugins.create(name="key-auth", config={"anonymous": "jane"})
    assert anonymous["config"]["anonymous"] == consumer.id
    await scope("/shop", "again")
    termination = await kong.plugins.create(
        name="request-termination", consumer={"id": "jane"}, config={"status_code": 418, "message": "no"}
    )
    assert termination["consumer"]["id"] == consumer.id
    assert json.loads(await proxy.becomes(418, "/shop")) == {"message": "no"}

    message = await refused(400, kong.plugins.create(name="no-such-plugin"))
    assert "plugin 'no-such-plugin' not enabled" in message["fields"]["name"], message
    message = await refused(400, service.plugins.create(name="rate-limiting", config={"minute": "x"}))
    assert message["fields"]["config"] == {"minute": "expected a number"}, message
    message = await refused(409, kong.plugins.create(name="request-transformer"))
    assert message["name"] == "unique constraint violation", message
    await refused(400, consumer.plugins.create(name="key-auth"))
    await kong.plugins.delete_all()
    await proxy.becomes(200, "/shop")
    assert await kong.plugins.get_list() == [] and everywhere.id


async def consumers(kong, proxy):
    service = await origin(kong, "closed")
    route = await service.routes.create(name="closed", paths=["/closed"])
    consumer = await kong.consumers.create(username="test-xx", tags=["a"])
    assert consumer.username == "test-xx" and consumer.get("custom_id") is None
    assert (await kong.consumers.update("test-xx", custom_id="42"))["custom_id"] == "42"
    assert [one.id for one in await kong.consumers.get_list(custom_id="42")] == [consumer.id]

    auth = await route.plugins.create(name="key-auth")
    await proxy.becomes(401, "/closed")
    made = await consumer.keyauths.create()
    assert made["consumer"]["id"] == consumer.id and len(made["key"]) == 32
    headers = await proxy.sees("/closed", headers={"apikey": made["key"]})
    assert (headers["x-consumer-username"], headers["x-consumer-custom-id"]) == ("test-xx", "42")
    assert (await consumer.keyauths.get(made["id"]))["id"] == made["id"]
    # As a form.
    given = await consumer.keyauths.create_credentials(data={"key": "given"})
    await proxy.becomes(200, "/closed", headers={"apikey": "given"})
    await consumer.keyauths.update_credentials(given["id"], data={"key": "changed"})
    await proxy.becomes(401, "/closed", headers={"apikey": "given"})
    await proxy.becomes(200, "/closed", headers={"apikey": "changed"})
    await consumer.keyauths.delete(given["id"])
    await refused(404, consumer.keyauths.delete(given["id"]))
    await proxy.becomes(401, "/closed", headers={"apikey": "changed"})
    assert (await consumer.keyauths.get_or_create())["id"] == made["id"]

    await kong.plugins.delete(auth.id)
    auth = await route.plugins.create(name="basic-auth")
    await consumer.basicauths.create_or_update_credentials({"username": "u", "password": "first"})
    await proxy.becomes(200, "/closed", headers=basic("u", "first"))
    login = await consumer.basicauths.create_or_update_credentials({"username": "u", "password": "second"})
    await proxy.becomes(401, "/closed", headers=basic("u", "first"))
    await proxy.becomes(200, "/closed", headers=basic("u", "second"))
    assert [one["id"] for one in await consumer.basicauths.get_list()] == [login["id"]]

    await kong.plugins.delete(auth.id)
    auth = await route.plugins.create(name="jwt")
    made = await consumer.jwts.create()
    assert made["consumer"]["id"] == consumer.id and made["algorithm"] == "HS256"
    await proxy.becomes(200, "/closed", headers=bearer(made["key"], made["secret"]))
    await proxy.becomes(401, "/closed", headers=bearer(made["key"], "other"))
    assert (await consumer.jwts.get(made["id"]))["key"] == made["key"]
    assert (await consumer.jwts.get_or_create())["id"] == made["id"]
    await consumer.jwts.delete(made["id"])
    await refused(404, consumer.jwts.delete(made["id"]))

    await kong.plugins.delete(auth.id)
    await route.plugins.create(name="key-auth")
    await route.plugins.create(name="acl", config={"allow": ["staff"]})
    key = {"headers": {"apikey": (await consumer.keyauths.create())["key"]}}
    await proxy.becomes(403, "/closed", **key)
    group = await consumer.acls.create(group="staff")
    assert group["group"] == "staff" and group["consumer"]["id"] == consumer.id
    assert (await proxy.sees("/closed", **key))["x-consumer-groups"] == "staff"
    await consumer.acls.create(group="others")
    message = await refused(409, consumer.acls.create(group="others"))
    assert message["name"] == "unique constraint violation", message
    for acls in (kong.acls, consumer.acls):
        assert sorted([one["group"] async for one in acls.paginate(size=1)]) == ["others", "staff"]
    await consumer.acls.delete(group["id"])
    await proxy.becomes(403, "/closed", **key)
    assert await kong.consumers.delete("test-xx") is True
    await proxy.becomes(401, "/closed", **key)
    assert await kong.acls.get_list() == []


def basic(user, password):
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(issuer, secret):
    """With a JWT that is signed by HS256."""
    parts = {"alg": "HS256", "typ": "JWT"}, {"iss": issuer}
    text = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return {"authorization": f"Bearer {text}.{encoded(signature)}"}


def encoded(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


async def upstreams(kong, proxy):
    # The client has no class of its own for them; its general one has their paths.
    everyone = CrudComponent(kong, KongEntity, "upstreams")
    upstream = await everyone.create(name="backend", algorithm="least-connections")
    assert (await everyone.get("backend"))["algorithm"] == "least-connections"
    service = await kong.services.create(name="balanced", host="backend")
    await service.routes.create(paths=["/balanced"])
    await proxy.becomes(503, "/balanced")
    targets = CrudComponent(upstream, KongEntity, "targets")
    target = await targets.create(target=f"{ORIGIN_HOST}:{ORIGIN_PORT}", weight=10)
    assert target["upstream"]["id"] == upstream.id
    await proxy.becomes(200, "/balanced")
    assert [one.id for one in await targets.get_list()] == [target.id]
    health = await kong.execute(f"{upstream.url}/health")
    assert [one["target"] for one in health["data"]] == [target["target"]], health
    assert (await everyone.update("backend", slots=20))["slots"] == 20
    assert await kong.execute(f"{upstream.url}/targets/{target.id}", "delete") is True
    await proxy.becomes(503, "/balanced")
    assert await everyone.delete("backend") is True
    assert await everyone.get_list() == []


async def certificates(kong, proxy):
    service = await origin(kong, "secure")
    await service.routes.create(paths=["/secure"], protocols=["https"])
    first, second = [
        await kong.certificates.create(cert=text(f"{name}.crt"), key=text(f"{name}.key")) for name in "ab"
    ]
    assert first["snis"] == [] and await first.snis.get_list() == []
    wanted = [
        {"name": "a.example", "certificate": {"id": first.id}, "tags": ["foo"]},
        {"name": "b.example", "certificate": {"id": second.id}, "tags": ["one", "two"]},
    ]
    for names in (wanted, wanted[::-1]):
        made = (await kong.apply_json({"snis": names}))["snis"]
        assert [{key: one[key] for key in names[0]} for one in made] == names, made
    assert [one.name for one in await first.snis.get_list()] == ["a.example"]
    assert sorted((await kong.certificates.get(second.id))["snis"]) == ["b.example"]
    for name in "ab":
        await shown(f"{name}.example", f"{name}.crt")

    # The names are exchanged, and each handshake shows the other certificate.
    for one, other in zip(wanted, (second, first)):
        one["certificate"] = {"id": other.id}
    await kong.apply_json({"snis": wanted})
    found = {one.name: one["certificate"]["id"] for one in await kong.snis.get_list()}
    assert found == {"a.example": second.id, "b.example": first.id}, found
    await shown("a.example", "b.crt")
    await shown("b.example", "a.crt")
    message = await refused(400, kong.certificates.create(cert=text("a.crt"), key=text("b.key")))
    assert message["fields"] == {"@entity": ["certificate does not match key"]}, message
    await kong.certificates.delete(first.id)
    assert [one.name for one in await kong.snis.get_list()] == ["a.example"]
    await proxy.becomes(426, "/secure")


async def shown(server_name, file):
    """Waits until a handshake with this name shows the certificate of this file."""
    expected = ssl.PEM_cert_to_DER_cert(text(file))
    context = ssl._create_unverified_context()
    host, port = PROXY_TLS.removeprefix("https://").split(":")
    end = time.monotonic() + DEADLINE
    while True:
        _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=server_name)
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        if found == expected:
            return
        assert time.monotonic() < end, f"{server_name} does not show {file}"


def text(file):
    return (CERTS / file).read_text()


async def everything(kong, proxy):
    for story in (services_and_routes, plugins, consumers, upstreams, certificates, declarative):
        print(story.__name__, flush=True)
        await story(kong, proxy)
        await kong.delete_all()
        for kind in (kong.services, kong.routes, kong.plugins, kong.consumers, kong.certificates, kong.snis):
            assert await kind.get_list() == [], kind


async def main():
    stories = {story.__name__: story for story in (everything, declarative_with_shown_secrets)}
    async with Kong(ADMIN) as kong:
        await stories[sys.argv[1]](kong, Proxy())


asyncio.run(main())
