# Prelude of the scripts that write files.

# write PATH MODE TEXT: at once, and never readable by more than MODE allows.
# 0: the text is a new one. 1: the file had it already. A failure ends the script.
write() {
    if [ -f "$1" ] && [ "$(cat "$1")" = "$3" ]; then
        chmod "$2" "$1" || exit 2
        return 1
    fi
    mkdir -p "$(dirname "$1")" || exit 2
    temporary=$(mktemp "$(dirname "$1")/.write.XXXXXX") || exit 2
    printf '%s\n' "$3" >"$temporary" || exit 2
    chmod "$2" "$temporary" || exit 2
    mv -f "$temporary" "$1" || exit 2
}
