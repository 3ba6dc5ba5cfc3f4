"""What may not be written, with the words that say so: the same cases for the models and for a real API server."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Spec = Mapping[str, Any]

BASES: Mapping[str, Spec] = {
    "RelayJob": {"prompt": "a red circle"},
    "ModelFamily": {"base": {"builtin": "rise-shapes"}, "members": [{"name": "large"}, {"name": "small"}]},
    "StagePool": {"tier": "edge"},
}
"""The least that each kind needs."""


def written(kind: str, name: str = "mine", **spec: Any) -> dict[str, Any]:
    """A manifest of the least that is needed, and `spec` over it."""
    least = copy.deepcopy(dict(BASES[kind]))
    return {"apiVersion": "rise-relay.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": {**least, **spec}}


@dataclass(frozen=True)
class Refusal:
    """`told` is a part of the API server's message. `everywhere`: the models refuse it too."""

    case: str
    kind: str
    told: str
    spec: Spec = field(default_factory=dict)
    name: str = "mine"
    everywhere: bool = True

    def __str__(self) -> str:
        return f"{self.kind}: {self.case}".replace(" ", "-")

    @property
    def manifest(self) -> dict[str, Any]:
        return written(self.kind, self.name, **self.spec)


def stage(member: str = "large", until: float | None = None) -> dict[str, Any]:
    return {"member": member, "steps": 4} | ({} if until is None else {"untilSigma": until})


def fixed(*stages: Spec, **more: Any) -> Spec:
    return {"relay": {"mode": "Fixed", "stages": list(stages)}, **more}


def relays(*several: tuple[str, list[Spec]]) -> Spec:
    return {"relays": [{"name": name, "stages": stages} for name, stages in several]}


EVERY_BUT_LAST = "every stage but the last needs untilSigma"
FALLS = "untilSigma must fall from stage to stage"
NAMES_OF_LABELS = "must be names of labels: letters, digits"
WHOLE = "accelerators cannot be shared"
ON_VOLUME = "path must lie on the model volume of the pools"

BY_RULES_OF_JOBS = (
    Refusal("long name", "RelayJob", "has at most 63 characters", name="x" * 64),
    Refusal(
        "key is no label", "RelayJob", f"keys of deviceSelector {NAMES_OF_LABELS}", {"deviceSelector": {"a b": "c"}}
    ),
    Refusal("too many frames", "RelayJob", "images times frames must be at most 1024", {"images": 16, "frames": 65}),
    Refusal("steps differ", "RelayJob", "or be what its stages add up to", fixed(stage(), steps=5)),
    Refusal("auto with stages", "RelayJob", "stages are only for mode Fixed", {"relay": {"stages": [stage()]}}),
    Refusal("fixed without stages", "RelayJob", "mode Fixed needs at least one stage", fixed()),
    Refusal("no sigma before the last", "RelayJob", EVERY_BUT_LAST, fixed(stage(), stage("small"))),
    Refusal("sigma of the last", "RelayJob", "and the last has none", fixed(stage(until=1.5))),
    Refusal("sigma of the last alone", "RelayJob", EVERY_BUT_LAST, fixed(stage(), stage(until=1.5))),
    Refusal("sigma rises", "RelayJob", FALLS, fixed(stage(until=1.5), stage("b", 2.5), stage("c"))),
    Refusal("sigma stays", "RelayJob", FALLS, fixed(stage(until=1.5), stage("b", 1.5), stage("c"))),
)
BY_RULES_OF_FAMILIES = (
    Refusal("long name", "ModelFamily", "has at most 63 characters", name="x" * 64),
    Refusal("name with dots", "ModelFamily", "a ModelFamily has no dots in it", name="sd.15"),
    Refusal("same members", "ModelFamily", "names of members must differ", {"members": [{"name": "a"}, {"name": "a"}]}),
    Refusal("unknown member", "ModelFamily", "relays may only name members", relays(("fast", [stage("x")]))),
    Refusal(
        "same relays", "ModelFamily", "names of relays must differ", relays(("fast", [stage()]), ("fast", [stage()]))
    ),
    Refusal("frames of pictures", "ModelFamily", "defaultFrames is for videos", {"defaultFrames": 9}),
    Refusal("no sigma in a relay", "ModelFamily", EVERY_BUT_LAST, relays(("fast", [stage(), stage("small")]))),
    Refusal(
        "sigma rises in a relay",
        "ModelFamily",
        FALLS,
        relays(("fast", [stage(until=1.0), stage("small", 2.0), stage("small")])),
    ),
    Refusal("no source", "ModelFamily", "exactly one of builtin, path and hub", {"base": {}}),
    Refusal(
        "two sources", "ModelFamily", "exactly one of builtin, path and hub", {"base": {"path": "a", "hub": "a/b"}}
    ),
    Refusal("revision of a path", "ModelFamily", "hub sources only", {"base": {"path": "a", "revision": "main"}}),
    Refusal("path above", "ModelFamily", ON_VOLUME, {"base": {"path": "a/../../b"}}, everywhere=False),
    Refusal("path of a home", "ModelFamily", ON_VOLUME, {"tinyVae": {"path": "~/taesd"}}, everywhere=False),
    Refusal(
        "two sources of a member",
        "ModelFamily",
        "exactly one of builtin, path and hub",
        {"members": [{"name": "large", "source": {"path": "a", "builtin": "rise-shapes"}}]},
    ),
)
BY_RULES_OF_POOLS = (
    Refusal("long name", "StagePool", "has at most 40 characters", name="x" * 41),
    Refusal("name with dots", "StagePool", "a StagePool has no dots in it", name="edge.1"),
    Refusal(
        "another tier", "StagePool", "another rise-relay.io/tier", {"nodeSelector": {"rise-relay.io/tier": "device"}}
    ),
    Refusal("label of the operator", "StagePool", "label node of workers is set by", {"labels": {"node": "a"}}),
    Refusal("same members", "StagePool", "members must differ", {"members": ["large", "large"]}),
    Refusal(
        "node key is no label", "StagePool", f"keys of nodeSelector {NAMES_OF_LABELS}", {"nodeSelector": {"-a": ""}}
    ),
    Refusal("key is no label", "StagePool", f"keys of labels {NAMES_OF_LABELS}", {"labels": {"a/b/c": ""}}),
    Refusal(
        "exists with value", "StagePool", "Exists has no value", {"tolerations": [{"operator": "Exists", "value": ""}]}
    ),
    Refusal("equal without key", "StagePool", "Equal needs a key", {"tolerations": [{"value": "yes"}]}),
    Refusal(
        "seconds of another effect",
        "StagePool",
        "tolerationSeconds is for effect NoExecute only",
        {"tolerations": [{"key": "gpu", "effect": "NoSchedule", "tolerationSeconds": 9}]},
    ),
    Refusal("request without limit", "StagePool", WHOLE, {"resources": {"requests": {"nvidia.com/gpu": 1}}}),
    Refusal(
        "request below limit",
        "StagePool",
        WHOLE,
        {"resources": {"requests": {"amd.com/gpu": 1}, "limits": {"amd.com/gpu": "2"}}},
    ),
    Refusal(
        "request of no name", "StagePool", f"keys of requests {NAMES_OF_LABELS}", {"resources": {"requests": {"": "1"}}}
    ),
    Refusal(
        "limit of no name", "StagePool", f"keys of limits {NAMES_OF_LABELS}", {"resources": {"limits": {"a b": "1"}}}
    ),
    *(
        Refusal(
            f"mount at {path}",
            "StagePool",
            "mountPath must not be in /tmp",
            {"modelVolume": {"claimName": "models", "mountPath": path}},
        )
        for path in ("/tmp", "/tmp/models", "/models/../etc")
    ),
)
BY_RULES = (*BY_RULES_OF_JOBS, *BY_RULES_OF_FAMILIES, *BY_RULES_OF_POOLS)
"""What the rules refuse that look at one object."""

