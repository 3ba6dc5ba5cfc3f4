"""The family and the pools that an installation brings along, made before the operator starts.

Helm cannot make objects of kinds that it defines in the same installation, and would not wait for these to be served.
So the chart writes each manifest into a ConfigMap, and an init container of the operator applies them: ``python -m
rise_operator.defaults CONFIGMAP …``. It runs whenever a pod of the operator starts, so it applies a manifest once: what
somebody has changed since stays, as with Helm, until the manifest changes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import yaml

from rise_contracts.errors import InvalidInput, NotFound, RiseError, Waited
from rise_operator.api import MODEL_FAMILIES, STAGE_POOLS, Api, ApiError, Kind, Object, connected
from rise_operator.pools.pods import digest
from rise_runtime import telemetry
from rise_runtime.signals import leave

log = logging.getLogger(__name__)

CONFIG_MAPS: Final = Kind("v1", "configmaps")
MANIFEST: Final = "manifest.yaml"
APPLIED: Final = "rise-relay.io/applied"
"""An annotation: the digest of the manifest that was applied last."""
KINDS: Final = {"ModelFamily": MODEL_FAMILIES, "StagePool": STAGE_POOLS}
PATIENCE_S: Final = 60.0
"""For the definitions to be served: they were made a moment ago."""
AGAIN_S: Final = 1.0


def manifest_of(config_map: Object) -> Object:
    """The object to apply; one with a namespace belongs to its ConfigMap and goes with it. Raises InvalidInput."""
    meta = config_map["metadata"]
    where = f"ConfigMap {meta['namespace']}/{meta['name']}"
    body: Any = yaml.safe_load((config_map.get("data") or {}).get(MANIFEST, ""))
    kind = body.get("kind") if isinstance(body, dict) else None
    if kind not in KINDS:
        raise InvalidInput(where, f"a {' or '.join(KINDS)} under {MANIFEST}", kind)
    made: Object = {**body, "metadata": {**body["metadata"]}}
    if KINDS[kind].namespaced:
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"]}
        made["metadata"] |= {"namespace": meta["namespace"], "ownerReferences": [owner]}
    annotations = made["metadata"].get("annotations") or {}
    made["metadata"]["annotations"] = {**annotations, APPLIED: digest(made)}
    return made


async def bring(api: Api, namespace: str, names: Sequence[str], patience_s: float = PATIENCE_S) -> None:
    """Apply the manifest of each ConfigMap, one after the other.

    Raises NotFound and InvalidInput for a ConfigMap that is not there or holds something else, ApiError where the API
    server refuses, and Waited where it does not know the kinds after `patience_s`.
    """
    for name in names:
        found = await api.get(CONFIG_MAPS, namespace, name)
        if found is None:
            raise NotFound("ConfigMap", f"{namespace}/{name}", "it belongs to the chart; helm upgrade makes it anew")
        body = manifest_of(found)
        try:
            async with asyncio.timeout(patience_s):
                await _apply(api, body)
        except TimeoutError:
            hint = "are the definitions there? kubectl apply -f crds/, or Helm with crds.install=true"
            raise Waited(f"the {body['kind']} {body['metadata']['name']}", patience_s, hint) from None


async def _apply(api: Api, body: Object) -> None:
    """Unless it was applied before; as soon as its kind is served."""
    kind, meta = KINDS[body["kind"]], body["metadata"]
    what = f"{body['kind']} {meta['name']}"
    while True:
        try:
            there = await api.get(kind, meta.get("namespace"), meta["name"])
            if (
                there is not None
                and (there["metadata"].get("annotations") or {}).get(APPLIED) == meta["annotations"][APPLIED]
            ):
                log.info("%s was made from this manifest already", what)
                return
            await api.apply(kind, meta.get("namespace"), meta["name"], body)
        except ApiError as error:
            if error.status != 404 and not error.retriable:
                raise
            log.info("%s cannot be made yet, trying again: %s", what, error)
            await asyncio.sleep(AGAIN_S)
        else:
            log.info("%s is as the chart has it", what)
            return


async def run(names: Sequence[str], namespace: str, kubeconfig: str) -> None:
    async with connected(kubeconfig) as api:
        await bring(api, namespace, names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Apply and end; the exit code."""
    parser = argparse.ArgumentParser(prog="rise_operator.defaults", description="Makes what an installation brings.")
    parser.add_argument("names", nargs="+", metavar="CONFIGMAP", help=f"with a manifest under {MANIFEST}")
    try:
        telemetry.configure_logging()
        given = parser.parse_args(arguments)
        namespace, kubeconfig = os.environ.get("RISE_NAMESPACE", "default"), os.environ.get("RISE_KUBECONFIG", "")
        asyncio.run(run(given.names, namespace, kubeconfig))
    except RiseError as error:
        sys.stderr.write(f"rise_operator.defaults: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    leave(main())
