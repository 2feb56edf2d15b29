package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// elementName is what clusters and exporters may be called: names that logs,
// metrics and subjects carry.
var elementName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

const maxElementName = 128

// name checks the name of a list's element and that it is the only one. The
// names before it are in taken, with their index.
func (v *validator) name(field, what, name string, index int, taken map[string]int) {
	switch first, twice := taken[name]; {
	case name == "":
		v.problem(field, "must not be empty")
	case len(name) > maxElementName:
		v.problem(field, "must not be longer than %d characters, has %d", maxElementName, len(name))
	case !elementName.MatchString(name):
		v.problem(field, "must be letters, digits, \"-\", \"_\" and \".\", and begin and end with a letter or digit%s", v.got(field, name))
	case twice:
		v.problem(field, "%s %s is already the name of %s[%d]", what, v.quote(field, name), field[:strings.IndexByte(field, '[')], first)
	default:
		taken[name] = index
	}
}

func (v *validator) clusters(clusters []Kusto) {
	if len(clusters) == 0 {
		v.problem("kusto", "must have at least one cluster")
	}
	names, served := map[string]int{}, map[string]string{}
	for i, k := range clusters {
		field := fmt.Sprintf("kusto[%d]", i)
		v.name(field+".name", "cluster", k.Name, i, names)
		v.owned("kusto", field, k.Name)
		v.cluster(field+".", k)
		v.databases(field+".databases", k, served)
		v.owner = ""
	}
}

func (v *validator) cluster(field string, k Kusto) {
	u, message := httpURL(k.Endpoint)
	switch {
	case message != "":
		v.problem(field+"endpoint", "%s", message)
	case u.RawQuery != "":
		v.problem(field+"endpoint", "must not have a query")
	case u.Scheme == "http" && k.Auth.Type != AuthNone && (k.Auth.Type != AuthDefault || !isLoopback(u.Hostname())):
		v.problem(field+"endpoint", "must begin with https:// unless auth.type is none: a token would travel in plain")
	}
	v.auth(field+"auth.", k.Auth)
	if k.MaxConcurrentQueries < 1 || k.MaxConcurrentQueries > 1000 {
		v.problem(field+"maxConcurrentQueries", "must be between 1 and 1000%s", v.got(field+"maxConcurrentQueries", k.MaxConcurrentQueries))
	}
	v.between(field+"queryTimeout", k.QueryTimeout, time.Second, time.Hour)
}

// databases checks that a spec.database leads to one cluster.
func (v *validator) databases(field string, k Kusto, served map[string]string) {
	if len(k.Databases) == 0 {
		v.problem(field, "must have at least one database")
	}
	for i, database := range k.Databases {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch other, twice := served[database]; {
		case strings.TrimSpace(database) == "":
			v.problem(at, "must not be empty")
		case twice && other == k.Name:
			v.problem(at, "is %s for the second time", v.quote(at, database))
		case twice:
			v.problem(at, "is %s, which kusto %q serves already: it must be clear which cluster to ask", v.quote(at, database), other)
		default:
			served[database] = k.Name
		}
	}
}

// authFields says of each way to sign in which fields it takes, and which of
// them it needs.
var authFields = map[AuthType]struct{ takes, needs []string }{
	AuthDefault:          {takes: []string{"tenantId"}},
	AuthManagedIdentity:  {takes: []string{"clientId"}},
	AuthWorkloadIdentity: {takes: []string{"clientId", "tenantId", "tokenFile"}},
	AuthAzureCLI:         {takes: []string{"tenantId"}},
	AuthClientSecret: {
		takes: []string{"tenantId", "clientId", "clientSecret"},
		needs: []string{"tenantId", "clientId", "clientSecret"},
	},
	AuthToken: {takes: []string{"token", "tokenFile"}},
	AuthNone:  {},
}

func (v *validator) auth(field string, a Auth) {
	if !oneOf(v, field+"type", a.Type, AuthDefault, AuthManagedIdentity, AuthWorkloadIdentity,
		AuthAzureCLI, AuthClientSecret, AuthToken, AuthNone) {
		return
	}
	rules := authFields[a.Type]
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"clientId", a.ClientID != ""},
		{"tenantId", a.TenantID != ""},
		{"clientSecret", a.ClientSecret != ""},
		{"token", a.Token != ""},
		{"tokenFile", a.TokenFile != ""},
	} {
		switch {
		case f.set && !slices.Contains(rules.takes, f.name):
			v.problem(field+f.name, "has no meaning with auth.type %s", a.Type)
		case !f.set && slices.Contains(rules.needs, f.name):
			v.problem(field+f.name, "is needed with auth.type %s", a.Type)
		}
	}
	if a.Type == AuthToken {
		switch {
		case a.Token == "" && a.TokenFile == "":
			v.problem(field+"token", "or auth.tokenFile is needed with auth.type token")
		case a.Token != "" && a.TokenFile != "":
			v.problem(field+"token", "and auth.tokenFile must not both be set")
		}
	}
}
