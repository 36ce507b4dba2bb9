# Sourced by the `verify` scripts: containers that end with the script, and questions that are asked until they are answered.
set -euo pipefail
started=()
cleanups=()
ended() {
  code=$?
  if [ "$code" -ne 0 ]; then for each in "${started[@]}"; do docker logs "$each" 2>&1 | sed 's/^/    /' >&2; done; fi
  for each in "${started[@]}"; do docker rm --force "$each" >/dev/null; done
  for each in "${cleanups[@]}"; do eval "$each"; done
  exit "$code"
}
trap ended EXIT

# at_end COMMAND: done when the script ends, however, after its containers are gone.
at_end() { cleanups+=("$1"); }

# start PORT DOCKER-RUN-ARGUMENTS...: $address is where the port is on this machine.
start() {
  port=$1
  shift
  container=$(docker run --detach --publish "127.0.0.1::$port" "$@")
  started+=("$container")
  address=http://$(docker port "$container" "$port/tcp" | head -n 1)
}

# beside NAME DOCKER-RUN-ARGUMENTS...: $container, which those with `--network $network` reach by this name.
beside() {
  name=$1
  shift
  if [ -z "${network:-}" ]; then
    network=$(docker network create "verify-$$")
    at_end "docker network rm '$network' >/dev/null"
  fi
  container=$(docker run --detach --network "$network" --network-alias "$name" "$@")
  started+=("$container")
}

# database: PostgreSQL on $network, at $url from there; `sql` asks it.
database() {
  beside database --env POSTGRES_USER=chapter --env POSTGRES_PASSWORD=chapter --env POSTGRES_DB=chapter \
    "${CHAPTER_DATABASE_IMAGE:-bloomery/stand-in:database}"
  keeper=$container
  url=postgres://chapter:chapter@database/chapter
  patiently docker exec "$keeper" pg_isready --quiet --host=127.0.0.1 --username=chapter --dbname=chapter
}

# sql PSQL-ARGUMENTS...: what the database says, or is told on stdin.
sql() {
  docker exec --interactive "$keeper" \
    psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --username=chapter "$@" chapter
}

# patiently COMMAND...: until it succeeds, for a minute at most.
patiently() {
  end=$((SECONDS + 60))
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "not within a minute: $*" >&2; return 1; }
    sleep 0.5
  done
}

# ask CURL-ARGUMENTS...: the answer, for which it waits half a minute.
ask() {
  curl --silent --show-error --fail --retry 60 --retry-delay 0 --retry-max-time 30 --retry-all-errors --max-time 10 "$@" 2>/dev/null ||
    { echo "no answer to: $*" >&2; return 1; }
}

# status CURL-ARGUMENTS...: the number that it is answered with.
status() { curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 "$@"; }

# expect WORDS TEXT
expect() {
  case "$2" in *"$1"*) ;; *)
    echo "expected '$1' and got: $2" >&2
    return 1
    ;;
  esac
}
