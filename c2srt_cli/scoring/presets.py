"""How readily labels are given: the presets by name. Imports nothing, so that the command line may."""

from typing import Literal, get_args

#: The names of what a calibration may have a probability for.
Preset = Literal["strict", "balanced", "generous"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
