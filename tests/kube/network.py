"""The network of nodes that share one machine: a namespace each, and a switch that joins them with the machine itself.

Plain `ip` and `tc`, as a person would type them. Names and addresses are fixed, for a run that was killed leaves them
behind and the next one has to find them; so there is one such network on a machine at a time (tests.kube.premises).
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "10.200.0.1"
"""Where the control plane and the cluster's DNS listen: the machine itself, as the nodes see it."""
NAMESPACES = Path("/run/netns")
PREFIX = "rise-"
"""Of every namespace and every cable."""
SWITCH = f"{PREFIX}switch"
PLUG = f"{PREFIX}nodes"
"""The machine's end of its own cable."""


class CommandFailed(Exception):
    """A program of the machine said no; the message holds its words."""


def run(*command: str, timeout: float = 60.0) -> str:
    """What the command prints; raises CommandFailed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        told = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise CommandFailed(f"{' '.join(command)}: exit code {done.returncode}: {told}")
    return done.stdout


@dataclass(frozen=True)
class Place:
    """Where a node is on the network; `number`, from 1, tells places apart."""

    name: str
    number: int

    @property
    def namespace(self) -> str:
        return PREFIX + self.name

    @property
    def address(self) -> str:
        return f"10.200.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        """The addresses of its pods."""
        return f"10.201.{self.number}.0/24"

    @property
    def plug(self) -> str:
        """The switch's end of its cable; the node's is eth0."""
        return f"port{self.number}"

    def inside(self, *command: str) -> tuple[str, ...]:
        return within(self.namespace, *command)


def within(namespace: str, *command: str) -> tuple[str, ...]:
    """The command, in that network. `ip netns exec` would mount another /sys, where kubelet finds no cgroups."""
    return ("nsenter", f"--net={NAMESPACES / namespace}", "--", *command)


def open_network(places: Sequence[Place]) -> None:
    """Everybody reaches everybody, pods by their own addresses. Raises CommandFailed."""
    # The switch is in a namespace too: frames on a bridge of the machine pass its firewall, which may have other plans.
    run("ip", "netns", "add", SWITCH)
    run(*within(SWITCH, "ip", "link", "add", "bridge", "type", "bridge"))
    run(*within(SWITCH, "ip", "link", "set", "bridge", "up"))
    run("ip", "link", "add", PLUG, "type", "veth", "peer", "name", "port0", "netns", SWITCH)
    run(*within(SWITCH, "ip", "link", "set", "port0", "master", "bridge", "up"))
    run("ip", "address", "add", f"{HOST}/24", "dev", PLUG)
    run("ip", "link", "set", PLUG, "up")
    for place in places:
        _plug_in(place)
    for place in places:
        run("ip", "route", "add", place.pods, "via", place.address)
        for other in places:
            if other != place:
                run(*place.inside("ip", "route", "add", other.pods, "via", other.address))


def close_network() -> None:
    """Take all of it away, also what a killed run has left. Cables and routes go with the namespace they end in."""
    # The kernel takes its time to end a namespace, and a cable's name may not be there twice.
    if _plugged_in():
        run("ip", "link", "delete", PLUG)
    for path in sorted(NAMESPACES.glob(f"{PREFIX}*")):
        run("ip", "netns", "delete", path.name)


def shape(place: Place, mbit: float) -> None:
    """Let no more through the node's cable than so many Mbit/s, each way; raises CommandFailed.

    A token bucket delays what is sent, so there is one at either end of the cable.
    """
    rate = ("root", "tbf", "rate", f"{mbit:g}mbit", "burst", "16kb", "latency", "400ms")
    run(*place.inside("tc", "qdisc", "replace", "dev", "eth0", *rate))
    run(*within(SWITCH, "tc", "qdisc", "replace", "dev", place.plug, *rate))


def unshape(place: Place) -> None:
    """The cable at its full speed again; raises CommandFailed where it was not shaped."""
    run(*place.inside("tc", "qdisc", "delete", "dev", "eth0", "root"))
    run(*within(SWITCH, "tc", "qdisc", "delete", "dev", place.plug, "root"))


def cut(place: Place) -> None:
    """Pull the node's cable."""
    run(*within(SWITCH, "ip", "link", "set", place.plug, "down"))


def mend(place: Place) -> None:
    """Plug it in again."""
    run(*within(SWITCH, "ip", "link", "set", place.plug, "up"))


def remains() -> list[str]:
    """What there is of it, by name."""
    return [path.name for path in sorted(NAMESPACES.glob(f"{PREFIX}*"))] + ([PLUG] if _plugged_in() else [])


def _plugged_in() -> bool:
    return Path("/sys/class/net", PLUG).exists()


def _plug_in(place: Place) -> None:
    run("ip", "netns", "add", place.namespace)
    run(*place.inside("ip", "link", "add", "eth0", "type", "veth", "peer", "name", place.plug, "netns", SWITCH))
    run(*within(SWITCH, "ip", "link", "set", place.plug, "master", "bridge", "up"))
    for command in (
        ("ip", "link", "set", "lo", "up"),
        ("ip", "address", "add", f"{place.address}/24", "dev", "eth0"),
        ("ip", "link", "set", "eth0", "up"),
        ("ip", "route", "add", "default", "via", HOST),
        ("sysctl", "-q", "-w", "net.ipv4.ip_forward=1"),
    ):
        run(*place.inside(*command))
