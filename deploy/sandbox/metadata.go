package sandbox

import "net/http"

// metadata tells clients how to log in. They ask before their first query, and refuse endpoints
// whose login server they do not know; over plain HTTP they then log in nowhere.
const metadata = `{"AzureAD":{"LoginEndpoint":"https://login.microsoftonline.com","LoginMfaRequired":false,` +
	`"KustoClientAppId":"db662dc1-0cfe-4e1c-a843-19a68e65be58","KustoClientRedirectUri":"https://microsoft/kustoclient",` +
	`"KustoServiceResourceId":"https://kusto.kusto.windows.net","FirstPartyAuthorityUrl":` +
	`"https://login.microsoftonline.com/f8cdef31-a31e-4b4a-93e4-5f571e91255a"},"dSTS":null}`

func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if _, err := w.Write([]byte(metadata)); err != nil {
		s.cfg.Logger.Debug("metadata not delivered", "error", err)
	}
}
