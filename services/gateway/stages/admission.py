"""Admission: who asks, for what, and whether rules, limits and money allow it.

In this order, each step only after the one before it held:
(1) the OIDC token  (2) the workload's registration and the caller's role  (3) the model and its fallbacks
(4) Cedar  (5) the context's size  (6) rate, token and concurrency limits  (7) money set aside for the worst case.
(6) and (7) wait for two stores. They are asked at once, unless the last request in the same limits was over them: then
it is one after the other, so that who stays over a limit costs the ledger nothing more.
"""

from __future__ import annotations

from services.gateway.exchange import (
    Admitted,
    Caller,
    Denied,
    Endpoint,
    ModelOffer,
    Registration,
    Role,
    Submission,
    Usage,
)
from services.gateway.ports import Ports, Reserving
from services.gateway.stages.context_size import output_tokens_that_fit
from services.gateway.stages.worst_case import added_tokens_max, caller_tokens_max, output_tokens_max, price_max

_KINDS = {Endpoint.CHAT_COMPLETIONS: "chat", Endpoint.RESPONSES: "chat", Endpoint.EMBEDDINGS: "embedding"}


async def admit(submission: Submission, ports: Ports) -> Admitted:
    """The admitted submission; Denied or Unavailable, with nothing left reserved, otherwise."""
    caller = await authenticate(submission.bearer, ports)
    registration, role = place(caller, ports)
    model = _model(submission, role, ports)
    ports.authorization.authorize(caller, registration, role, submission.endpoint, model)
    _require_images_allowed(submission, role, model)
    input_tokens = _caller_tokens_max(submission, role)
    prompt_tokens = input_tokens + added_tokens_max(submission, role)
    output_tokens = output_tokens_that_fit(submission, role, model, prompt_tokens, output_tokens_max(submission, role))
    fallbacks = _fallbacks(submission, caller, registration, role, model, ports) if model.fallbacks else ()
    usd = max(price_max(one, prompt_tokens, output_tokens) for one in (model, *fallbacks))  # whichever answers

    def reserve() -> Reserving:
        return ports.budget.reserve(caller, registration, role, submission.request_id, usd, model.id)

    reserving = reserve() if ports.limits.had_room(caller, registration, role) else None
    try:
        lease = await ports.limits.acquire(
            caller, registration, role, input_tokens=input_tokens, output_tokens=output_tokens
        )
    except BaseException:
        if reserving is not None:
            reserving.give_up()
        raise
    try:
        reservation = await (reserving or reserve())
    except BaseException:  # cancellation too: a lease must not outlive the request
        await ports.limits.release(lease, Usage(0, 0))
        raise
    return Admitted(submission, caller, registration, role, model, lease, reservation, fallbacks)


async def authenticate(bearer: str, ports: Ports) -> Caller:
    """Who asks; Denied 401 without a token that holds."""
    if not bearer:
        raise Denied(
            "admission",
            "no bearer token",
            status=401,
            code="missing_token",
            type="authentication_error",
            public="A bearer token of the organisation's identity provider is required.",
        )
    return await ports.identity.authenticate(bearer)


def place(caller: Caller, ports: Ports) -> tuple[Registration, Role]:
    """The workload a caller belongs to and its role there: the first of the token's that is registered."""
    registration = ports.registrations.find(caller)
    for name in caller.roles:
        role = registration.roles.get(name)
        if role is not None:
            return registration, role
    raise Denied(
        "admission",
        f"no role of the token is registered for workload '{registration.workload}'",
        status=403,
        code="role_not_registered",
        type="permission_error",
        public="None of your roles may use this workload.",
    )


def offered(caller: Caller, registration: Registration, role: Role, ports: Ports) -> tuple[str, ...]:
    """The ids of the models that this caller may see."""
    seen = []
    for name in role.models:
        model = ports.models.get(name)
        if model is not None and _permitted(caller, registration, role, model, ports):
            seen.append(name)
    return tuple(seen)


def model_not_found() -> Denied:
    """One answer for unknown and for not allowed: the catalogue is nobody's business."""
    return Denied(
        "admission",
        "the model is not offered to the role",
        status=404,
        code="model_not_found",
        param="model",
        public="The model does not exist or you do not have access to it.",
    )


def _model(submission: Submission, role: Role, ports: Ports) -> ModelOffer:
    model = ports.models.get(submission.model)
    if model is None or submission.model not in role.models or model.kind != _KINDS.get(submission.endpoint):
        raise model_not_found()
    return model


def _fallbacks(
    submission: Submission, caller: Caller, registration: Registration, role: Role, model: ModelOffer, ports: Ports
) -> tuple[ModelOffer, ...]:
    """Those that the caller could have asked for too. Several answers to one prompt are all of one model."""
    if submission.choices > 1:
        return ()
    named = [ports.models[name] for name in model.fallbacks if name in role.models and name in ports.models]
    endpoint = submission.endpoint
    return tuple(one for one in named if _permitted(caller, registration, role, one, ports, endpoint))


def _permitted(
    caller: Caller,
    registration: Registration,
    role: Role,
    model: ModelOffer,
    ports: Ports,
    endpoint: Endpoint = Endpoint.MODELS,
) -> bool:
    try:
        ports.authorization.authorize(caller, registration, role, endpoint, model)
    except Denied as denied:
        if denied.status == 403:
            return False
        raise
    return True


def _require_images_allowed(submission: Submission, role: Role, model: ModelOffer) -> None:
    """No text control sees what an image shows: the registration and the catalogue must both say yes."""
    if not any(message.images for message in submission.messages):
        return
    if not role.images:
        raise Denied(
            "admission",
            f"role '{role.name}' is not registered for images",
            status=403,
            code="images_not_allowed",
            type="permission_error",
            param="messages",
            public="Your role is not registered for images.",
        )
    if not model.takes_images:
        raise Denied(
            "admission",
            f"model '{model.id}' takes no images",
            status=400,
            code="unsupported_value",
            param="messages",
            public="This model takes no images.",
        )


def _caller_tokens_max(submission: Submission, role: Role) -> int:
    """Of all the prompts that are sent, each within the limit: every answer is made from the whole prompt."""
    tokens = caller_tokens_max(submission)
    if tokens > role.limits.input_tokens_max:
        raise Denied(
            "admission",
            f"input of up to {tokens} tokens exceeds {role.limits.input_tokens_max}",
            status=400,
            code="context_length_exceeded",
            param="messages",
            public=f"The request may hold up to {role.limits.input_tokens_max} input tokens (counted as UTF-8 bytes).",
        )
    return tokens * submission.choices
