package transformer

import (
	"bytes"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compressor compresses OTLP batches. The same input gives the same output: the
// gzip header has no time in it, and encoders are used again only from their
// beginning.
type compressor struct {
	gzip *gzip.Writer
	zstd *zstd.Encoder
	out  bytes.Buffer
	all  []byte
}

// compress returns data compressed, and its HTTP Content-Encoding. Without
// compression that is data itself.
func (c *compressor) compress(how Compression, data []byte) (compressed []byte, encoding string, err error) {
	switch how {
	case None:
		return data, "", nil
	case Zstd:
		if c.zstd == nil {
			c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
			if err != nil {
				return nil, "", err
			}
		}
		c.all = c.zstd.EncodeAll(data, c.all[:0])
		return bytes.Clone(c.all), string(Zstd), nil
	default:
		c.out.Reset()
		if c.gzip == nil {
			if c.gzip, err = gzip.NewWriterLevel(&c.out, gzip.BestSpeed); err != nil {
				return nil, "", err
			}
		}
		c.gzip.Reset(&c.out)
		if _, err = c.gzip.Write(data); err == nil {
			err = c.gzip.Close()
		}
		return bytes.Clone(c.out.Bytes()), string(Gzip), err
	}
}
