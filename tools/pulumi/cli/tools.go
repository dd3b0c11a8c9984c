//go:build tools

// Package tools pins the pulumi command, so that go.mod and go.sum describe its whole build.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
