# shellcheck shell=bash disable=SC2154  # the secrets come from secrets.env, the programs from ./run
# The parts of a running stack: where each lives, its settings and secrets, how it starts and ends. Source lib.sh and
# postgres.sh first. `hongyan` is the service in one process; roles apart are `projector`, `gateway-1`, `gateway-2` …

readonly run_dir=$state/run log_dir=$state/log data=$state/data
readonly secrets_file=$state/secrets.env settings_file=$run_dir/stack.env
readonly servers='nats postgres redis'

# --- settings --------------------------------------------------------------------------------------------------------

# Ports from the environment; while parts are running, those that they were started with.
load_settings() {
  nats_port=${HONGYAN_NATS_PORT:-7422} postgres_port=${HONGYAN_POSTGRES_PORT:-7432}
  redis_port=${HONGYAN_REDIS_PORT:-7379} port=${HONGYAN_PORT:-7001} admin_port=${HONGYAN_ADMIN_PORT:-7002}
  gateways=0
  # HONGYAN_BIN: use a binary built elsewhere.
  [[ ${HONGYAN_PROFILE:-quick} =~ ^(quick|release)$ ]] || die "HONGYAN_PROFILE is quick or release, not $HONGYAN_PROFILE"
  program=${HONGYAN_BIN:-${CARGO_TARGET_DIR:-$root/target}/${HONGYAN_PROFILE:-quick}/hongyan}
  [[ $program == /* ]] || program=$PWD/$program
  local value
  for value in "$nats_port" "$postgres_port" "$redis_port" "$port" "$admin_port"; do
    is_port "$value" || die "no port: $value"
  done
  [[ -f $settings_file ]] || return 0
  local asked="$nats_port $postgres_port $redis_port $port $admin_port $gateways $program"
  # shellcheck source=/dev/null  # written by save_settings
  . "$settings_file"
  any_running && return 0
  read -r nats_port postgres_port redis_port port admin_port gateways program <<<"$asked"
}

is_port() { [[ $1 =~ ^[0-9]+$ ]] && ((10#$1 > 0 && 10#$1 < 65536)); }

save_settings() {
  {
    echo "nats_port=$nats_port postgres_port=$postgres_port redis_port=$redis_port"
    echo "port=$port admin_port=$admin_port gateways=$gateways"
    printf 'program=%q\n' "$program"
  } >"$settings_file"
}

# The parts that are the service, on one line, in the order of their start.
services() {
  local i names=projector
  if ((gateways == 0)); then
    names=hongyan
  else
    for ((i = 1; i <= gateways; i++)); do names+=" gateway-$i"; done
  fi
  echo "$names"
}

# The port that a part answers at, and that of its admin listener. Gateway 2 has 7011 and 7012.
port_of() {
  case $1 in
    nats) echo "$nats_port" ;;
    postgres) echo "$postgres_port" ;;
    redis) echo "$redis_port" ;;
    hongyan) echo "$port" ;;
    gateway-*) echo $((port + 10 * (${1#gateway-} - 1))) ;;
    projector) admin_port_of projector ;;
  esac
}
admin_port_of() {
  case $1 in
    hongyan) echo "$admin_port" ;;
    gateway-*) echo $((admin_port + 10 * (${1#gateway-} - 1))) ;;
    projector) echo $((admin_port + 1)) ;;
  esac
}

# --- secrets ---------------------------------------------------------------------------------------------------------

# Each begins with a letter: nats-server reads the value like configuration, where 12e5 is a number.
make_secrets() {
  local name made=''
  [[ -f $secrets_file ]] && made=$(<"$secrets_file")
  for name in nats_gateway nats_projector nats_ops nats_analytics_ops nats_analyst nats_sys \
    postgres_owner postgres_gateway redis token_secret password_pepper pseudonym_secret; do
    grep -q "^$name=" <<<"$made" || made+=${made:+$'\n'}$name=s$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')
  done
  if [[ $made != "$(cat "$secrets_file" 2>/dev/null)" ]]; then
    (umask 077 && printf '%s\n' "$made" >"$secrets_file.new") || die "cannot write $secrets_file"
    mv "$secrets_file.new" "$secrets_file"
  fi
  load_secrets
}
# shellcheck source=/dev/null  # written above
load_secrets() { . "$secrets_file"; }

# What a process of the service is told, by role: each gets the secrets that it needs and no others.
export_common() {
  export HONGYAN__NATS__URL=nats://127.0.0.1:$nats_port
  export HONGYAN__REDIS__URL=redis://:$redis@127.0.0.1:$redis_port/0
  export HONGYAN__LOG__STORE_DIR=$data/nats
  export HONGYAN__LOG__DURABILITY=${HONGYAN__LOG__DURABILITY:-synced}
}
export_gateway() {
  export HONGYAN__NATS__GATEWAY_PASSWORD=$nats_gateway
  export HONGYAN__POSTGRES__READER_URL=postgres://hongyan_gateway:$postgres_gateway@127.0.0.1:$postgres_port/hongyan
  export HONGYAN__AUTH__TOKEN_SECRET=$token_secret HONGYAN__AUTH__PASSWORD_PEPPER=$password_pepper
  export HONGYAN__MEDIA__ROOT=${HONGYAN__MEDIA__ROOT:-$data/uploads} # shared by all gateways
}
export_projector() {
  export HONGYAN__NATS__PROJECTOR_PASSWORD=$nats_projector HONGYAN__NATS__ANALYTICS_PASSWORD=$nats_analytics_ops
  export HONGYAN__ANALYTICS__PSEUDONYM_SECRET=$pseudonym_secret
  export HONGYAN__POSTGRES__URL=postgres://hongyan_owner:$postgres_owner@127.0.0.1:$postgres_port/hongyan
}
export_operator() {
  export_common
  export_gateway
  export_projector
  export HONGYAN__NATS__OPS_PASSWORD=$nats_ops
  export HONGYAN__SERVER__LISTEN=127.0.0.1:$port HONGYAN__SERVER__ADMIN_LISTEN=127.0.0.1:$admin_port
}

# --- processes -------------------------------------------------------------------------------------------------------

# What the command line of a part holds and that of no other program, so that a reused pid is told apart.
mark_of() {
  case $1 in
    nats) echo "-sd $data/nats " ;;
    postgres) echo "-D $(postgres_folder) " ;;
    redis) echo ":$redis_port $data/redis" ;;
    hongyan) echo "$program serve" ;;
    projector) echo "$program serve --role projector" ;;
    gateway-*) echo "$program serve --role gateway" ;;
  esac
}

# The pid of a part that is running; false when it is not.
pid_of() {
  local pid command
  pid=$(cat "$run_dir/$1.pid" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
  command=$(ps -ww -o command= -p "$pid" 2>/dev/null) || return 1
  [[ "$command " == *"$(mark_of "$1")"* ]] || return 1
  echo "$pid"
}
is_running() { pid_of "$1" >/dev/null; }
is_gone() { ! is_running "$1"; }
any_running() {
  local part
  for part in $servers $(services); do is_running "$part" && return 0; done
  return 1
}

# launch PART COMMAND…: starts it in the background, in a process group of its own, so that the Ctrl-C of a terminal
# reaches only ./run, which then ends the parts in order.
launch() {
  local part=$1 log=$log_dir/$1.log
  shift
  if [[ $(wc -c 2>/dev/null <"$log") -gt 50000000 ]]; then mv "$log" "$log.1"; fi
  set -m
  (trap '' HUP && raise_file_limit && "$@") >>"$log" 2>&1 &
  echo $! >"$run_dir/$part.pid"
  disown 2>/dev/null || true
  set +m
}
raise_file_limit() {
  local most
  most=$(ulimit -Hn)
  [[ $most != unlimited ]] && ((most < 262144)) || most=262144
  ulimit -n "$most" 2>/dev/null || true
}

# await_part PART SECONDS: until it answers. Says why when it does not.
await_part() {
  local part=$1 pid log=$log_dir/$1.log try
  for try in 1 2 3 4 5; do
    pid=$(<"$run_dir/$part.pid")
    wait_until "$2" is_decided "$part" "$pid" || is_catching_up "$part" || {
      why_not_ready "$part" >&2
      die "$part does not answer after $2 s: ./run logs $part"
    }
    if kill -0 "$pid" 2>/dev/null; then
      echo "$pid" >"$run_dir/$part.pid" # again, with a line end: nats-server writes its own without
      return 0
    fi
    # The children of a killed PostgreSQL need a moment to notice; until then it rightly refuses to start beside them.
    [[ $part == postgres && $try != 5 ]] || break
    tail -n 3 "$log" | grep -q 'shared memory block' || break
    sleep 1
    start_postgres
  done
  die "$part ended at its start: $(last_line "$log") (log: $log)"
}
# A read model that has stopped waits for its operator, who needs the other parts to help it.
is_decided() { answers "$1" || ! kill -0 "$2" 2>/dev/null || [[ $(why_not_ready "$1") == *' is stopped'* ]]; }

# Ten million events take longer than anybody wants to wait for.
is_catching_up() { [[ $(why_not_ready "$1") == *' is catching_up'* ]]; }

answers() {
  case $1 in
    nats) [[ $(first_line "$nats_port" '') == INFO* ]] ;;
    postgres) "$postgres_bin/pg_isready" -q -h 127.0.0.1 -p "$postgres_port" -t 1 -d hongyan -U hongyan_owner ;;
    redis) redis_answers ;;
    *) [[ $(first_line "$(admin_port_of "$1")" 'GET /health/ready HTTP/1.0') == *' 200 '* ]] ;;
  esac
}

# why_not_ready PART: a line for each thing that keeps a part of the service from being ready.
why_not_ready() (
  number=$(admin_port_of "$1")
  [[ -n $number ]] || exit 0
  exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$number" || exit 0
  printf 'GET /health/ready HTTP/1.0\r\nAccept: text/plain\r\n\r\n' >&3
  while IFS= read -r -t 5 line <&3 && [[ $line != $'\r' ]]; do :; done
  while IFS= read -r -t 5 line <&3; do printf '  %s\n' "$line"; done
)

# The first line that a listener says, after a request if there is one.
first_line() (
  exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" || exit 0
  [[ -z $2 ]] || printf '%s\r\n\r\n' "$2" >&3
  IFS= read -r -t 2 line <&3
  printf '%s\n' "$line"
)

# Not while it still loads its data.
redis_answers() (
  exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$redis_port" || exit 1
  printf 'AUTH %s\r\nPING\r\n' "$redis" >&3
  IFS= read -r -t 2 line <&3 && IFS= read -r -t 2 line <&3
  [[ $line == +PONG* ]]
)

# end_part PART SIGNAL SECONDS: asks it to end, waits, and insists after that time.
end_part() {
  local pid
  [[ -f $run_dir/$1.pid ]] || return 0
  if pid=$(pid_of "$1"); then
    kill "-$2" "$pid" 2>/dev/null || true
    wait_until "$3" is_gone "$1" || insist "$1" "$pid"
  fi
  say "$1 stopped"
  rm -f "$run_dir/$1.pid"
}
insist() {
  # PostgreSQL has an emergency stop that takes its children along, which KILL would leave behind.
  [[ $1 != postgres ]] || { kill -QUIT "$2" 2>/dev/null && wait_until 5 is_gone postgres && return 0; }
  say "$1 does not stop: killing it"
  kill -KILL "$2" 2>/dev/null || true
  wait_until 5 is_gone "$1" || true
}

# --- the parts -------------------------------------------------------------------------------------------------------

start_nats() {
  mkdir -p "$data/nats"
  launch nats exec_nats </dev/null
}
exec_nats() {
  export HONGYAN_NATS_GATEWAY_PASSWORD=$nats_gateway HONGYAN_NATS_PROJECTOR_PASSWORD=$nats_projector
  export HONGYAN_NATS_OPS_PASSWORD=$nats_ops HONGYAN_NATS_ANALYTICS_OPS_PASSWORD=$nats_analytics_ops
  export HONGYAN_NATS_ANALYST_PASSWORD=$nats_analyst HONGYAN_NATS_SYS_PASSWORD=$nats_sys
  # Or it keeps what it has read of a large log until memory is short. Below what it needs at once, up to 5 GiB with ten
  # million events, it does little but collect garbage.
  export GOMEMLIMIT=${GOMEMLIMIT:-$(quarter_of_memory)}
  exec "$nats_server" -c "$root/nats.conf" -a 127.0.0.1 -p "$nats_port" -sd "$data/nats" \
    -P "$run_dir/nats.pid" -l "$log_dir/nats.log"
}

quarter_of_memory() {
  awk '/^MemTotal:/ { mib = int($2 / 4096); print (mib > 2048 ? mib : 2048) "MiB" }' /proc/meminfo
}

start_redis() {
  mkdir -p "$data/redis"
  launch redis exec_redis < <(redis_settings)
}
# By standard input, so that the password is neither in a file nor in the process list. The title names the folder, by
# which this Redis is known from others.
redis_settings() {
  printf '%s\n' "port $redis_port" 'bind 127.0.0.1' "requirepass $redis" "dir \"$data/redis\"" 'daemonize no' \
    'appendonly yes' 'appendfsync everysec' 'save ""' 'maxmemory-policy noeviction' \
    "maxmemory ${HONGYAN_REDIS_MAXMEMORY:-$(($(memory_kib) / 4))kb}" \
    "proc-title-template \"{title} {listen-addr} $data/redis\""
}
memory_kib() { awk '/^MemTotal:/ { print $2 }' /proc/meminfo 2>/dev/null || echo $(($(sysctl -n hw.memsize) / 1024)); }
exec_redis() { exec "$redis_server" -; }

# Where PostgreSQL's data are. `.hongyan/data/postgres` is a link when the account that the server runs as cannot enter
# this checkout.
postgres_folder() { readlink "$data/postgres" || echo "$data/postgres"; }

# The account it runs as: the owner of the data, if there are any.
data_account() {
  local owner
  ((EUID == 0)) || return 0
  owner=$({ ls -ld "$(postgres_folder)" 2>/dev/null || true; } | awk '{ print $3 }')
  if [[ -n $owner && $owner != root ]]; then echo "$owner"; else postgres_account; fi
}

prepare_postgres() {
  local account folder marker=$data/postgres.passwords log=$log_dir/initdb.log
  account=$(data_account)
  place_postgres "$account"
  folder=$(postgres_folder)
  if [[ ! -f $folder/PG_VERSION ]]; then
    say 'making the PostgreSQL data folder'
    rm -rf "$folder" "$folder.new" "$marker"
    init_postgres_data "$postgres_bin" "$account" "$folder.new" "$log"
    # Only the two roles, only with their passwords. The superuser cannot log in: postgres_single_user is its way.
    printf 'host hongyan %s 127.0.0.1/32 scram-sha-256\n' hongyan_owner hongyan_gateway >"$folder.new/pg_hba.conf"
    postgres_single_user "$postgres_bin" "$account" "$folder.new" postgres 2>>"$log" <<'SQL' ||
create role hongyan_owner login
create role hongyan_gateway login
create database hongyan owner hongyan_owner
revoke connect on database hongyan from public
grant connect on database hongyan to hongyan_gateway
SQL
      die "cannot make the database: $(last_line "$log") (log: $log)"
    mv "$folder.new" "$folder"
  fi
  # A new secrets.env means new passwords, also for data that were there before.
  if [[ ! -f $marker || $secrets_file -nt $marker ]]; then
    forget_dead_postmaster "$folder"
    postgres_single_user "$postgres_bin" "$account" "$folder" postgres 2>>"$log" <<SQL || die "cannot set the passwords: $(last_line "$log") (log: $log)"
alter role hongyan_owner password '$postgres_owner'
alter role hongyan_gateway password '$postgres_gateway'
SQL
    touch "$marker"
  fi
}

place_postgres() {
  local elsewhere
  mkdir -p "$data"
  if [[ ! -e $data/postgres && ! -L $data/postgres ]] && ! can_enter "$1" "$data"; then
    elsewhere=/var/lib/hongyan-$(printf '%s' "$root" | cksum | cut -d ' ' -f 1)
    say "the account $1 cannot enter $root: PostgreSQL's data go to $elsewhere"
    rm -rf "$elsewhere" # left by a .hongyan that is gone, and with it the log
    mkdir -p "$elsewhere"
    chmod 711 "$elsewhere"
    ln -s "$elsewhere/postgres" "$data/postgres"
  elif [[ -f $data/postgres/PG_VERSION ]] && ! can_enter "$1" "$(postgres_folder)"; then
    die "the account ${1:-$(id -un)} cannot enter $(postgres_folder): ./run reset starts anew where it can"
  fi
}

# A pid file that a crash left stops PostgreSQL's start when another program has that pid by now, or when nobody has
# taken note of the dead one's end. Whether children of it are still at work PostgreSQL finds out without the file.
forget_dead_postmaster() {
  local pid
  pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 0
  case "$(ps -ww -o command= -p "$pid" 2>/dev/null) " in
    *"-D $1 "*) ;;
    *) rm -f "$1/postmaster.pid" ;;
  esac
}

start_postgres() {
  forget_dead_postmaster "$(postgres_folder)"
  launch postgres become "$(data_account)" "$postgres_bin/postgres" -D "$(postgres_folder)" -p "$postgres_port" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=60 -c shared_buffers=128MB </dev/null
}

start_service() {
  local part=$1 role=()
  case $part in
    projector) role=(--role projector) ;;
    gateway-*) role=(--role gateway) ;;
  esac
  launch "$part" exec_service "$part" ${role[@]+"${role[@]}"} </dev/null
}
exec_service() {
  local part=$1
  shift
  export_common
  [[ $part == projector ]] || export_gateway
  [[ $part == gateway-* ]] || export_projector
  HONGYAN__SERVER__ADMIN_LISTEN=127.0.0.1:$(admin_port_of "$part")
  if [[ $part != projector ]]; then HONGYAN__SERVER__LISTEN=127.0.0.1:$(port_of "$part"); fi
  export HONGYAN__SERVER__LISTEN HONGYAN__SERVER__ADMIN_LISTEN
  exec "$program" serve "$@"
}
