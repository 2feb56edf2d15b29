package querier

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-kusto-go/azkustodata"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
)

// connection says how to sign in to a cluster. The builder is filled by hand: its
// constructor takes a connection string, in which an endpoint's own ; and = would
// be read as more of its settings.
func connection(k config.Kusto) (*azkustodata.ConnectionStringBuilder, error) {
	a := k.Auth
	b := &azkustodata.ConnectionStringBuilder{DataSource: k.Endpoint.Reveal()}
	if b.DataSource == "" {
		return nil, fmt.Errorf("endpoint is missing")
	}
	switch a.Type {
	case config.AuthDefault, "":
		b.WithDefaultAzureCredential()
		b.AuthorityId = a.TenantID
	case config.AuthManagedIdentity:
		if a.ClientID != "" {
			b.WithUserAssignedIdentityClientId(a.ClientID)
		} else {
			b.WithSystemManagedIdentity()
		}
	case config.AuthWorkloadIdentity:
		b.WithKubernetesWorkloadIdentity(a.ClientID, a.TokenFile, a.TenantID)
	case config.AuthAzureCLI:
		b.WithAzCli()
		b.AuthorityId = a.TenantID
	case config.AuthClientSecret:
		if a.ClientID == "" || a.TenantID == "" || a.ClientSecret == "" {
			return nil, fmt.Errorf("auth.type clientSecret needs clientId, tenantId and clientSecret")
		}
		b.WithAadAppKey(a.ClientID, a.ClientSecret.Reveal(), a.TenantID)
	case config.AuthToken:
		switch {
		case a.Token != "":
			b.WithApplicationToken("", a.Token.Reveal())
		case a.TokenFile != "":
			b.WithTokenCredential(fileToken(a.TokenFile))
		default:
			return nil, fmt.Errorf("auth.type token needs token or tokenFile")
		}
	case config.AuthNone:
	default:
		return nil, fmt.Errorf("auth.type is %q, want default, managedIdentity, workloadIdentity, azureCLI, clientSecret, token or none", a.Type)
	}
	return b, nil
}

// fileToken is a file with a bearer token. It is read for every query, so that
// whoever renews the token need not tell us.
type fileToken string

var _ azcore.TokenCredential = fileToken("")

// GetToken implements azcore.TokenCredential.
func (f fileToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	data, err := os.ReadFile(string(f))
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("read auth.tokenFile: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return azcore.AccessToken{}, fmt.Errorf("auth.tokenFile %s is empty", string(f))
	}
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Minute)}, nil
}
