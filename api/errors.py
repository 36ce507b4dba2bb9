"""What only HTTP can go wrong with: the failures that the API itself finds, before any work starts.

Failures of the work are in `daemon.errors` and beside the modules of `cache`. Light: the client imports it too.
"""

from cache.errors import Blame, Failure


class NoSuchPath(Failure):
    """The path is none that the API has."""

    kind = "no_such_path"
    title = "There is nothing at this path"
    blame = Blame.REQUEST


class MethodNotAllowed(Failure):
    """The path exists, and not with this method; `evidence["allowed"]` lists those it has."""

    kind = "method_not_allowed"
    title = "This path does not take this method"
    blame = Blame.REQUEST


class UnsupportedMediaType(Failure):
    """The body has a Content-Type or Content-Encoding that the endpoint does not read."""

    kind = "unsupported_media_type"
    title = "A body of this type is not read here"
    blame = Blame.REQUEST


class NotAcceptable(Failure):
    """The Accept header leaves none of the forms that the endpoint has; `evidence["offered"]` lists them."""

    kind = "not_acceptable"
    title = "The answer has none of the accepted forms"
    blame = Blame.REQUEST


class MalformedRequest(Failure):
    """What came is not HTTP that can be read: a broken request line, a header that is too large, a cut chunk."""

    kind = "malformed_request"
    title = "This is no HTTP request that can be read"
    blame = Blame.REQUEST


class MalformedJson(Failure):
    """The body is no JSON; `evidence` has the `byte`, `line` and `column` where reading stopped."""

    kind = "malformed_json"
    title = "The body is no JSON"
    blame = Blame.REQUEST


class InvalidRequest(Failure):
    """A field, a query parameter or a header is unknown, missing or has a bad value; `evidence["path"]` says which."""

    kind = "invalid_request"
    title = "The request does not fit its schema"
    blame = Blame.REQUEST


class Unauthorized(Failure):
    """The daemon wants a bearer token, and none or an unknown one came."""

    kind = "unauthorized"
    title = "A valid token is needed"
    blame = Blame.REQUEST


class ForeignScope(Failure):
    """The token stands for another trust scope than the one that the request names."""

    kind = "foreign_scope"
    title = "This token is for another scope"
    blame = Blame.REQUEST


class BodyCut(Failure):
    """The connection ended before the body did."""

    kind = "body_cut"
    title = "The body is incomplete"
    blame = Blame.REQUEST
