package schemas

import (
	"fmt"
	"net/url"
	"strings"
)

// LedgerBucket is the KV bucket with the record of every window. README.md is the
// specification of its keys and values.
const LedgerBucket = "K2O_LEDGER"

// ParseToken is the inverse of Token.
func ParseToken(token string) (string, error) {
	name, err := url.PathUnescape(strings.ReplaceAll(strings.ReplaceAll(token, "%", "%25"), "=", "%"))
	if err != nil || Token(name) != token {
		return "", fmt.Errorf("%q is no token of a name", token)
	}
	return name, nil
}
