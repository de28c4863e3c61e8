"""Text from outside as XML can hold it."""

import html
import re

#: Everything that XML 1.0 does not allow in a document (section 2.2, production 2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """Text that an XML 1.0 document can hold and gives back unchanged.

    Forbidden characters become U+FFFD; tabs and line breaks, which parsers rewrite, become spaces.
    """
    return _NOT_XML.sub("\ufffd", re.sub("[\t\n\r]+", " ", text))


def xml_escape(text: str) -> str:
    """`xml_text` as markup, for element content and attributes in either quotes alike."""
    return html.escape(xml_text(text), quote=True)


def xml_element(name: str, text: str) -> str:
    """An element that holds a text."""
    return f"<{name}>{html.escape(xml_text(text), quote=False)}</{name}>"
