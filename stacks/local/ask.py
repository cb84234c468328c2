"""Asks the running local platform a question, as an application developer would: with the OpenAI SDK.

python -m stacks.local.ask "How many days of paid leave are there?" --role analyst --tenant acme
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import openai

from stacks.local.parts.addresses import Addresses
from stacks.local.parts.part import PartError
from stacks.local.parts.places import DEFAULT_ROOT, Places
from stacks.local.parts.token import fetch_token


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks what. `tenant` and `role` choose the user of the local OIDC provider."""

    text: str
    role: str = "analyst"
    tenant: str = "acme"
    model: str = "local"
    output_tokens_max: int = 120
    root: Path = DEFAULT_ROOT  # of the run that is asked


def client(question: Question) -> openai.OpenAI:
    """An OpenAI client with a fresh token; it never retries, so that one question is one request."""
    connection = json.loads((question.root / "connection.json").read_text(encoding="utf-8"))
    addresses = replace(Addresses.default(), oidc=urlsplit(connection["token_url"]).port or 0)
    token = fetch_token(question.role, question.tenant, places=Places(question.root), addresses=addresses)
    return openai.OpenAI(base_url=connection["base_url"], api_key=token, max_retries=0, timeout=120)


def ask(question: Question) -> str:
    """The whole answer at once."""
    completion = client(question).chat.completions.create(
        model=question.model,
        messages=[{"role": "user", "content": question.text}],
        max_tokens=question.output_tokens_max,
        temperature=0,
    )
    return completion.choices[0].message.content or ""


def ask_streaming(question: Question) -> Iterator[str]:
    """The answer piece by piece, as it is released."""
    stream = client(question).chat.completions.create(
        model=question.model,
        messages=[{"role": "user", "content": question.text}],
        max_tokens=question.output_tokens_max,
        temperature=0,
        stream=True,
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question")
    parser.add_argument("--role", default="analyst")
    parser.add_argument("--tenant", default="acme")
    parser.add_argument("--model", default="local")
    options = parser.parse_args()
    question = Question(options.question, options.role, options.tenant, options.model)
    try:
        for piece in ask_streaming(question):
            print(piece, end="", flush=True)
    except openai.APIStatusError as refusal:
        print(f"{refusal.status_code} {refusal.code}: {refusal.message}", file=sys.stderr)
        return 1
    except (openai.APIConnectionError, FileNotFoundError, PartError) as error:
        print(f"The local platform does not answer ({error}); start it with `make up`.", file=sys.stderr)
        return 1
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
