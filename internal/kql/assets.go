package kql

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ErrNotBuiltIn is what Open returns when the binary was built before the parser had been fetched.
var ErrNotBuiltIn = errors.New(`the KQL parser is not built in: run "make kql" and build again`)

// assets always holds at least .gitignore ("all:" includes it), so that a bare clone compiles.
//
//go:embed all:assets
var assets embed.FS

//go:embed analyze.js
var glue string

//go:embed fast.js
var fast string

//go:embed NOTICES
var notices string

// Notices are the licences and copyright notices of the embedded parser.
func Notices() string { return notices }

// bundle is the parser's script, unpacked from the file system that fetch.sh fills.
func bundle(files fs.FS) (string, error) {
	packed, err := fs.ReadFile(files, "assets/kusto.js.gz")
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotBuiltIn
	}
	if err != nil {
		return "", fmt.Errorf("read the KQL parser: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", fmt.Errorf("unpack the KQL parser: %w", err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return "", fmt.Errorf("unpack the KQL parser: %w", err)
	}
	return string(text), nil
}
