package main

import (
	"sync"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// parserEngines is how many queries are parsed at a time: an engine takes a second to start, and
// more than two seldom pay for that.
const parserEngines = 2

// parserOfProcess is one for all commands of a process, kept until it ends, as its engines take long
// to start. It takes what Kusto takes, 2 MiB of text. The error is kql.ErrNotBuiltIn when the parser is not in the binary.
var parserOfProcess = sync.OnceValues(func() (*kql.Parser, error) {
	return kql.Open(kql.Config{Engines: parserEngines, MaxText: 2 << 20})
})
