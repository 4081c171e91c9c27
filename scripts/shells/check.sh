#!/usr/bin/env bash
# Check pipectl in bash: the ways to quote of docs/quoting.md, bytes through files and redirections, and exit codes.
#
#   scripts/shells/check.sh dist/pipectl.exe              in Git Bash
#   scripts/shells/check.sh python3 scripts/dev.py exe    on Linux, under Wine
#
# Prints a line for each check, `ok` or `not ok`. The exit code is 1 if a check is not ok.
set -u

if [ $# -eq 0 ]; then
    echo "usage: $0 PIPECTL..." >&2
    exit 2
fi
pipectl=("$@")
name="pipectl-check-$$-$RANDOM"
folder=$(mktemp -d)
failed=0

# same WHAT EXPECTED ACTUAL
same() {
    if [ "$2" = "$3" ]; then
        echo "ok - $1"
    else
        echo "not ok - $1: expected '$2', got '$3'"
        failed=1
    fi
}

# Print the exit code of pipectl with these arguments.
code() {
    "${pipectl[@]}" "$@" < /dev/null > /dev/null 2>&1
    echo $?
}

call() {
    "${pipectl[@]}" call "$@" < /dev/null
}

# Serve an echo in the background. It also ends on its own, in case the shell cannot end a Windows program.
serve() {
    "${pipectl[@]}" serve "$1" --idle-timeout 60 --log none --quiet < /dev/null > /dev/null 2>&1 &
    servers+=($!)
    same "serve $1" 0 "$(code wait "$1" --for exists --timeout 60)"
}

clean_up() {
    kill "${servers[@]}" 2> /dev/null
    wait
    rm -rf "$folder"
}
servers=()
trap clean_up EXIT

case $("${pipectl[@]}" --version < /dev/null) in
    "pipectl "[0-9]*) same "--version" 0 0 ;;
    *) same "--version" "pipectl and a number" "something else" ;;
esac
serve "$name"
below="$name"'$x/below'
serve "$below"

same "text" "ping" "$(call "$name" ping)"
same "JSON in single quotes" '{"cmd":"ping"}' "$(call "$name" '{"cmd":"ping"}')"
same "text beyond ASCII" "žluťoučký 漢字 😀" "$(call "$name" "žluťoučký 漢字 😀")"
same "an empty argument" 0 "$(code call "$name" "")"
same "text on stdin" "ping" "$(echo ping | "${pipectl[@]}" call "$name" - --chomp)"

same "a name with slashes" "ping" "$(call "//./pipe/$name" ping)"
same "a name with backslashes, in single quotes" "ping" "$(call '\\.\pipe\'"$name" ping)"
same "a name with backslashes, in double quotes" "ping" "$(call "\\.\pipe\\$name" ping)"
same "a name with backslashes, without quotes" 2 "$(code call \\.\pipe$name ping)"
same "a name with a dollar sign, in single quotes" "ping" "$(call "$name"'$x\below' ping)"

head -c 100000 /dev/urandom > "$folder/in"
call "$name" --data-file "$folder/in" -o "$folder/out"
cmp "$folder/in" "$folder/out"
same "bytes from a file to a file" 0 $?
"${pipectl[@]}" call "$name" - < "$folder/in" > "$folder/redirected"
cmp "$folder/in" "$folder/redirected"
same "bytes through redirections" 0 $?
"${pipectl[@]}" call "$name" - < "$folder/in" | cat > "$folder/piped"
cmp "$folder/in" "$folder/piped"
same "bytes through a pipe of the shell" 0 $?

same "exit code of a pipe that is not found" 3 "$(code call "$name-absent" ping)"
same "exit code of a wait that times out" 6 "$(code wait "$name" --for gone --timeout 0.2)"
same "exit code of a wrong command line" 2 "$(code call)"

if [ -n "${MSYSTEM-}" ]; then
    same "an argument with a doubled slash" "/status" "$(call "$name" //status)"
    same "an argument without conversion" "/status" "$(MSYS2_ARG_CONV_EXCL='*' call "$name" /status)"
    note=$(call "$name" /status 2>&1 > /dev/null)
    same "a note on an argument that was converted" "yes" "$([ -n "$note" ] && echo yes)"
fi
exit $failed
