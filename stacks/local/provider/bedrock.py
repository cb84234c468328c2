"""Bedrock: the account's model invocation logging. Guardrails and profiles are recorded only: moto has neither."""

from __future__ import annotations

from stacks.local.provider.aws_calls import Aws
from stacks.local.provider.kinds import Inputs, Kind, Made, Outputs, camel


def _create(aws: Aws, inputs: Inputs) -> Made:
    wanted = inputs["loggingConfig"]
    # moto asks for an extra right of nobody; what it stores is what was sent.
    aws.client("bedrock").put_model_invocation_logging_configuration(loggingConfig=_for_api(wanted))
    return Made(aws.region)


def _for_api(wanted: Inputs) -> dict[str, object]:
    """Pulumi shortens `cloudWatchConfig` to `cloudwatchConfig`."""
    return {("cloudWatchConfig" if key == "cloudwatchConfig" else key): value for key, value in wanted.items()}


def _read(aws: Aws, identifier: str, inputs: Inputs) -> Outputs | None:
    found = aws.client("bedrock").get_model_invocation_logging_configuration().get("loggingConfig")
    if not found:
        return None
    renamed = {("cloudwatchConfig" if key == "cloudWatchConfig" else key): value for key, value in found.items()}
    return {"loggingConfig": camel(renamed)}


def _delete(aws: Aws, identifier: str, inputs: Inputs) -> None:
    aws.client("bedrock").delete_model_invocation_logging_configuration()


KINDS = {
    "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration": Kind(_create, _read, _delete)
}
