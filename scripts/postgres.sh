# shellcheck shell=bash
# Makes PostgreSQL data folders for ./run and ./test. Source lib.sh first.

# init_postgres_data BIN ACCOUNT FOLDER LOG [INITDB OPTION…]: a fresh cluster whose superuser `postgres` needs no password, so write
# pg_hba.conf before anyone can connect. Names sort by bytes, the same on every machine; letters fold as Unicode says.
init_postgres_data() {
  local bin=$1 account=$2 folder=$3 log=$4 ctype=C.UTF-8
  [[ $(uname) == Darwin ]] && ctype=UTF-8
  shift 4
  mkdir -p "$folder"
  chmod 700 "$folder"
  [[ -z $account ]] || chown "$account" "$folder"
  as_account "$account" "$bin/initdb" --pgdata="$folder" --username=postgres --auth=trust \
    --encoding=UTF8 --lc-collate=C --lc-ctype="$ctype" "$@" >"$log" 2>&1 ||
    die "initdb failed: $(last_line "$log") (log: $log)"
}

# postgres_single_user BIN ACCOUNT FOLDER DATABASE: runs SQL from standard input, a statement a line, while no server
# runs. That needs no password and no port. A failing statement is not logged: it may hold a password.
postgres_single_user() {
  as_account "$2" "$1/postgres" --single -D "$3" -c exit_on_error=on -c log_min_error_statement=panic "$4" >/dev/null
}
