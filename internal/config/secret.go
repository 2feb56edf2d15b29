package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

// redacted is what a secret prints as.
const redacted = "[redacted]"

// A Secret is a string that is never printed: fmt, encoding/json, YAML and
// slog show [redacted]. Reveal returns it.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Secret keeps the value out of the messages of package strict.
func (Secret) Secret() {}

// String returns [redacted], or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format prints as String does whatever the verb, also %x and %#v.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the secret out of JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML keeps the secret out of YAML.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// An Address is a URL, or several of them with commas between. Credentials and
// the values of its query are left out wherever it is printed; Reveal returns
// it whole.
type Address string

// Reveal returns the address with whatever secrets it holds.
func (a Address) Reveal() string { return string(a) }

var queryValue = regexp.MustCompile(`=[^&;]*`)

// String returns the address without credentials and query values.
func (a Address) String() string {
	parts := strings.Split(string(a), ",")
	for i, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil {
			parts[i] = redacted
			continue
		}
		secret := false
		if u.User != nil {
			u.User, secret = nil, true
		}
		query := queryValue.ReplaceAllString(u.RawQuery, "="+redacted)
		u.RawQuery, u.Fragment = "", ""
		parts[i] = u.String()
		if secret {
			parts[i] = strings.Replace(parts[i], "://", "://"+redacted+"@", 1)
		}
		if query != "" {
			parts[i] += "?" + query
		}
	}
	return strings.Join(parts, ",")
}

// Format prints as String does whatever the verb.
func (a Address) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		_, _ = fmt.Fprintf(f, "%q", a.String())
		return
	}
	_, _ = f.Write([]byte(a.String()))
}

// LogValue implements slog.LogValuer.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText leaves secrets out of JSON.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// MarshalYAML leaves secrets out of YAML.
func (a Address) MarshalYAML() (any, error) { return a.String(), nil }
