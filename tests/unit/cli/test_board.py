"""The block of several builds' lines: live in a terminal, line after line elsewhere."""

import io

from api.client.board import Board
from api.client.console import Console, Style


def board(style: Style, width: int = 80) -> tuple[Board, io.StringIO]:
    err = io.StringIO()
    return Board(Console(io.StringIO(), err, {}, style, width), ["users", "db"]), err


def test_without_a_terminal_each_change_is_a_line_and_what_passes_by_is_none():
    shown, err = board(Style.PLAIN)

    shown.show("users", "Building", "cook")
    shown.show("users", "Building", "1/9", fleeting=True)
    shown.show("db", "Building", "cook")
    shown.show("db", "Building", "cook")
    shown.end()

    assert err.getvalue().splitlines() == ["    Building users  cook", "    Building db     cook"]


def test_in_a_terminal_every_service_has_one_line_that_is_drawn_over():
    shown, err = board(Style.MONOCHROME)

    shown.show("users", "Building", "cook")
    shown.show("db", "Building", "cook")
    shown.show("users", "Built", "shop/users")

    assert err.getvalue().split("\x1b[2A")[-1].replace("\r\x1b[K", "").splitlines() == [
        "       Built users  shop/users",
        "    Building db     cook",
    ]


def test_a_line_that_stays_comes_over_the_block():
    shown, err = board(Style.MONOCHROME)
    shown.show("users", "Building", "cook")

    shown.above(["users: a note"])

    taken_away, _, rest = err.getvalue().partition("\x1b[1A\r\x1b[J")
    assert taken_away
    assert rest.replace("\r\x1b[K", "").splitlines() == ["users: a note", "    Building users  cook"]


def test_what_comes_after_the_end_leaves_the_block_alone():
    shown, err = board(Style.FULL)
    shown.show("users", "Built", "shop/users")
    shown.end()

    shown.show("db", "Built", "shop/db")

    assert "\x1b[1A" not in err.getvalue()


def test_a_line_is_cut_to_the_terminal():
    shown, err = board(Style.MONOCHROME, width=30)

    shown.show("users", "Building", "x" * 100)

    assert max(map(len, err.getvalue().replace("\r\x1b[K", "").splitlines())) == 30
