package main

import (
	"os"
	"os/exec"
	"sync"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/internal/kql"
)

// parserEngines is how many queries are parsed at a time: an engine takes a second to start, and
// more than two seldom pay for that.
const parserEngines = 2

// parserOfProcess is one for all commands of a process, kept until it ends, as its engines take long
// to start. It takes what Kusto takes, 2 MiB of text. The error is kql.ErrNotBuiltIn when the parser is not in the binary.
var parserOfProcess = sync.OnceValues(func() (*kql.Parser, error) {
	return kql.Open(kql.Config{Engines: parserEngines, MaxText: 2 << 20, Command: parserCommand})
})

// parserCommand makes the command of a process with one engine. Tests, where the program is
// another, replace it.
var parserCommand = func() *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return exec.Command(self, newParserEngine().Name())
}

// newParserEngine is for this program itself, and so not shown.
func newParserEngine() *cobra.Command {
	return &cobra.Command{
		Use:    "parser-engine",
		Short:  "Parse queries for another process of this program",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return kql.Serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
