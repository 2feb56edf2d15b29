package engine

import (
	"crypto/md5"  //nolint:gosec // Kusto's hash_md5
	"crypto/sha1" //nolint:gosec // Kusto's hash_sha1
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	functions["url_encode"] = scalar("string: string", func(r row) (string, bool) { return urlEncode(r.text(0), "+"), true })
	functions["url_encode_component"] = scalar("string: string", func(r row) (string, bool) { return urlEncode(r.text(0), "%20"), true })
	functions["url_decode"] = scalar("string: string", urlDecode)
	functions["parse_url"] = scalar("dynamic: string", parseURL)
	functions["parseurl"] = functions["parse_url"]
	functions["parse_urlquery"] = scalar("dynamic: string", func(r row) (string, bool) {
		return `{"Query Parameters":` + queryParameters(r, strings.TrimPrefix(r.text(0), "?")) + `}`, true
	})
	functions["parseurlquery"] = functions["parse_urlquery"]
	functions["base64_encode_tostring"] = scalar("string: string", func(r row) (string, bool) {
		return base64.StdEncoding.EncodeToString([]byte(r.text(0))), true
	})
	functions["base64_encodestring"] = functions["base64_encode_tostring"]
	functions["base64_decode_tostring"] = scalar("string: string", func(r row) (string, bool) {
		b, err := base64.StdEncoding.DecodeString(r.text(0))
		return string(b), err == nil && utf8.Valid(b)
	})
	functions["base64_decodestring"] = functions["base64_decode_tostring"]
	functions["base64_decode_toarray"] = scalar("dynamic: string", func(r row) (string, bool) {
		b, err := base64.StdEncoding.DecodeString(r.text(0))
		var a []string
		for _, c := range b {
			a = append(a, formatInteger(int64(c)))
		}
		return array(a), err == nil
	})
	functions["hash_sha256"] = bindDigest(func(b []byte) []byte { s := sha256.Sum256(b); return s[:] })
	functions["hash_sha1"] = bindDigest(func(b []byte) []byte { s := sha1.Sum(b); return s[:] }) //nolint:gosec // no secret
	functions["hash_md5"] = bindDigest(func(b []byte) []byte { s := md5.Sum(b); return s[:] })   //nolint:gosec // no secret
	functions["hash"] = bindHash
	functions["hash_xxhash64"] = bindHash
}

// urlEncode writes what is neither letter, digit nor one of -_.!*() as %xx, in lower case, as the service does.
func urlEncode(s, space string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.IndexByte("-_.!*()", c) >= 0:
			b.WriteByte(c)
		case c == ' ':
			b.WriteString(space)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

func urlDecode(r row) (string, bool) {
	s, err := url.QueryUnescape(r.text(0))
	if err != nil || !utf8.ValidString(s) {
		r.refuse("url_decode of %.40q", r.text(0))
	}
	return s, true
}

// parseURL is an object of the parts of an absolute URL; those that are not there are empty. The path is without its
// first slash, as in the documentation's example.
func parseURL(r row) (string, bool) {
	u, err := url.Parse(r.text(0))
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		r.refuse("parse_url of %.80q", r.text(0))
		return "", false
	}
	password, _ := u.User.Password()
	return object([]member{
		{"Scheme", quote(u.Scheme)}, {"Host", quote(u.Hostname())}, {"Port", quote(u.Port())},
		{"Path", quote(strings.TrimPrefix(u.EscapedPath(), "/"))}, {"Username", quote(u.User.Username())}, {"Password", quote(password)},
		{"Query Parameters", queryParameters(r, u.RawQuery)}, {"Fragment", quote(u.Fragment)},
	}), true
}

func queryParameters(r row, query string) string {
	b := newBag()
	for _, pair := range strings.Split(query, "&") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := b.index[name]; twice || !ok || strings.ContainsAny(pair, "%+") {
			r.refuse("the URL parameter %.40q, escaped, twice or without a value,", pair)
		}
		b.set(name, quote(value))
	}
	return b.text()
}

// bindDigest is a hash function's digest, in hexadecimal, of a value's text. Which bytes of other types than
// string the service takes is not documented.
func bindDigest(sum func([]byte) []byte) binder {
	return func(c *call) (kernel, error) {
		if c.args[0].typ != table.String {
			return nil, c.ofTypes()
		}
		return scalar("string: string", func(r row) (string, bool) { return hex.EncodeToString(sum([]byte(r.text(0)))), true })(c)
	}
}

// bindHash is xxHash64 of a string, or of a datetime's ticks since year 1.
func bindHash(c *call) (kernel, error) {
	var hash func(r row) uint64
	switch c.args[0].typ {
	case table.String:
		hash = func(r row) uint64 { return xxhash.Sum64String(r.text(0)) }
	case table.DateTime:
		hash = func(r row) uint64 {
			var b [8]byte
			for i, t := 0, uint64(r.int(0)-table.MinDateTime); i < len(b); i, t = i+1, t>>8 {
				b[i] = byte(t)
			}
			return xxhash.Sum64(b[:])
		}
	default:
		return nil, c.ofTypes()
	}
	if len(c.args) == 2 {
		return nil, c.unsupported("with a modulus") // of a hash that is a negative long, which is not documented
	}
	return liftRows(c.typ, func(r row) (int64, bool) { return int64(hash(r)), true }), nil
}
