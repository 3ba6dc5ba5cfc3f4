"""Rise on Kubernetes: RelayJobs, ModelFamilies and StagePools, brought to what their manifests say.

Handlers (kopf) feed what is observed to pure plans, whose actions one dull module applies. The work itself is done
by the job driver of `rise_runtime`: this package adds Kubernetes to it and nothing else.
"""
