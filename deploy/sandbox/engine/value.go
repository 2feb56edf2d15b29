package engine

import "github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"

// ParseValue reads a value of type t as KQL writes it between the brackets of a literal such as
// `datetime(…)`, into a vector of one row; `null` is null for every type but string. It is how files
// write values, too.
func ParseValue(t table.Type, text string) (*table.Vector, error) { return parseValue(t, text) }
