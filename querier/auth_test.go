package querier

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/pipe"
)

func TestConnection(t *testing.T) {
	const endpoint = "https://example.eastus.kusto.windows.net"
	for name, tt := range map[string]struct {
		auth config.Auth
		want azkustodata.ConnectionStringBuilder
	}{
		"OKDefault":      {config.Auth{Type: config.AuthDefault, TenantID: "t"}, azkustodata.ConnectionStringBuilder{DefaultAuth: true, AuthorityId: "t"}},
		"OKNothing":      {config.Auth{}, azkustodata.ConnectionStringBuilder{DefaultAuth: true}},
		"OKSystem":       {config.Auth{Type: config.AuthManagedIdentity}, azkustodata.ConnectionStringBuilder{MsiAuthentication: true}},
		"OKUserAssigned": {config.Auth{Type: config.AuthManagedIdentity, ClientID: "c"}, azkustodata.ConnectionStringBuilder{MsiAuthentication: true, ManagedServiceIdentityClientId: "c"}},
		"OKWorkload":     {config.Auth{Type: config.AuthWorkloadIdentity, ClientID: "c", TenantID: "t", TokenFile: "f"}, azkustodata.ConnectionStringBuilder{WorkloadAuthentication: true, ApplicationClientId: "c", AuthorityId: "t", FederationTokenFilePath: "f"}},
		"OKWorkloadEnv":  {config.Auth{Type: config.AuthWorkloadIdentity}, azkustodata.ConnectionStringBuilder{WorkloadAuthentication: true}},
		"OKAzureCLI":     {config.Auth{Type: config.AuthAzureCLI, TenantID: "t"}, azkustodata.ConnectionStringBuilder{AzCli: true, AuthorityId: "t"}},
		"OKClientSecret": {config.Auth{Type: config.AuthClientSecret, ClientID: "c", TenantID: "t", ClientSecret: "s"}, azkustodata.ConnectionStringBuilder{ApplicationClientId: "c", AuthorityId: "t", ApplicationKey: "s"}},
		"OKToken":        {config.Auth{Type: config.AuthToken, Token: "x"}, azkustodata.ConnectionStringBuilder{ApplicationToken: "x"}},
		"OKTokenFile":    {config.Auth{Type: config.AuthToken, TokenFile: "f"}, azkustodata.ConnectionStringBuilder{TokenCredential: fileToken("f")}},
	} {
		t.Run(name, func(t *testing.T) {
			k := cluster(endpoint)
			k.Auth = tt.auth
			got, err := connection(k)
			require.NoError(t, err)
			tt.want.DataSource, tt.want.AadFederatedSecurity = endpoint, true
			require.Equal(t, &tt.want, got)
			c := mustClient(t, ClientConfig{Cluster: k})
			auth := c.kusto.Auth()
			require.True(t, auth.TokenProvider.AuthorizationRequired())
		})
	}
	t.Run("OKNone", func(t *testing.T) {
		c := mustClient(t, ClientConfig{Cluster: cluster(endpoint)})
		auth := c.kusto.Auth()
		require.False(t, auth.TokenProvider.AuthorizationRequired())
	})
	for want, auth := range map[string]config.Auth{
		"auth.type clientSecret needs clientId, tenantId and clientSecret":                                             {Type: config.AuthClientSecret, ClientID: "c"},
		"auth.type token needs token or tokenFile":                                                                     {Type: config.AuthToken},
		`auth.type is "basic", want default, managedIdentity, workloadIdentity, azureCLI, clientSecret, token or none`: {Type: "basic"},
	} {
		t.Run("Err"+string(auth.Type), func(t *testing.T) {
			k := cluster(endpoint)
			k.Auth = auth
			_, err := connection(k)
			require.EqualError(t, err, want)
		})
	}
}

func TestToken(t *testing.T) {
	var got []string
	status := http.StatusOK
	s := httptest.NewTLSServer(withMetadata(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		w.WriteHeader(status)
		if status == http.StatusOK {
			_, _ = io.WriteString(w, wholeAnswer)
			return
		}
		_, _ = fmt.Fprintf(w, `{"error":{"code":"Unauthorized","@message":"the token %s is wrong","@permanent":true}}`, r.Header.Get("Authorization"))
	}))
	defer s.Close()
	k := cluster(s.URL)

	t.Run("OKToken", func(t *testing.T) {
		got = nil
		k.Auth = config.Auth{Type: config.AuthToken, Token: "s3cret"}
		_, _, err := ask(t.Context(), mustClient(t, ClientConfig{Cluster: k, Transport: s.Client().Transport}))
		require.NoError(t, err)
		require.Equal(t, []string{"Bearer s3cret"}, got)
	})
	t.Run("OKTokenFileIsReadAgain", func(t *testing.T) {
		got = nil
		file := filepath.Join(t.TempDir(), "token")
		require.NoError(t, os.WriteFile(file, []byte("one\n"), 0o600))
		k.Auth = config.Auth{Type: config.AuthToken, TokenFile: file}
		c := mustClient(t, ClientConfig{Cluster: k, Transport: s.Client().Transport})
		_, _, err := ask(t.Context(), c)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, []byte("two\n"), 0o600))
		_, _, err = ask(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, []string{"Bearer one", "Bearer two"}, got)

		require.NoError(t, os.WriteFile(file, nil, 0o600))
		_, _, err = ask(t.Context(), c)
		require.ErrorContains(t, err, "auth.tokenFile "+file+" is empty")
		require.Equal(t, pipe.KindRetry, kindOf(err))
	})
	t.Run("OKNone", func(t *testing.T) {
		got = nil
		k.Auth = config.Auth{Type: config.AuthNone}
		_, _, err := ask(t.Context(), mustClient(t, ClientConfig{Cluster: k, Transport: s.Client().Transport}))
		require.NoError(t, err)
		require.Equal(t, []string{""}, got)
	})
	t.Run("ErrSecretStaysSecret", func(t *testing.T) {
		status = http.StatusUnauthorized
		k.Auth = config.Auth{Type: config.AuthToken, Token: "s3cret"}
		_, _, err := ask(t.Context(), mustClient(t, ClientConfig{Cluster: k, Transport: s.Client().Transport}))
		require.EqualError(t, err, `query database "TelemetryDB" on cluster "telemetry": HTTP 401 Unauthorized: Unauthorized: the token Bearer [redacted] is wrong`)
		require.Equal(t, pipe.KindRetry, kindOf(err))
	})
	t.Run("ErrEndpointNotKusto", func(t *testing.T) {
		k := cluster("https://kusto.example.com")
		k.Auth = config.Auth{Type: config.AuthToken, Token: "s3cret"}
		c := mustClient(t, ClientConfig{Cluster: k, Transport: noMetadata{}})
		_, _, err := ask(context.Background(), c)
		require.ErrorContains(t, err, "could not validate endpoint")
		require.Equal(t, pipe.KindRetry, kindOf(err))
	})
}

// noMetadata answers everything with 404, as a cluster without metadata does.
type noMetadata struct{}

func (noMetadata) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}
