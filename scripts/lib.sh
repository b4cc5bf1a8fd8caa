# shellcheck shell=bash
# Shared by ./run, ./test and scripts/setup: messages, versions, where programs are, who runs PostgreSQL.
# Bash 3.2 is enough (macOS ships no newer one).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly root
# All that a checkout makes lives here. `state` and not the folder of the caller, so every command finds the same stack.
readonly state=$root/.hongyan

readonly NATS_VERSION=2.15.1       # what scripts/setup brings
readonly NATS_OLDEST=2.14.6        # older ones silently ignore headers that the log relies on
readonly POSTGRES_OLDEST=15 REDIS_OLDEST=7

say() { printf '%s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# What a failed program said last, for a one-line message: rather the error than what came after it.
last_line() {
  local end
  end=$(tail -n 10 "$1" 2>/dev/null | grep -v '^[[:space:]]*$' || true)
  { grep -E '^E:|ERROR|FATAL|PANIC|[Ee]rror|No space' <<<"$end" || tail -n 1 <<<"$end"; } | tail -n 1
}

# version_at_least 2.15.1 2.14.6
version_at_least() {
  local IFS=. i
  # shellcheck disable=SC2206  # splitting at the dots is the point
  local have=($1) want=($2)
  for i in 0 1 2; do
    ((10#${have[i]:-0} > 10#${want[i]:-0})) && return 0
    ((10#${have[i]:-0} < 10#${want[i]:-0})) && return 1
  done
  return 0
}

# The first version number that a program prints about itself; nothing when it does not run.
version_of() { { "$@" 2>/dev/null || true; } | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1 || true; }

# wait_until SECONDS COMMAND…: true as soon as the command is.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

is_listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# --- programs -------------------------------------------------------------------------------------------------------

# The folder of initdb, postgres and pg_ctl: of major version $1, or with `any` the newest that will do.
find_postgres_bin() {
  local dir major best='' best_major=0
  for dir in "${HONGYAN_POSTGRES_BIN:-}" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin "$(dirname "$(command -v initdb || echo /-/-)")"; do
    [[ -n $dir && -x $dir/initdb && -x $dir/postgres && -x $dir/pg_ctl ]] || continue
    major=$(version_of "$dir/postgres" --version)
    major=${major%%.*}
    [[ $1 == any || $major == "$1" ]] || continue
    if ((major >= POSTGRES_OLDEST && major > best_major)); then best=$dir best_major=$major; fi
  done
  [[ -n $best ]] && printf '%s\n' "$best"
}

find_chromium() {
  command -v chromium || command -v chromium-browser || command -v google-chrome ||
    command -v '/Applications/Chromium.app/Contents/MacOS/Chromium'
}

find_redis_server() {
  local name path
  for name in redis-server valkey-server /opt/homebrew/bin/redis-server /usr/local/bin/redis-server; do
    path=$(command -v "$name") || continue
    version_at_least "$(version_of "$path" --version)" "$REDIS_OLDEST" || continue
    printf '%s\n' "$path"
    return 0
  done
  return 1
}

# NATS_SERVER_BIN, else a new enough one on the PATH, else the one that scripts/setup brought.
find_nats_server() {
  local path
  if [[ -n ${NATS_SERVER_BIN:-} ]]; then
    version_at_least "$(version_of "$NATS_SERVER_BIN" -v)" "$NATS_OLDEST" ||
      die "NATS_SERVER_BIN=$NATS_SERVER_BIN is no nats-server $NATS_OLDEST or later"
    printf '%s\n' "$NATS_SERVER_BIN"
    return 0
  fi
  if path=$(command -v nats-server) && version_at_least "$(version_of "$path" -v)" "$NATS_OLDEST"; then
    printf '%s\n' "$path"
    return 0
  fi
  path=$state/bin/nats-server-$NATS_VERSION
  [[ -x $path ]] && printf '%s\n' "$path"
}

# Puts cargo on the PATH when it is installed but the shell's start files were not read.
find_cargo() {
  command -v cargo >/dev/null && return 0
  [[ -x ${HOME:-}/.cargo/bin/cargo ]] && PATH=$HOME/.cargo/bin:$PATH
}

# --- the account of PostgreSQL ---------------------------------------------------------------------------------------

# PostgreSQL refuses to run as root: then it runs as this account. Empty: as ourselves.
postgres_account() {
  ((EUID == 0)) || return 0
  if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

# Becomes a program that runs as the account $1 (empty: as ourselves), in a folder that everyone can enter.
become() {
  local account=$1
  shift
  cd /
  if [[ -z $account ]]; then
    exec "$@"
  elif command -v setpriv >/dev/null; then
    exec setpriv --reuid="$account" --regid="$(id -g "$account")" --init-groups -- "$@"
  else
    exec sudo -n -u "$account" -- "$@"
  fi
}
as_account() (become "$@")

# Whether the account $1 can enter the folder $2.
can_enter() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  as_account "$1" sh -c 'cd "$1"' sh "$2" 2>/dev/null
}
