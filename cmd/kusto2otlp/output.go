package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// The forms in which a command prints what it found.
const (
	outputTable = "table"
	outputJSON  = "json"
)

func checkOutput(output string) error {
	if output != outputTable && output != outputJSON {
		return usageError{fmt.Errorf("-o must be %s or %s, got %q", outputTable, outputJSON, output)}
	}
	return nil
}

// printJSON prints one value, a list as one array, for scripts.
func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// metricsExporterName reads NAMESPACE/NAME from a flag or an argument.
func metricsExporterName(what, value string) (namespace, name string, err error) {
	namespace, name, ok := strings.Cut(value, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return "", "", usageError{fmt.Errorf("%s must be NAMESPACE/NAME, got %q", what, value)}
	}
	return namespace, name, nil
}
