"""The catalogue of models: each has a backend, a boundary and a price."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from stacks.classification import Boundary
from stacks.configuration import ImageDigest, Price, Section, text_like
from stacks.environment.fields import (
    BaseUrl,
    FoundationModel,
    ModelId,
    SageMakerInstanceType,
    ServedModel,
    WeightsPrefix,
)

# AWS sends calls of a geographic profile to regions where nothing of ours is.
DestinationRegion = Annotated[
    str, AfterValidator(text_like(r"[a-z]{2}(-[a-z]+){1,2}-\d", "a region of AWS such as us-east-2"))
]


class _Offer(Section):
    id: ModelId
    kind: Literal["chat", "embedding"]
    boundary: Boundary
    context_tokens_max: Annotated[int, Field(ge=128, le=2_000_000)]
    usd_per_million_input_tokens: Price
    usd_per_million_output_tokens: Price
    takes_images: bool = False
    """Whether roles that are registered for images may show it some."""
    fallbacks: Annotated[tuple[ModelId, ...], Field(max_length=3)] = ()
    """Models that answer in this order when its upstream fails, each as strict and as large as itself."""


class OpenAIModel(_Offer):
    """A model behind an OpenAI-compatible server: our own model server, or a provider's API."""

    backend: Literal["openai"]
    base_url: BaseUrl
    upstream_model: ServedModel

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


class BedrockModel(_Offer):
    """A Bedrock model, called through an application inference profile that this program makes."""

    backend: Literal["bedrock"]
    foundation_model: FoundationModel
    usd_per_million_cache_read_tokens: Price | None = None
    """Input that a prompt cache held; without a price it costs what other input does."""
    usd_per_million_cache_write_tokens: Price | None = None
    geo_profile: str = ""
    """A geographic profile such as us.amazon.nova-lite-v1:0; empty: in this region only."""
    destination_regions: tuple[DestinationRegion, ...]
    """Where AWS may run it: this region alone, or those of the geographic profile."""

    @field_validator("geo_profile")
    @classmethod
    def _never_global(cls, value: str) -> str:
        if value and not re.fullmatch(r"(us|eu|apac)\.[a-z0-9-]+\.[a-z0-9.:-]+", value):
            raise ValueError(f"must be empty or a profile of us, eu or apac, never global (got {value!r})")
        return value

    @model_validator(mode="after")
    def _private(self) -> Self:
        if self.boundary is not Boundary.PRIVATE_ENDPOINT:
            raise ValueError(f"boundary of a Bedrock model must be private_endpoint (got {self.boundary.value!r})")
        return self


class SageMakerModel(_Offer):
    """Our own container and weights on a SageMaker endpoint without network, reached over PrivateLink."""

    backend: Literal["sagemaker"]
    instance_type: SageMakerInstanceType
    instances: Annotated[int, Field(ge=1, le=20)]
    image_digest: ImageDigest
    weights_prefix: WeightsPrefix

    @model_validator(mode="after")
    def _private(self) -> Self:
        if self.boundary is not Boundary.PRIVATE_ENDPOINT:
            raise ValueError(f"boundary of a SageMaker model must be private_endpoint (got {self.boundary.value!r})")
        return self


Model = Annotated[OpenAIModel | BedrockModel | SageMakerModel, Field(discriminator="backend")]
