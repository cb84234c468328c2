"""What a stack that serves models owes beyond that: guardrails, private endpoints, logging.

Started by Pulumi: `pulumi preview --policy-pack policy_packs/llm_guardrails`. It reads a port from the
first line of standard output: print nothing before PolicyPack.
"""

from pulumi_policy import EnforcementLevel, PolicyPack

from policy_packs.packs import LLM_GUARDRAILS
from policy_packs.serving import as_policies

PolicyPack(name="llm-guardrails", policies=as_policies(LLM_GUARDRAILS), enforcement_level=EnforcementLevel.MANDATORY)
