"""What to do about a server that cannot be asked: its models, and the option or setting to look at."""

import asyncio
import difflib
import json
from collections.abc import Sequence

import httpx2
import openai

from c2srt_cli.errors import ServiceError
from c2srt_cli.graph.llm.api_key import VARIABLE, Mask
from c2srt_cli.graph.llm.completion import NO_COMPLETION
from c2srt_cli.graph.llm.failure import SHOWN, Failure, Kind

#: Models that are named, and characters of a name.
NAMED, LONGEST_NAME = 10, 80
#: Seconds that the list of models may take.
PATIENCE = 20.0

_AGAIN = "; then run the same command again, what is answered is kept"
_LONGER = (
    "raise the server's context (Ollama: OLLAMA_CONTEXT_LENGTH=16384 ollama serve; llama.cpp: --ctx-size; vLLM: "
    "--max-model-len; LM Studio: the model's context length), or choose a --model with a longer one"
)
_HINTS = {
    Kind.BUSY: "run the same command again later: what is answered is kept",
    Kind.CONTEXT: _LONGER,
    Kind.ENDLESS: f"check --model and --base-url{_AGAIN}",
    Kind.KEY: f"check {VARIABLE} or --api-key-file{_AGAIN}",
    Kind.QUOTA: f"see to billing, or take another key{_AGAIN}",
    Kind.UNREACHABLE: "check --base-url, and that the server runs",
}


def explain(failure: Failure, model: str, where: str, mask: Mask, models: Sequence[str] = ()) -> ServiceError:
    """The error that ends a run.

    Args:
        failure: What happened.
        model: The model that was asked for.
        where: The server's address.
        mask: Takes the key out of text.
        models: What the server has.
    """
    kind = failure.kind
    what, hint = kind.value, _HINTS.get(kind, "check --model and --base-url")
    if kind is Kind.MODEL:
        what, hint = f"the server does not know the model {model!r}", _other_model(model, models)
    elif kind is Kind.ADDRESS or (kind is Kind.BUSY and NO_COMPLETION in failure.said):
        hint = "check --base-url: most end in /v1"
    elif kind is Kind.REDIRECT and failure.text.startswith(("http://", "https://")):
        hint = (
            f"if that is the server that you want, say so: --base-url {failure.text.removesuffix('/chat/completions')}"
        )
    elif kind is Kind.REFUSED and "max_tokens" in failure.text:
        hint += "; --max-cost needs a server that takes a limit of a reply's tokens"
    return ServiceError(what, where=where, problems=[shortened(mask(failure.said))], hint=mask(hint))


def cut_off_hint(read: int, sent: int) -> str:
    """What to do about a server that reads a part of the prompt only."""
    return f"the server reads {read:,} of some {sent:,} tokens of the prompt, so answers are guesses: {_LONGER}{_AGAIN}"


def shortened(text: str) -> str:
    """One line, not too long."""
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


async def models_of(server: openai.AsyncOpenAI) -> list[str]:
    """Names of the models that a server has; none where it does not say."""
    try:
        async with asyncio.timeout(PATIENCE):
            response = await server.get("/models", cast_to=httpx2.Response)
        value = json.loads(response.content)
    except Exception:  # whatever goes wrong here, the error to show is another one
        return []
    value = value.get("data", value.get("models")) if isinstance(value, dict) else value
    entries = [entry for entry in (value if isinstance(value, list) else ()) if isinstance(entry, dict)]
    names = [entry.get("id") or entry.get("name") for entry in entries]
    return [name[:LONGEST_NAME] for name in names if isinstance(name, str) and name]


def _other_model(model: str, names: Sequence[str]) -> str:
    """What to do about a model that is not there."""
    if not names:
        return "check --model and --base-url"
    plain = {name.casefold(): name for name in names}
    wanted = model.casefold()
    close = [name for key, name in plain.items() if wanted in key or key in wanted]
    close = close or [plain[key] for key in difflib.get_close_matches(wanted, plain, 3)]
    there = f"it has {', '.join(names[:NAMED])}" + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
    return f"did you mean --model {close[0]}? {there}" if close else there
