//go:build tools

// Package tools pins the Python language host, so that go.mod and go.sum describe its whole build.
package tools

import _ "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
