"""Services that our own programs do not deploy: plain resources, as a program of somebody else writes them."""

from tests.policy_packs.other_services import compute, data, edge, identity, kubernetes, models, storage

for area in (compute, data, edge, identity, kubernetes, models, storage):
    area.deploy()
