"""Users: what may be one is decided here, and the database service at `DATABASE_URL` keeps them."""

import os

import requests
from flask import Flask, jsonify, request

DATABASE_URL = os.environ.get("DATABASE_URL", "http://127.0.0.1:5001")
SECONDS = 5

app = Flask(__name__)
database = requests.Session()


@app.get("/healthz")
def healthy():
    return "ok"


@app.post("/users")
def add():
    user = request.get_json()
    if not isinstance(user, dict) or not str(user.get("name", "")).strip() or "@" not in str(user.get("email", "")):
        return jsonify(error="a name and an address are needed"), 400
    return passed(
        database.post(f"{DATABASE_URL}/users", json={"name": user["name"], "email": user["email"]}, timeout=SECONDS)
    )


@app.get("/users")
def known():
    return passed(database.get(f"{DATABASE_URL}/users", timeout=SECONDS))


@app.get("/users/<int:user>")
def one(user: int):
    return passed(database.get(f"{DATABASE_URL}/users/{user}", timeout=SECONDS))


@app.errorhandler(requests.RequestException)
def unreachable(error: requests.RequestException):
    app.logger.error("%s", error)
    return jsonify(error="the database service does not answer"), 502


def passed(answer: requests.Response):
    return answer.content, answer.status_code, {"Content-Type": answer.headers.get("Content-Type", "text/plain")}