BY_BOUNDS = (
    Refusal("no prompt", "RelayJob", "spec.prompt", {"prompt": ""}),
    Refusal("blank prompt", "RelayJob", "spec.prompt", {"prompt": " \t"}),
    Refusal("long prompt", "RelayJob", "may not be more than 1000", {"prompt": "é" * 1001}),
    Refusal("odd width", "RelayJob", "should be a multiple of 8", {"width": 100}),
    Refusal("huge height", "RelayJob", "less than or equal to 4096", {"height": 4104}),
    Refusal("too many images", "RelayJob", "less than or equal to 16", {"images": 17}),
    Refusal("too many steps", "RelayJob", "less than or equal to 200", {"steps": 201}),
    Refusal("negative seed", "RelayJob", "greater than or equal to 0", {"seed": -1}),
    Refusal("seed of 64 bits", "RelayJob", "must be of type integer", {"seed": 2**63}),
    Refusal("preference above 1", "RelayJob", "less than or equal to 1", {"preference": 1.01}),
    Refusal("deadline at once", "RelayJob", "should be greater than 0", {"startDeadlineSeconds": 0}),
    Refusal("placement", "RelayJob", 'supported values: "Warm", "Dedicated"', {"placement": "Cold"}),
    Refusal("manager without domain", "RelayJob", "spec.managedBy", {"managedBy": "somebody"}),
    Refusal("label of spaces", "RelayJob", "spec.deviceSelector.owner", {"deviceSelector": {"owner": "a b"}}),
    Refusal("long label", "RelayJob", "may not be more than 63", {"deviceSelector": {"owner": "a" * 64}}),
    Refusal("many labels", "RelayJob", "at most 64", {"deviceSelector": {f"k{i}": "" for i in range(65)}}),
    Refusal("nine stages", "RelayJob", "at most 8", fixed(*(stage(until=9.0 - i) for i in range(8)), stage())),
    Refusal("sigma zero", "RelayJob", "should be greater than 0", fixed(stage(until=0.0), stage("small"))),
    Refusal("no members", "ModelFamily", "at least 1", {"members": []}),
    Refusal("hub id", "ModelFamily", "spec.base.hub", {"base": {"hub": "a/b/c"}}),
    Refusal("handoff at zero", "ModelFamily", "should be greater than 0", {"handoffs": [1.0, 0.0]}),
    Refusal(
        "digest",
        "ModelFamily",
        "digest",
        {"latent": {"channels": 4, "downscale": 8, "scalingFactor": 1, "digest": "x"}},
    ),
    Refusal("tier", "StagePool", 'supported values: "edge", "device"', {"tier": "cloud"}),
    Refusal("too many replicas", "StagePool", "less than or equal to 10000", {"replicas": 10001}),
    Refusal("amount", "StagePool", "spec.resources.limits.memory", {"resources": {"limits": {"memory": "24 GB"}}}),
    Refusal("negative amount", "StagePool", "greater than or equal to 0", {"resources": {"limits": {"cpu": -1}}}),
    Refusal("relative mount", "StagePool", "mountPath", {"modelVolume": {"claimName": "a", "mountPath": "models"}}),
    Refusal("secret's name", "StagePool", "spec.hubTokenSecret", {"hubTokenSecret": "My Secret"}),
    Refusal("image of spaces", "StagePool", "spec.image", {"image": "a b"}),
)
"""What the bounds of single fields refuse."""

