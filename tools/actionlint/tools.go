//go:build tools

// Package tools pins actionlint, which `make check` builds (tools/workflows.py).
package tools

import _ "github.com/rhysd/actionlint/cmd/actionlint"
