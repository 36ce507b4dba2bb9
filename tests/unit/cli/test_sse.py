"""The event stream's wire, read."""

import json

import pytest

from api.client.sse import read_events


def wire(number: int, text: str = "x", end: str = "\n") -> bytes:
    data = json.dumps({"number": number, "at": 1.5, "kind": "log", "data": {"text": text}})
    return f"id: {number}{end}event: log{end}data: {data}{end}{end}".encode()


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_events_are_whole_however_the_bytes_come(step: int):
    stream = wire(1, "snowman \u2603") + b": still here\n\n" + wire(2, end="\r\n") + wire(3)

    events = list(read_events(stream[at : at + step] for at in range(0, len(stream), step)))

    assert [(event.number, event.data["text"]) for event in events] == [(1, "snowman \u2603"), (2, "x"), (3, "x")]


def test_event_that_is_cut_is_left_out():
    assert [event.number for event in read_events([wire(1), wire(2)[:-1]])] == [1]


@pytest.mark.parametrize("data", [b"data: not json\n\n", b"data: {}\n\n", b"data: [1]\n\n", b"event: log\n\n", b"\n\n"])
def test_what_is_no_event_of_ours_is_passed_over(data: bytes):
    assert [event.number for event in read_events([data, wire(1)])] == [1]


def test_data_over_several_lines_is_one():
    assert [event.number for event in read_events([wire(1).replace(b', "at"', b',\ndata: "at"')])] == [1]


@pytest.mark.parametrize(
    ("state", "final"), [("running", False), ("succeeded", True), ("failed", True), ("cancelled", True)]
)
def test_final_states_end_a_build(state: str, final: bool):  # noqa: FBT001 - the expectation
    data = {"number": 1, "at": 0, "kind": "state", "data": {"state": state}}

    (event,) = read_events([f"data: {json.dumps(data)}\n\n".encode()])

    assert event.final is final
