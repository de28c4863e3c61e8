"""What a server takes of a request: parameters that it refuses are left out from then on."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from c2srt_cli.graph.llm.failure import Failure, Kind
from c2srt_cli.graph.llm.reply import Answers

#: Names of the limit of a reply's tokens, the present one first; without one the server's own limit holds.
LIMITS = ("max_completion_tokens", "max_tokens", None)
#: Forms of the answer to ask for, the strictest first.
FORMS = ("json_schema", "json_object", None)

#: Words by which servers speak of the limit, and of the form.
_LIMIT_WORDS = ("max_completion_tokens", "max_tokens", "max tokens", "maxtokens")
_FORM_WORDS = (
    "response_format", "responseformat", "json_schema", "json_object", "json schema", "json mode", "json_validate",
    "grammar", "guided", "structured", "schema",
)  # fmt: skip


class Terms(NamedTuple):
    """The terms of one request: places in `LIMITS` and `FORMS`."""

    limit: int = 0
    form: int = 0

    def options(self, reply_tokens: int) -> dict[str, Any]:
        """The parameters that say so."""
        options: dict[str, Any] = {}
        if name := LIMITS[self.limit]:
            options[name] = reply_tokens
        match FORMS[self.form]:
            case "json_schema":
                options["response_format"] = reply_format()
            case "json_object":
                options["response_format"] = {"type": "json_object"}
        return options


class Dialect:
    """The terms on which a server answers, as far as they are known."""

    def __init__(self) -> None:
        self.terms = Terms()

    def weaker(self, steps: int) -> Terms:
        """The terms with a form that asks for less, where there is one."""
        form = self.terms.form + steps
        return self.terms._replace(form=form) if form < len(FORMS) else self.terms

    def settle(self, terms: Terms) -> bool:
        """Keep terms on which the server answered; whether that is news."""
        news = terms.form > self.terms.form
        self.terms = Terms(max(self.terms.limit, terms.limit), max(self.terms.form, terms.form))
        return news

    def give_way(self, terms: Terms, failure: Failure, *, need_limit: bool = False) -> bool:
        """Leave out what the server refuses of ``terms``, another request may have done so already.

        Args:
            terms: Of the request.
            failure: What the server said.
            need_limit: Whether no reply may go without a limit.

        Returns:
            Whether it is worth asking again, with less.
        """
        limit, form = self._next(terms, failure)
        if (limit, form) == terms or (need_limit and LIMITS[limit] is None):
            return False
        self.terms = Terms(max(self.terms.limit, limit), max(self.terms.form, form))
        return True

    @staticmethod
    def _next(terms: Terms, failure: Failure) -> Terms:
        has_limit, has_form = terms.limit + 1 < len(LIMITS), terms.form + 1 < len(FORMS)
        if failure.kind is Kind.CONTEXT:  # room for the longest reply is taken off the prompt's by many
            return terms._replace(limit=len(LIMITS) - 1)
        limit, form = has_limit and failure.about(*_LIMIT_WORDS), has_form and failure.about(*_FORM_WORDS)
        if limit and form:  # one is named, the other may stand in a copy of the request
            limit = not failure.named.isdisjoint(_LIMIT_WORDS) or failure.named.isdisjoint(_FORM_WORDS)
        if not limit and not form and failure.kind is Kind.REFUSED and failure.status != 500:
            form = has_form
            limit = not form and has_limit
        if limit:
            return terms._replace(limit=terms.limit + 1)
        return terms._replace(form=terms.form + 1) if form else terms


def reply_format() -> dict[str, Any]:
    """``response_format`` for servers with structured outputs.

    Ids are plain integers in it: a schema with the ids of each block would be compiled anew for every request, and
    OpenAI allows 1,000 choices in one. `reply.read_reply` holds them to the ids that were given.
    """
    schema = Answers.model_json_schema()
    flat = _flat(schema, schema.get("$defs", {}))
    return {"type": "json_schema", "json_schema": {"name": "sources", "strict": True, "schema": flat}}


def _flat(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema without references and titles: not every server follows them."""
    if isinstance(schema, list):
        return [_flat(inner, definitions) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _flat(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    left_out = ("$defs", "title", "description")
    return {name: _flat(inner, definitions) for name, inner in schema.items() if name not in left_out}
