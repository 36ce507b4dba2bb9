import pytest

from api.errors import NotAcceptable
from api.http.accept import choose

OFFERED = ("text/plain", "text/event-stream", "application/x-ndjson")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/event-stream", "text/event-stream"),
        ("TEXT/Event-Stream", "text/event-stream"),
        ("application/*", "application/x-ndjson"),
        ("*/*;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("text/plain;q=0.5, text/event-stream;q=0.9", "text/event-stream"),
        ("text/*, text/plain;q=0", "text/event-stream"),
        ("text/html, application/xhtml+xml, */*; q=0.8", "text/plain"),
        ("text/event-stream;q=rubbish, */*;q=0.1", "text/plain"),
        (",,;q=1,text/event-stream", "text/event-stream"),
    ],
)
def test_the_form_that_is_wanted_most_is_chosen(accept: str, chosen: str):
    assert choose(accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["image/png", "*/*;q=0", "text/plain;q=0, application/json"])
def test_no_form_is_chosen_where_none_is_wanted(accept: str):
    with pytest.raises(NotAcceptable):
        choose(accept, OFFERED)
