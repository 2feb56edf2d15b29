package validate

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// WriteText writes one finding a line, as file:line:column: field: message; in colour for a terminal.
func WriteText(w io.Writer, findings []Finding, colour bool) error {
	for _, f := range findings {
		line := f.String()
		if colour {
			code := "\x1b[31m" // red
			if f.Severity == Warning {
				code = "\x1b[33m" // yellow
			}
			place := strings.TrimSuffix(Finding{File: f.File, Line: f.Line, Column: f.Column}.String(), " ")
			line = "\x1b[1m" + place + "\x1b[0m " + code + strings.TrimPrefix(line, place+" ") + "\x1b[0m"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes the findings as one array.
func WriteJSON(w io.Writer, findings []Finding) error {
	if findings == nil {
		findings = []Finding{}
	}
	return encode(w, findings)
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Of a workflow command's message, and of its properties, which end at a comma or a colon.
var (
	githubMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// WriteGitHub writes workflow commands, which GitHub shows beside the lines of a pull request. Files
// below dir, which is to be the root of the repository, are named from there.
func WriteGitHub(w io.Writer, findings []Finding, dir string) error {
	for _, f := range findings {
		properties := "file=" + githubProperty.Replace(relative(f.File, dir))
		if f.Line > 0 {
			properties += fmt.Sprintf(",line=%d,col=%d", f.Line, f.Column)
		}
		message := f.Message
		if f.Field != "" {
			message = f.Field + ": " + message
		}
		if _, err := fmt.Fprintf(w, "::%s %s::%s\n", f.Severity, properties, githubMessage.Replace(message)); err != nil {
			return err
		}
	}
	return nil
}

// relative is a path with slashes, from dir if it is below.
func relative(path, dir string) string {
	absolute := path
	if !filepath.IsAbs(path) {
		absolute = filepath.Join(dir, path)
	}
	if short, err := filepath.Rel(dir, absolute); err == nil && filepath.IsLocal(short) {
		path = short
	}
	return filepath.ToSlash(path)
}
