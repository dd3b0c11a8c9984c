# Events to the audit bucket from now on: once at once, which shows what is missing, then by a timer.

set -eu

# ARCHIVE names the bucket and its key: others run this again.
: "$ARCHIVE"
systemctl start anycastle-export || {
    echo "exporting events to the audit bucket failed; its last log lines:" >&2
    journalctl -u anycastle-export -n 20 -o cat --no-pager >&2
    exit 1
}
systemctl enable -q --now anycastle-export.timer
