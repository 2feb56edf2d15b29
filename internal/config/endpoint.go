package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The messages here never quote an address: its credentials or its query may
// be secrets.

// httpURL reads an address that must be an http or https URL with a host, and
// returns what is wrong with it.
func httpURL(a Address) (*url.URL, string) {
	if a == "" {
		return nil, "is needed"
	}
	u, err := url.Parse(a.Reveal())
	switch {
	case err != nil:
		return nil, "must be a URL: " + urlReason(err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "must begin with http:// or https://"
	case u.Hostname() == "":
		return nil, "must have a host"
	case u.User != nil:
		return nil, "must not have credentials"
	case u.Fragment != "":
		return nil, "must not have a fragment"
	}
	if message := portProblem(u.Port()); message != "" {
		return nil, message
	}
	return u, ""
}

// urlReason leaves out the address that a url.Error repeats, and the part of
// it that an EscapeError does.
func urlReason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var escape url.EscapeError
	var host url.InvalidHostError
	switch {
	case errors.As(err, &escape):
		return "invalid percent escape"
	case errors.As(err, &host):
		return "invalid character in host name"
	case strings.HasPrefix(err.Error(), "invalid port"):
		return "invalid port"
	}
	reason, _, _ := strings.Cut(err.Error(), `"`)
	return strings.TrimSpace(reason)
}

func portProblem(port string) string {
	if port == "" {
		return ""
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Sprintf("must have a port between 1 and 65535, got %s", port)
	}
	return ""
}

// validPort checks the port of a host:port to listen on, where 0 lets the
// system choose.
func validPort(hostport string) bool {
	_, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 0 && n <= 65535
}

// isLoopback says whether a host is this machine, so that what is sent there
// in plain is seen by nobody else.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// serverProblem says what is wrong with the URL of a NATS server.
func serverProblem(server string) string {
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return "must be a URL: " + urlReason(err)
	case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
		return "must begin with nats://, tls://, ws:// or wss://"
	case u.Hostname() == "":
		return "must have a host"
	}
	return portProblem(u.Port())
}
