"""Names of proxies: clients of Toxiproxy put them in a URL as they are, quoted or not."""

from urllib.parse import quote

from harness.stacks.link import proxy_name


def test_a_name_needs_no_quoting_and_is_that_of_one_link() -> None:
    replicas = ["shop#1", "shop#11", "shop-1#1", "essay_lifecycle#2"]
    names = [proxy_name(replica, other) for replica in replicas for other in ("redis", "shop", "1-redis", "store-1")]
    assert len(set(names)) == len(names)
    assert [name for name in names if quote(name, safe="") != name] == []
    assert proxy_name("shop#1", "redis") == "shop-1.redis"
