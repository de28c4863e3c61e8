"""What a model says to itself before it answers, taken out of its reply: a draft is no answer."""

import re

#: Where thinking starts or ends: XML-like tags (DeepSeek, Qwen, EXAONE, Gemini, Seed), Mistral's, Kimi's, Gemma's.
_MARK = re.compile(
    r"<(?P<end>/)?(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis)\b[^<>]{0,80}>"
    r"|\[(?P<end2>/)?THINK\]"
    r"|◁(?P<end3>/)?think▷"
    r"|<\|(?P<end4>end|begin)_of_thought\|>"
    r"|<(?:unused94|(?P<end5>unused95))>",
    re.IGNORECASE,
)
#: A channel of the harmony format (gpt-oss, and Gemma's way of writing it): its name, and where its text starts.
_CHANNEL = re.compile(
    r"<\|?channel\|?>\s*(\w*)[^<]{0,80}(?:<\|constrain\|>[^<]{0,80})?(?:<\|message\|>|<channel\|>|\n)"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start|channel)\|?>|<\|?channel\|?>")
#: What is left of harmony's marks where a server drops special tokens: "analysisWe need …assistantfinal{…}".
_BARE_FINAL = re.compile(r"assistant\s*(?:commentary\s*)?final(?:\s*json)?(?=\s*[\[{`])")
#: Channels that are not addressed to the reader.
_INNER = ("analysis", "thought", "thinking", "reasoning")


def without_thinking(text: str) -> str:
    """The part of a reply that is the answer; the empty string where the model had not come to it.

    A start without an end takes everything behind it, an end without a start everything before it (chat templates put
    the start into the prompt).
    """
    return _outside_marks(_spoken(text))


def _spoken(text: str) -> str:
    """Of a reply in channels the last that is addressed to the reader."""
    if text.startswith("analysis") and (marks := list(_BARE_FINAL.finditer(text))):
        return text[marks[-1].end() :]
    channels = list(_CHANNEL.finditer(text))
    if not channels:
        return text
    for channel in reversed(channels):
        if channel.group(1).lower() not in _INNER:
            end = _CHANNEL_END.search(text, channel.end())
            return text[channel.end() : end.start() if end else len(text)]
    # Gemma closes a thought with <channel|> and goes on outside of it
    last = text.rfind("<channel|>")
    return text[last + len("<channel|>") :] if last > channels[-1].start() else ""


def _outside_marks(text: str) -> str:
    kept: list[str] = []
    start, thinking = 0, False
    for mark in _MARK.finditer(text):
        ends = any(mark.group(name) not in (None, "begin") for name in ("end", "end2", "end3", "end4", "end5"))
        if ends:
            if not thinking:
                kept.clear()
            start, thinking = mark.end(), False
        elif not thinking:
            kept.append(text[start : mark.start()])
            thinking = True
    return "".join(kept) if thinking else "".join((*kept, text[start:]))
