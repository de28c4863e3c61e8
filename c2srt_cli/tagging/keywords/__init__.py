"""Keywords as photo managers keep them: in XMP packets and in photographs, read in any form, merged by the byte."""
