"""Models and data: what Bedrock lets this account call and where, SageMaker's quotas, the database's TLS."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.environment import BedrockModel
from stacks.preflight.aws import Aws
from stacks.preflight.needs import Needs
from stacks.preflight.row import Row, judged

TLS_PARAMETER = "ssl_min_protocol_version"


def bedrock_models(needs: Needs, aws: Aws) -> Iterator[Row]:
    bedrock = aws.client("bedrock")
    for model in needs.environment.bedrock_models:
        found = bedrock.get_foundation_model_availability(modelId=model.foundation_model)
        states = {
            "authorization": found.get("authorizationStatus", "unknown"),
            "entitlement": found.get("entitlementAvailability", "unknown"),
            "region": found.get("regionAvailability", "unknown"),
            "agreement": found.get("agreementAvailability", {}).get("status", "unknown"),
        }
        wrong = [f"{what} {state}" for what, state in states.items() if state not in ("AUTHORIZED", "AVAILABLE")]
        yield judged(
            "Bedrock model",
            f"{model.id}: {model.foundation_model}",
            not wrong,
            ", ".join(wrong) or "accessible",
            "accept the model's agreement (and its provider's use-case form) in this account, or choose a model "
            f"that {needs.environment.region} offers",
        )


def inference_profiles(needs: Needs, aws: Aws) -> Iterator[Row]:
    """AWS adds regions to a geographic profile: a call then fails in a region that nobody named."""
    bedrock = aws.client("bedrock")
    for model in _profiled(needs):
        found = bedrock.get_inference_profile(inferenceProfileIdentifier=model.geo_profile)
        regions = {one["modelArn"].split(":")[3] for one in found["models"]} - {""}
        declared = set(model.destination_regions)
        same = found.get("status") == "ACTIVE" and regions == declared
        yield judged(
            "inference profile",
            f"{model.id}: {model.geo_profile}",
            same,
            f"{found.get('status', 'unknown')} in {', '.join(sorted(regions))}",
            f"set models.{model.id}.destination_regions to exactly these, if every data class allows them",
        )


def _profiled(needs: Needs) -> tuple[BedrockModel, ...]:
    return tuple(model for model in needs.environment.bedrock_models if model.geo_profile)


def has_profiles(needs: Needs) -> bool:
    return bool(_profiled(needs))


def endpoint_instances(needs: Needs, aws: Aws) -> Iterator[Row]:
    """SageMaker counts instances by type, and allows none of the large ones in a new account."""
    pages = aws.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    allowed = {quota["QuotaName"]: float(quota["Value"]) for page in pages for quota in page["Quotas"]}
    wanted: dict[str, int] = {}
    for model in needs.environment.sagemaker_models:
        wanted[model.instance_type] = wanted.get(model.instance_type, 0) + model.instances
    for kind, instances in sorted(wanted.items()):
        name = f"{kind} for endpoint usage"
        have = allowed.get(name)
        yield judged(
            "SageMaker quota",
            name,
            have is not None and have >= instances,
            "unknown" if have is None else f"{have:.0f} of {instances} instances",
            f"ask in Service Quotas for {instances} of '{name}', or choose another instance_type",
        )


def database_tls(needs: Needs, aws: Aws) -> Iterator[Row]:
    """Whether Aurora takes the minimum that the parameter group sets; a value it does not know stops the `up`."""
    family = f"aurora-postgresql{needs.environment.database.engine_version.split('.')[0]}"
    found = aws.client("rds").describe_engine_default_cluster_parameters(DBParameterGroupFamily=family)
    listed = {one["ParameterName"]: one for one in found["EngineDefaults"]["Parameters"]}
    values = str(listed.get(TLS_PARAMETER, {}).get("AllowedValues", ""))
    wanted = needs.environment.database.tls_min
    yield judged(
        "database TLS",
        f"{family} {TLS_PARAMETER} {wanted}",
        wanted in values.split(","),
        f"allowed: {values or 'unknown'}",
        "set database.tls_min to TLSv1.2: the gateway itself never speaks less than TLS 1.3",
    )
