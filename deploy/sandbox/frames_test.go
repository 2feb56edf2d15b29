package sandbox_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// frameNames lists the frames of an answer, which must be valid JSON.
func frameNames(t *testing.T, text string) string {
	t.Helper()
	var frames []struct{ FrameType, TableKind string }
	if err := json.Unmarshal([]byte(text), &frames); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var names []string
	for _, f := range frames {
		name := f.FrameType
		if f.TableKind != "" {
			name += "/" + f.TableKind
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func gunzip(t *testing.T, raw string) string {
	t.Helper()
	zr, err := gzip.NewReader(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
