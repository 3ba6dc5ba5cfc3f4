"""Names of pools on the bus: no two are the same, and each says whose jobs it is there for."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rise_contracts.model import Name, Tier
from rise_contracts.tenants import LONGEST, dedicated_on_bus, pool_on_bus, serves

HOME = "rise"
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
BUS_NAME: TypeAdapter[str] = TypeAdapter(Name)


@given(NAMES, NAMES, NAMES)
def test_a_name_fits_the_bus(namespace: str, name: str, home: str) -> None:
    found = pool_on_bus(namespace, name, home)
    assert BUS_NAME.validate_python(found) == found and len(found) <= LONGEST


@given(NAMES, NAMES)
def test_a_pool_of_the_platform_serves_everybody(name: str, namespace: str) -> None:
    found = pool_on_bus(HOME, name, HOME)
    assert serves(found, namespace) and serves(found, None)


@given(NAMES, NAMES, NAMES)
def test_a_pool_of_a_tenant_serves_its_namespace_alone(namespace: str, name: str, other: str) -> None:
    assume(namespace not in (HOME, other))
    found = pool_on_bus(namespace, name, HOME)
    assert serves(found, namespace)
    assert not serves(found, other) and not serves(found, HOME) and not serves(found, None)


@given(NAMES, NAMES, NAMES, NAMES)
def test_no_two_pools_have_one_name(one: str, name: str, other: str, twin: str) -> None:
    assume((one, name) != (other, twin))
    assert pool_on_bus(one, name, HOME) != pool_on_bus(other, twin, HOME)


@given(NAMES, NAMES, NAMES, st.sampled_from(["edge", "device"]))
def test_pods_of_single_jobs_are_a_pool_of_their_namespace(namespace: str, other: str, name: str, tier: Tier) -> None:
    assume(namespace not in (HOME, other))
    found = dedicated_on_bus(namespace, tier, HOME)
    assert BUS_NAME.validate_python(found) == found and len(found) <= LONGEST
    assert serves(found, namespace) and not serves(found, other) and not serves(found, None)
    assert found not in (pool_on_bus(namespace, name, HOME), pool_on_bus(namespace, f"dedicated-{tier}", HOME))
    assert serves(dedicated_on_bus(HOME, tier, HOME), namespace)


def test_nobody_gets_the_name_of_a_pool_by_spelling_it() -> None:
    theirs = pool_on_bus("team-a", "edge", HOME)
    assert theirs.startswith("ns-")
    assert pool_on_bus(HOME, theirs, HOME) != theirs and serves(pool_on_bus(HOME, theirs, HOME), None)
    assert pool_on_bus("team-b", theirs, HOME) != theirs
