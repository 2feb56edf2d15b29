// Package otlpbody unpacks the bodies of OTLP batches, as the transformer packs them.
//
// What arrives is a message's body and its encoding, as the header K2o-Encoding names it;
// what leaves is the serialized ExportMetricsServiceRequest.
package otlpbody

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxBody bounds a body that is unpacked, in bytes: those that the pipeline makes have
// 4 MiB at most.
const maxBody = 64 << 20

// Unpack returns what body was before it was compressed. Encoding is gzip, zstd or, when
// it was not, empty.
func Unpack(body []byte, encoding string) ([]byte, error) {
	var r io.Reader
	switch encoding {
	case "":
		return body, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, fmt.Errorf("unknown encoding %q", encoding)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err == nil && len(data) > maxBody {
		err = fmt.Errorf("it has more than %d MiB", maxBody>>20)
	}
	return data, err
}
