"""What every stack of ours owes: encryption, private access, TLS 1.3, named permissions.

Started by Pulumi: `pulumi preview --policy-pack policy_packs/baseline_security`. It reads a port from the
first line of standard output: print nothing before PolicyPack.
"""

from pulumi_policy import EnforcementLevel, PolicyPack

from policy_packs.packs import BASELINE_SECURITY
from policy_packs.serving import as_policies

PolicyPack(
    name="baseline-security", policies=as_policies(BASELINE_SECURITY), enforcement_level=EnforcementLevel.MANDATORY
)
