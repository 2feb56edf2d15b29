package otlpbody_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/otlpbody"
)

func pack(tb testing.TB, encoding string, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
		require.NoError(tb, err)
	default:
		return data
	}
	_, err = w.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	for _, encoding := range []string{"", "gzip", "zstd"} {
		t.Run("OK "+encoding, func(t *testing.T) {
			data := bytes.Repeat([]byte("points "), 1000)
			got, err := otlpbody.Unpack(pack(t, encoding, data), encoding)
			require.NoError(t, err)
			require.Equal(t, data, got)
		})
	}
	t.Run("ErrEncoding", func(t *testing.T) {
		_, err := otlpbody.Unpack(nil, "br")
		require.EqualError(t, err, `unknown encoding "br"`)
	})
	t.Run("ErrTooLarge", func(t *testing.T) {
		bomb := make([]byte, 65<<20)
		_, err := otlpbody.Unpack(pack(t, "gzip", bomb), "gzip")
		require.EqualError(t, err, "it has more than 64 MiB")
		_, err = otlpbody.Unpack(pack(t, "zstd", bomb), "zstd")
		require.Error(t, err)
	})
}

// Whatever a body is, it is unpacked or refused.
func FuzzUnpack(f *testing.F) {
	for _, encoding := range []string{"", "gzip", "zstd"} {
		f.Add(pack(f, encoding, []byte("points")), encoding)
	}
	f.Fuzz(func(_ *testing.T, body []byte, encoding string) {
		_, _ = otlpbody.Unpack(body, encoding)
	})
}