ACCEPTED = (
    written("RelayJob"),
    written(
        "RelayJob", seed=2**63 - 1, width=4096, height=8, images=16, frames=64, preference=1, startDeadlineSeconds=0.5
    ),
    written("RelayJob", prompt="é" * 1000, deviceSelector={"rise-relay.io/owner": "ada", "x": ""}, backoffLimit=0),
    written("RelayJob", **fixed(stage(until=2), stage("b", 1.5), stage("c"), steps=12)),
    written("RelayJob", **fixed(*(stage(until=9.0 - i) for i in range(7)), stage())),
    written("RelayJob", managedBy="kueue.x-k8s.io/multikueue", idempotencyKey="k" * 128, suspend=True),
    written("ModelFamily", name="x" * 63, handoffs=[4, 0.5], **relays(("fast", [stage(until=1), stage("small")]))),
    written("ModelFamily", base={"hub": "owner/name", "revision": "main"}, architecture="wan", defaultFrames=81),
    written("ModelFamily", base={"path": "/models/..a/b"}, tinyVae={"path": "models/taesd"}),
    written("StagePool", name="x" * 40, replicas=0, members=["large", "small"]),
    written(
        "StagePool", resources={"limits": {"nvidia.com/gpu": 1}, "requests": {"nvidia.com/gpu": "1", "cpu": "500m"}}
    ),
    written("StagePool", nodeSelector={"rise-relay.io/tier": "edge"}, labels={"owner": "ada"}),
    written(
        "StagePool", tolerations=[{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 0}]
    ),
    written("StagePool", modelVolume={"claimName": "models", "mountPath": "/tmpfs/models"}),
)
"""What both take, much of it at its bounds."""


@dataclass(frozen=True)
class Change:
    """A field from one value to another; None: it was not there before."""

    kind: str
    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.kind}.{self.field}"

    @property
    def told(self) -> str:
        return f"{self.field} cannot be changed once the {self.kind} is made"


FORBIDDEN_CHANGES = (
    Change("RelayJob", "family", "rise-shapes", "sd15"),
    Change("RelayJob", "prompt", "a red circle", "a blue circle"),
    Change("RelayJob", "negativePrompt", "", "blur"),
    Change("RelayJob", "seed", None, 7),
    Change("RelayJob", "width", 64, 72),
    Change("RelayJob", "height", 64, None),
    Change("RelayJob", "images", 1, 2),
    Change("RelayJob", "frames", None, 9),
    Change("RelayJob", "steps", 12, 13),
    Change("RelayJob", "guidanceScale", 1.0, 1.5),
    Change("RelayJob", "preference", 0.5, 0.6),
    Change("RelayJob", "relay", None, {"mode": "Fixed", "stages": [stage()]}),
    Change("RelayJob", "deviceSelector", {"owner": "ada"}, {"owner": "eve"}),
    Change("RelayJob", "placement", "Warm", "Dedicated"),
    Change("RelayJob", "startDeadlineSeconds", None, 60),
    Change("RelayJob", "activeDeadlineSeconds", 60, None),
    Change("RelayJob", "backoffLimit", 3, 4),
    Change("RelayJob", "idempotencyKey", "a", "b"),
    Change("RelayJob", "managedBy", None, "kueue.x-k8s.io/multikueue"),
    Change("ModelFamily", "architecture", "sd", "sdxl"),
    Change("StagePool", "tier", "edge", "device"),
    Change("StagePool", "family", None, "sd15"),
)
"""What the rules refuse that look at the old object too."""

ALLOWED_CHANGES = (
    Change("RelayJob", "suspend", False, True),
    Change("RelayJob", "ttlSecondsAfterFinished", None, 60),
    Change("RelayJob", "ttlSecondsAfterFinished", 60, None),
    Change("RelayJob", "relay", None, {"mode": "Auto", "stages": []}),
    Change("StagePool", "replicas", 1, 2),
    Change("StagePool", "image", None, "registry.example/rise-stage:2"),
    Change("ModelFamily", "handoffs", [2.0], [2.0, 1.0]),
)
