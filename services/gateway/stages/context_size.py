"""The context size of a model: what cannot fit is refused before anything is charged.

The gateway knows no model's tokenizer, so it has two bounds, and the backend, which counts exactly, has the last word.
(1) No more tokens than UTF-8 bytes: what fits so, fits.
(2) No fewer tokens than an eighth of the characters: natural text and code have two to five characters a token in
    every vocabulary in use, and only long runs of one character have more than eight. What does not fit even so, is
    400 context_length_exceeded.
(3) What lies between is sent. A backend that finds it too long says so: the same 400, and nothing is paid.
A caller who named no number of output tokens gets at most what the least prompt leaves of the context.
"""

from __future__ import annotations

from services.gateway.exchange import Denied, ModelOffer, Role, Submission

CHARS_PER_TOKEN_MAX = 8


def output_tokens_that_fit(
    submission: Submission, role: Role, model: ModelOffer, prompt_tokens_max: int, output_tokens: int
) -> int:
    """`output_tokens`, or fewer where nobody asked for so many. Both figures are those of all choices together."""
    choices = submission.choices
    if prompt_tokens_max + output_tokens <= model.context_tokens_max * choices:
        return output_tokens
    if not submission.endpoint.generates:
        _require_texts_fit(submission, model)
        return output_tokens
    left = model.context_tokens_max - _prompt_tokens_min(submission, role)
    each = output_tokens // choices
    if each <= left:
        return output_tokens
    if left < 1 or submission.parameters.output_tokens_max is not None:
        raise _too_long(model, f"{model.context_tokens_max - left} in its prompt and {each} in its answer", "messages")
    return left * choices


def _require_texts_fit(submission: Submission, model: ModelOffer) -> None:
    """Of embeddings each text is a prompt of its own."""
    longest = max((_tokens_min(len(message.text)) for message in submission.messages), default=0)
    if longest > model.context_tokens_max:
        raise _too_long(model, f"{longest} in its longest text", "input")


def _prompt_tokens_min(submission: Submission, role: Role) -> int:
    """Of the template and the caller's turns; what else is sent makes it more."""
    return _tokens_min(len(role.template.system) + sum(len(message.text) for message in submission.messages))


def _tokens_min(chars: int) -> int:
    return chars // CHARS_PER_TOKEN_MAX


def _too_long(model: ModelOffer, needs: str, param: str) -> Denied:
    return Denied(
        "admission",
        f"at least {needs} do not fit the context of {model.context_tokens_max} tokens",
        status=400,
        code="context_length_exceeded",
        param=param,
        public=f"This model's context holds {model.context_tokens_max} tokens. The request needs at least {needs}.",
    )
