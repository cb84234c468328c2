"""How vLLM is started: what it must be told, and what it must never be told.

The pod's network, the proxy in front and these flags are three fences; each assumes that the others may fail.
https://docs.vllm.ai/en/latest/usage/security.html
"""

from __future__ import annotations

from dataclasses import dataclass

from components.cluster_layout import Port

WEIGHTS_PATH = "/weights"
HOME_PATH = "/home/model"
API_KEY_PATH = "/run/model-key"
API_KEY_FILE = f"{API_KEY_PATH}/api-key"
# vLLM's own default is 16384 answers to one question.
SEQUENCES_MAX = 64

# Each opens a hole by itself; the names are tested against every rendered manifest.
FORBIDDEN_ARGUMENTS = (
    "--trust-remote-code",
    "--enable-lora",
    "--enable-prompt-embeds",
    "--enable-tokenizer-info-endpoint",
    "--enable-server-load-tracking",
    "--profiler-config",
    "--tool-server",
    "--kv-transfer-config",
    "--allowed-local-media-path",
    "--api-key",
)
FORBIDDEN_VARIABLES = (
    "VLLM_SERVER_DEV_MODE",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    "VLLM_TORCH_PROFILER_DIR",
    "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "VLLM_API_KEY",
    "HF_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
)
# The key is made in the pod and read at the start: neither the manifest nor Pulumi's state ever holds it.
START = f'VLLM_API_KEY="$(cat {API_KEY_FILE})" exec vllm serve "$@"'


@dataclass(frozen=True, slots=True)
class Serving:
    """What differs between model versions."""

    served_name: str
    gpus: int
    context_tokens_max: int
    sequences_max: int
    shutdown_s: int
    prefix_cache: bool
    """Shared beginnings are computed once; how long an answer takes then tells what others asked."""
    tool_parser: str = ""


def command() -> list[str]:
    """Entry point; what follows it are the arguments."""
    return ["/bin/sh", "-ceu", START, "vllm"]


def arguments(serving: Serving) -> list[str]:
    """Arguments of `vllm serve`."""
    return [
        WEIGHTS_PATH,
        f"--served-model-name={serving.served_name}",
        # Its key guards a few paths only; what nobody reaches needs no guard.
        "--host=127.0.0.1",
        f"--port={Port.MODEL_SERVER}",
        # Pickled weights run code when they are read.
        "--load-format=safetensors",
        f"--max-model-len={serving.context_tokens_max}",
        f"--max-num-seqs={serving.sequences_max}",
        f"--tensor-parallel-size={serving.gpus}",
        f"--shutdown-timeout={serving.shutdown_s}",
        # Media are not offered; if a request asks for one all the same, no host is allowed.
        "--allowed-media-domains=invalid",
        "--enable-prefix-caching" if serving.prefix_cache else "--no-enable-prefix-caching",
        "--disable-fastapi-docs",
        *_tools(serving.tool_parser),
    ]


def environment() -> dict[str, str]:
    """Variables of the container: offline, silent, its caches in a directory of its own."""
    return {
        "HOME": HOME_PATH,
        # The image knows no user of our number; libraries that ask for a name take this one.
        "USER": "model",
        "VLLM_CACHE_ROOT": f"{HOME_PATH}/vllm",
        "TRITON_CACHE_DIR": f"{HOME_PATH}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{HOME_PATH}/inductor",
        "HF_HOME": f"{HOME_PATH}/huggingface",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_MAX_N_SEQUENCES": str(SEQUENCES_MAX),
        # Two processes of one pod speak over the loopback, unauthenticated.
        "VLLM_HOST_IP": "127.0.0.1",
    }


def _tools(parser: str) -> list[str]:
    return ["--enable-auto-tool-choice", f"--tool-call-parser={parser}"] if parser else []
