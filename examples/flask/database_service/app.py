"""The users' store: SQLite in `DATABASE_FILE`, asked over HTTP."""

import os
import sqlite3

from flask import Flask, g, jsonify, request

DATABASE_FILE = os.environ.get("DATABASE_FILE", "users.sqlite")
SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
)
"""

app = Flask(__name__)


def store() -> sqlite3.Connection:
    """This request's connection."""
    if "store" not in g:
        g.store = sqlite3.connect(DATABASE_FILE)
        g.store.row_factory = sqlite3.Row
    return g.store


@app.teardown_appcontext
def close(_error: BaseException | None):
    if "store" in g:
        g.store.close()


with app.app_context(), store() as connection:
    connection.execute(SCHEMA)


@app.get("/healthz")
def healthy():
    return "ok"


@app.post("/users")
def add():
    user = request.get_json()
    try:
        with store() as connection:
            added = connection.execute("INSERT INTO users (name, email) VALUES (:name, :email)", user)
    except sqlite3.IntegrityError:
        return jsonify(error="there is such a user"), 409
    return jsonify(id=added.lastrowid, name=user["name"], email=user["email"]), 201


@app.get("/users")
def known():
    return jsonify([dict(row) for row in store().execute("SELECT id, name, email FROM users ORDER BY id")])


@app.get("/users/<int:user>")
def one(user: int):
    row = store().execute("SELECT id, name, email FROM users WHERE id = ?", (user,)).fetchone()
    return (jsonify(dict(row)), 200) if row else (jsonify(error="there is no such user"), 404)
