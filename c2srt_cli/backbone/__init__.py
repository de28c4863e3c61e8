"""open_clip behind one small interface: early and late stages, patch attention, text."""
