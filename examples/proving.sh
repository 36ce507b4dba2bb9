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

# ask CURL-ARGUMENTS...: the answer, for which it waits half a minute.
ask() {
  curl --silent --show-error --fail --retry 60 --retry-delay 0 --retry-max-time 30 --retry-all-errors --max-time 10 "$@" 2>/dev/null ||
    { echo "no answer to: $*" >&2; return 1; }
}

# expect WORDS TEXT
expect() {
  case "$2" in *"$1"*) ;; *)
    echo "expected '$1' and got: $2" >&2
    return 1
    ;;
  esac
}
