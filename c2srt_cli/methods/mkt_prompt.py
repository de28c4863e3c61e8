"""MKT (AAAI 2023, arXiv 2207.01887), stage 2: the context of the prompt learns, on the image side of stage 1.

As in its code: 4 epochs of the ranking loss alone; AdamW's learning rate is 1e-3 and its weight decay 0.05, the
defaults of all methods.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.methods.mkt import MKT
from c2srt_cli.methods.options import Distillation, Training
from c2srt_cli.methods.prompt import PromptLearner


class MKTPrompt(MKT):
    """`MKT` under a prompt that learns; the tower is that of a finished run, and stays as it is."""

    name: ClassVar[str] = "mkt-prompt"
    needs_init: ClassVar[bool] = True

    class Options(MKT.Options):
        """Of `MKTPrompt`."""

        method: Literal["mkt-prompt"] = "mkt-prompt"  # type: ignore[assignment]
        prompt: str = Field("There is a {} in the scene", description="Prompt whose words around {} learn.")
        distillation: Distillation = Distillation(weight=0.0)
        training: Training = Training(sampled_negatives=0, epochs=4)

        def problems(self) -> Iterator[str]:
            """The prompt must be one."""
            yield from super().problems()
            rest = self.prompt.replace("{}", "", 1)
            is_one = "{}" in self.prompt and rest.strip() and not set(rest) & set("{}") and self.prompt.isprintable()
            if not is_one:
                yield f"prompt = {self.prompt!r}: must be printable and hold {{}} once, and words, but no other braces"

    def __init__(self, options: Options, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        self.prompt = PromptLearner.of(backbone, options.prompt)
        self.text_tower = backbone.text.reading(self.prompt, None)
