package engine

import (
	"fmt"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// UnsupportedError says that the sandbox does not evaluate a part of KQL that Kusto does. It is found before
// any row is read.
type UnsupportedError struct {
	What string // such as `operator "mv-expand"`
	kql.Position
}

// Error is `line:column: operator "mv-expand" is not supported by the sandbox`.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%d:%d: %s is not supported by the sandbox", e.Line, e.Column, e.What)
}

// ValueError says that a value does not fit where it is used: a query parameter, a literal, an
// argument that must be within bounds.
type ValueError struct {
	Name   string // of the parameter, or what the value is
	Reason string
}

func (e *ValueError) Error() string { return fmt.Sprintf("%s %s", e.Name, e.Reason) }

// LimitError says that a query would have to remember more rows than Options.MaxRows.
type LimitError struct {
	Operator string
	Limit    int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s holds more than %d rows, the sandbox's limit", e.Operator, e.Limit)
}
