"""Whole configurations in the form of the client."""

from kong.client import KongError, KongResponseError
from kong.components import CrudComponent, KongEntity
from surroundings import ORIGIN_HOST, ORIGIN_PORT, refused


def configuration():
    """A configuration in the form of the client."""
    return {
        "consumers": [
            {
                "username": "ann",
                "custom_id": "7",
                "groups": ["staff", "admins"],
                "auths": [
                    {"type": "key-auth", "config": {"key": "anns"}},
                    {"type": "basic-auth", "config": {"username": "ann", "password": "pass"}},
                ],
            }
        ],
        "services": [
            {
                "name": "declared",
                "host": "origin.internal",
                "port": 80,
                "plugins": [{"name": "key-auth", "config": {"key_names": ["x-key"]}}],
                "routes": [
                    {
                        "name": "declared",
                        "paths": ["/declared"],
                        "plugins": [
                            {"name": "acl", "config": {"allow": ["admins"]}},
                            {"name": "response-transformer", "config": {"add": {"headers": ["x-a:1"]}}},
                        ],
                    },
                    {"name": "second", "paths": ["/second"]},
                ],
            }
        ],
        "plugins": [{"name": "correlation-id", "config": {"header_name": "x-id"}}],
    }


async def declarative(kong, proxy):
    await at_origin(kong)
    await kong.apply_json(configuration())
    key = {"headers": {"x-key": "anns"}}
    # The client writes plugins of everything last.
    await proxy.sends("/declared", "x-id", lambda found: found, **key)
    assert (await proxy.sees("/declared", **key))["x-consumer-username"] == "ann"
    await proxy.becomes(401, "/second")
    service = await kong.services.get("declared")
    ids = service.id, {one.name: one.id for one in await service.plugins.get_list()}

    # Again: an API key is hidden, so that the client creates it again, as any that it does not know.
    again = configuration()
    hidden = again["consumers"][0]["auths"].pop(0)
    await kong.apply_json(again)
    again["consumers"][0]["auths"] = [hidden]
    message = await refused(409, kong.apply_json(again))
    assert message["name"] == "unique constraint violation", message
    again["consumers"][0]["auths"] = []
    service = await kong.services.get("declared")
    assert ids == (service.id, {one.name: one.id for one in await service.plugins.get_list()})
    await proxy.becomes(200, "/declared", **key)
    consumer = await kong.consumers.get("ann")
    assert len(await consumer.basicauths.get_list()) == len(await consumer.keyauths.get_list()) == 1

    # What the file no longer names is removed.
    again["consumers"][0]["groups"] = ["staff"]
    declared = again["services"][0]
    declared["routes"].pop()
    declared["routes"][0]["plugins"][0]["config"] = {"allow": ["staff"]}
    declared["routes"][0]["plugins"].pop()
    again["plugins"] = []
    await kong.apply_json(again)
    assert [one["group"] for one in await consumer.acls.get_list()] == ["staff"]
    await proxy.becomes(404, "/second")
    await proxy.sends("/declared", "x-id", lambda found: not found, **key)
    routes = await service.routes.get_list()
    assert [one.name for one in routes] == ["declared"]
    assert [one["name"] for one in await routes[0].plugins.get_list()] == ["acl"]
    await kong.apply_json({"plugins": [{"name": "cors"}]})
    await kong.apply_json({"plugins": []}, clear=False)
    assert [one["name"] for one in await kong.plugins.get_list() if kong.plugins.root_plugin(one)] == ["cors"]

    for _ in range(2):
        await kong.apply_json({"services": [{"name": "declared", "ensure": "absent"}]})
        assert not await kong.services.has("declared")
    await proxy.becomes(404, "/declared", **key)
    for wrong in ({"services": ["x"]}, {"consumers": [{"groups": []}]}, {"plugins": [{"config": {}}]}):
        try:
            await kong.apply_json(wrong)
            raise AssertionError(wrong)
        except KongError as error:
            assert not isinstance(error, KongResponseError), error


async def declarative_with_shown_secrets(kong, proxy):
    """Where the operator wants secrets to be shown, the client recognises API keys."""
    await at_origin(kong)
    for _ in range(2):
        await kong.apply_json(configuration())
        await proxy.becomes(200, "/declared", headers={"x-key": "anns"})
    consumer = await kong.consumers.get("ann")
    assert [one["key"] for one in await consumer.keyauths.get_list()] == ["anns"]
    made = await consumer.jwts.create()
    for found in (await consumer.jwts.get(made["id"]), await consumer.jwts.get_or_create()):
        assert found.data == made.data


async def at_origin(kong):
    """An upstream of the origin: the client replaces the address of loopback by another of the machine."""
    upstream = await CrudComponent(kong, KongEntity, "upstreams").create(name="origin.internal")
    await CrudComponent(upstream, KongEntity, "targets").create(target=f"{ORIGIN_HOST}:{ORIGIN_PORT}")
